"""The studies on pictures in `reproductions/`: what they train on, and what they count."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"


@pytest.fixture(scope="module", autouse=True)
def beside_each_other() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield


@pytest.fixture
def multimnist() -> ModuleType:
    return import_module("multimnist")


@pytest.fixture
def like_and_unlike() -> ModuleType:
    return import_module("like_and_unlike")


def test_two_digits_overlap_as_in_the_authors_generator(multimnist: ModuleType) -> None:
    random = np.random.default_rng(0)
    digits = random.integers(1, 256, (10, 28, 28)).astype(np.uint8)
    table = multimnist.overlaid(digits, np.arange(10), 6, seed=3)
    shrunk = np.asarray(table["image"].to_pylist(), dtype=np.uint8)
    nearest = [int((place + 0.5) * 36 / 28) for place in range(28)]
    for row in range(6):
        left, right = (digits[table[side][row].as_py()] for side in ("left", "right"))
        canvas = np.zeros((36, 36), dtype=np.uint8)
        canvas[:28, :28] = left
        canvas[6:34, 6:34] = np.maximum(canvas[6:34, 6:34], right)
        assert (shrunk[row] == canvas[np.ix_(nearest, nearest)]).all()
    assert len(set(table["left"].to_pylist())) == 6


def test_each_picture_of_the_pairs_is_labelled_once(
    data_folder: Path, like_and_unlike: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(like_and_unlike, "DATA", data_folder)
    study = like_and_unlike.cifar10()
    labels = study.parts.train.select(study.tasks)
    known = [pc.is_valid(column).cast(pa.int8()) for column in labels.columns]
    assert len(study.together) == 6 and pc.sum(known[0]).as_py() == 1400
    total = known[0]
    for more in known[1:]:
        total = pc.add(total, more)
    assert pc.min_max(total).as_py() == {"min": 1, "max": 1}
    rows = like_and_unlike._labelled(study.parts.train, ("cat or dog",))
    assert rows.num_rows == 1400 and rows.column_names == ["image", "cat or dog"]
    assert pc.mean(rows["cat or dog"].cast(pa.int8())).as_py() == 0.5
    alphabets = like_and_unlike.omniglot8
    monkeypatch.setattr(like_and_unlike, "DATA", data_folder)
    assert len(alphabets().tasks) == 8


def test_scores_are_kept_and_not_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = import_module("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16)).astype(np.uint8)
    columns = {"image": import_module("polytask.data.arrays").column_of(pixels)}
    table = pa.table({**columns, "y": ["a", "b", "c"] * 20})
    parts = pictures.Parts(table, table, table)
    options = {"tasks": ["y:multiclass"], "epochs": 1, "threads": 1, "ensemble": 1}
    first = pictures.Scores(tmp_path / "kept.jsonl").of("one", parts, options)
    again = pictures.Scores(tmp_path / "kept.jsonl")
    monkeypatch.setattr(pictures.polytask, "fit", None)
    assert again.of("one", parts, options) == first and 0 <= first["y"] <= 1


def test_an_interval_is_student_s(like_and_unlike: ModuleType) -> None:
    pictures = import_module("pictures")
    assert pictures.interval([0.5]) == "50.00"
    # Three values with a deviation of 1 point: 4.30 / sqrt(3).
    assert pictures.interval([0.49, 0.50, 0.51]) == "50.00 +- 2.48"
