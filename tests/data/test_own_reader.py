"""A file format from outside the package: registered by a decorator, read, trained on, predicted."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import polytask
from polytask.cli import main
from polytask.data import READERS, read_table, register
from polytask.errors import UserError

QUICK = {"epochs": 2, "baseline": "none", "threads": 1, "num_experts": 2, "expert_hidden": (8,)}


@pytest.fixture(autouse=True)
def readers() -> Iterator[None]:
    """A format of arrays, and one of text with a mark in its first line."""

    @register(".arrays", ".stack")
    def read_arrays(path: Path) -> pa.Table:
        with np.load(path) as arrays:
            return pa.table(dict(arrays))

    @register(".tsvx")
    def read_marked(path: Path) -> pa.Table:
        if path.read_bytes()[:6] != b"#tsvx\n":
            raise UserError(f"{path} is no tsvx file")
        tabs = pa.csv.ParseOptions(delimiter="\t")
        return pa.csv.read_csv(path, pa.csv.ReadOptions(skip_rows=1), tabs)

    yield
    for suffix in (".arrays", ".stack", ".tsvx"):
        READERS.pop(suffix, None)


def visits(folder: Path, name: str, *, num_rows: int = 600) -> Path:
    """Rows whose spend says something of the click; some spends are a word for missing."""
    spend, noise = np.random.default_rng(0).normal(size=(2, num_rows)).round(3)
    click = (spend + noise > 0).astype(int)
    lines = [f"{'?' if i % 50 == 0 else spend[i]}\t{click[i]}" for i in range(num_rows)]
    (folder / name).write_text("#tsvx\nspend \tclick\n" + "\n".join(lines) + "\n")
    return folder / name


def test_a_file_is_read_by_its_ending_and_normalised_as_every_table(tmp_path: Path) -> None:
    read = read_table(visits(tmp_path, "log.TSVX", num_rows=3), columns=["click", "spend"])
    assert read.column_names == ["click", "spend"]
    assert read["spend"].to_pylist()[0] is None and read["spend"].type == pa.float64()
    np.savez(tmp_path / "log.npz", x=np.array([1.0, np.nan]), kind=np.array(["a", "b"]))
    assert read_table(tmp_path / "log.npz").to_pydict() == {"x": [1.0, None], "kind": ["a", "b"]}


def test_several_files_and_a_folder_of_them_are_one_table(tmp_path: Path) -> None:
    for number in (0, 1):
        with (tmp_path / f"{number}.arrays").open("wb") as file:
            np.savez(file, x=np.array([number, 5]), **({"z": np.array([7, 8])} if number else {}))
    for source in (tmp_path, tmp_path / "*.arrays", sorted(tmp_path.iterdir())):
        assert read_table(source).to_pydict() == {"x": [0, 5, 1, 5], "z": [None, None, 7, 8]}


def test_a_run_is_trained_and_used_on_such_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = visits(tmp_path, "log.tsvx"), tmp_path / "run"
    run = polytask.fit(log, ["click"], out=out, **QUICK)
    assert run.predict(log).num_rows == 600
    assert run.evaluate(log)["click"].num_rows == 600
    for arguments in (
        ["inspect", str(log)],
        ["predict", str(out), str(log), "--out", str(tmp_path / "scores.csv")],
    ):
        monkeypatch.setattr(sys, "argv", ["polytask", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
    assert "the name had spaces around it: 'spend '" in capsys.readouterr().out
    assert read_table(tmp_path / "scores.csv").column_names == ["click"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    (tmp_path / "log.tsvx").write_text("spend\tclick\n1\t0\n")
    with pytest.raises(UserError, match="is no tsvx file"):
        read_table(tmp_path / "log.tsvx")
    (tmp_path / "cut.tsvx").write_text("#tsvx\na\tb\n1\n")
    with pytest.raises(UserError, match=r"cut.tsvx cannot be read: .*Expected 2 columns, got 1"):
        read_table(tmp_path / "cut.tsvx")
    np.save(tmp_path / "log.npy", np.arange(3))
    with pytest.raises(
        UserError, match=r"'.npy'; .* once the module that registers it is imported"
    ):
        read_table(tmp_path / "log.npy")


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".parquet", "'.parquet' is read by polytask itself"),
        ("npz", "begins with a dot"),
        (".NPZ", "lower case"),
    ],
)
def test_endings_that_cannot_be_registered_are_refused(suffix: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        register(suffix)


def test_a_cell_of_a_notebook_may_register_its_reader_again(tmp_path: Path) -> None:
    register(".tsvx")(lambda path: pa.table({"new": [1]}))
    (tmp_path / "log.tsvx").write_text("anything")
    assert read_table(tmp_path / "log.tsvx").to_pydict() == {"new": [1]}
