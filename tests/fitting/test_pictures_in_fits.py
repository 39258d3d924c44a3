"""polytask fit on pictures: from a table of paths to predictions, with resume and ranks exact."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

import polytask
from polytask import fit
from polytask.cli import main
from polytask.config import validate_config
from polytask.data import read_table
from polytask.data.splits import split_random
from polytask.errors import UserError
from polytask.fitting import Finished, fit_events, resume_events
from polytask.fitting.planning import plans_of
from polytask.fitting.preparing.bad_rows import without_bad_rows
from polytask.fitting.preparing.prepare import prepare
from polytask.fitting.preparing.splitting import Parts
from polytask.training.loop import TrainStep

NUM_ROWS = 240
QUICK = {
    "columns": {"image": ["photo"]},
    "input_options": {"image": {"network": "lenet", "width": 16, "shift": 2, "flip": True}},
    "tasks": ["bright:binary", "side:multiclass"],
    "balancer": "upgrad",
    "trunk": "shared_bottom",
    "hidden": (16,),
    "epochs": 4,
    "batch_size": 32,
    "ensemble": 1,
    "learning_rate": 1e-2,
    "validations_per_epoch": 2,
    "checkpoint_every": 3,
    "intervals": False,
    "threads": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files beside a table that names them: bright or dark, with a block at the top or bottom."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    (folder / "photos").mkdir()
    bright, side = random.integers(0, 2, (2, NUM_ROWS))
    for row in range(NUM_ROWS):
        pixels = random.integers(0, 80, (18, 18, 3)) + 60 * bright[row]
        pixels[(slice(0, 6), slice(12, 18))[side[row]]] += 100
        Pillow.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / f"{row}.png")
    names = [f"photos/{row}.png" for row in range(NUM_ROWS)]
    sides = np.array(["top", "bottom"])[side]
    table = pa.table({"photo": names, "bright": bright, "side": sides})
    pq.write_table(table, folder / "train.parquet")
    pq.write_table(table.select(["photo"]).slice(0, 5), folder / "new.parquet")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> polytask.Run:
    return fit(folder / "train.parquet", out=folder / "run", **QUICK, baseline="single")


def test_a_fit_learns_from_files_beside_the_table(run: polytask.Run) -> None:
    assert run.metrics.data.inputs == {"image": ("photo",)}
    assert run.metrics.tasks["bright"].test["auc"].value > 0.95
    assert run.metrics.tasks["side"].test["accuracy"].value > 0.9
    assert run.metrics.tasks["side"].single is not None


def test_the_command_line_predicts_evaluates_and_reports(
    run: polytask.Run,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def call(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["polytask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capsys.readouterr().out

    out = folder / "predicted.parquet"
    call("predict", folder / "run", folder / "new.parquet", "--out", out, "--keep", "photo")
    predicted = read_table(out)
    loaded = polytask.load(folder / "run")
    assert predicted["bright"].equals(run.predict(folder / "new.parquet")["bright"])
    assert loaded.predict(folder / "new.parquet").equals(run.predict(folder / "new.parquet"))
    told = json.loads(call("evaluate", folder / "run", folder / "train.parquet"))
    assert told["bright"]["auc"] > 0.95
    call("report", folder / "run", "--overwrite")
    assert "photo" in call("inspect", folder / "train.parquet", "--columns", "image=photo")


def test_bytes_arrays_and_paths_train_the_same_model(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    files = [folder / name for name in table["photo"].to_pylist()]
    arrays = np.stack([np.asarray(Pillow.open(file)) for file in files])
    labels = {name: table[name].to_numpy(zero_copy_only=False) for name in ("bright", "side")}
    np.savez(tmp_path / "train.npz", photo=arrays, bright=labels["bright"], other=np.arange(3))
    options = {**QUICK, "tasks": ["bright"], "epochs": 1, "baseline": "none"}
    of_files = fit(folder / "train.parquet", ignore="side", **options)
    del options["columns"]
    columns = {"photo": arrays, "bright": labels["bright"]}
    content = table.set_column(0, "photo", pa.array([file.read_bytes() for file in files]))
    for source in (columns, tmp_path / "train.npz", content.drop_columns(["side"])):
        other = fit(source, **options)
        for name, value in of_files.model.state_dict().items():
            assert value.equal(other.model.state_dict()[name]), name
    assert any(
        "other" in note for note in fit(tmp_path / "train.npz", **options).metrics.data.notes
    )


def test_training_rows_change_with_the_epoch_and_validation_rows_do_not(folder: Path) -> None:
    config = validate_config({**QUICK, "baseline": "none"})
    prepared = prepare(config, folder / "train.parquet")
    (plan,) = plans_of(prepared.config, prepared)
    first, again = (plan.stream().batch(0, 0, 0) for _ in range(2))
    assert first.inputs["image"].equal(again.inputs["image"])
    plain = plan.train[first.rows].inputs["image"]
    assert not first.inputs["image"].equal(plain)
    assert plan.valid.inputs["image"].equal(prepared.valid.inputs["image"])
    still = validate_config({**QUICK, "input_options": {}, "baseline": "none"})
    assert prepare(still, folder / "train.parquet").train.inputs["image"][first.rows].equal(plain)


def test_a_resumed_fit_ends_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    table = folder / "train.parquet"
    config = validate_config({**QUICK, "baseline": "none", "table": table, "out": tmp_path / "run"})
    whole = fit(table, **QUICK, baseline="none")
    events = fit_events(config)
    for _ in (event for event in events if isinstance(event, TrainStep) and event.step == 11):
        break
    events.close()
    *_, last = resume_events(tmp_path / "run")
    assert isinstance(last, Finished)
    for name, value in whole.model.state_dict().items():
        assert value.equal(last.run.model.state_dict()[name]), name


def _broken(folder: Path, target: Path) -> Path:
    """The table with three pictures that cannot be read, in rows 3, 50 and 200."""
    table = pq.read_table(folder / "train.parquet")
    names = [str(folder / name) for name in table["photo"].to_pylist()]
    cut = (folder / "photos" / "50.png").read_bytes()[:-300]
    (target / "cut.png").write_bytes(cut)
    (target / "text.png").write_text("no picture")
    names[3], names[50], names[200] = "text.png", "cut.png", "lost.png"
    pq.write_table(table.set_column(0, "photo", pa.array(names)), target / "train.parquet")
    return target / "train.parquet"


def test_a_broken_picture_stops_the_fit_by_row_and_path(folder: Path, tmp_path: Path) -> None:
    table = _broken(folder, tmp_path)
    with pytest.raises(UserError, match=r"train: column 'photo' .*on_bad_row='drop'") as stopped:
        fit(table, **QUICK)
    for row, name in ((3, "text"), (50, "cut"), (200, "lost")):
        assert (f"row {row}: {tmp_path / name}.png" in str(stopped.value)) == (
            row in prepare_rows(folder)
        )


def prepare_rows(folder: Path) -> set[int]:
    split = split_random(NUM_ROWS, valid_fraction=0.1, test_fraction=0.1, seed=0)
    return set(split.train.tolist())


def test_broken_pictures_are_left_out_by_option(folder: Path, tmp_path: Path) -> None:
    table = _broken(folder, tmp_path)
    quick = {**QUICK, "epochs": 1, "baseline": "none", "on_bad_row": "drop"}
    run = fit(table, **quick, out=tmp_path / "run")
    notes = " ".join(run.metrics.data.notes)
    for row, name in ((3, "text"), (50, "cut"), (200, "lost")):
        assert f"row {row}: photo: {tmp_path / name}.png" in notes
    assert sum(run.metrics.data.rows.values()) == NUM_ROWS - 3
    good = pq.read_table(table).take(np.setdiff1d(np.arange(NUM_ROWS), [3, 50, 200]))
    pq.write_table(good, tmp_path / "good.parquet")
    evaluated = run.evaluate(table)["bright"]
    assert evaluated["auc"].value == run.evaluate(tmp_path / "good.parquet")["bright"]["auc"].value
    with pytest.raises(UserError, match=r"row 3: .*text.png"):
        polytask.load(tmp_path / "run").predict(table)
    split = split_random(NUM_ROWS, valid_fraction=0.1, test_fraction=0.1, seed=0)
    whole = Parts(good, None, None, {"train": split.train})
    parts, _ = without_bad_rows(
        replace(whole, train=pq.read_table(table).take(split.train)), {"image": ["photo"]}
    )
    assert set(split.train) - set(parts.rows_of("train")) == {3, 50, 200} & set(split.train)
    with pytest.raises(UserError, match="no row of the table can be read"):
        fit({"photo": ["none.png"] * 30, "y": [0, 1] * 15}, **{**quick, "tasks": ["y"]})


def test_without_pillow_there_is_one_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(UserError, match=r"pip install 'polytask\[image\]'"):
        fit(folder / "train.parquet", **QUICK)


def test_predictions_come_in_small_pieces(
    run: polytask.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a network makes of a row of pixels is many times as large as the row."""
    seen: list[int] = []
    run.model.encoder.register_forward_hook(
        lambda module, inputs, output: seen.append(len(output)) or None
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 18, 18, 3)).astype(np.uint8)
    monkeypatch.setattr("polytask.training.evaluation._MOST_ENTRIES", 700 * pixels[0].size)
    run.predict({"photo": pixels})
    assert seen == [700, 300]


@pytest.mark.slow
def test_two_ranks_train_on_a_mixture_of_pictures_as_one_process(folder: Path) -> None:
    """Rows are augmented alike, and each batch is of the same data set, whoever has which part of it."""
    options = [
        *("--data", "a=train.parquet", "--data", "b=train.parquet", "--shares", "sqrt"),
        *("--task", "a.bright:binary", "--task", "b.side:multiclass", "--columns", "image=photo"),
        *("--input-options", "{image: {network: resnet, shift: 2, flip: true}}", "--epochs", "1"),
        *("--ignore", "bright,side", "--balancer", "mgda", "--baseline", "none", "--threads", "1"),
        *("--batch-size", "33", "--ensemble", "1", "--no-intervals"),
    ]
    starts = {"one": [], "two": ["-m", "torch.distributed.run", "--nproc-per-node", "2"]}
    for name, start in starts.items():
        command = [sys.executable, *start, "-m", "polytask", "fit", *options, "--out", name]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    one, two = (load_file(folder / name / "model.safetensors") for name in starts)
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=2e-4)


MAPS = {
    **{name: value for name, value in QUICK.items() if name not in ("input_options", "hidden")},
    "input_options": {"image": {"shift": 2, "flip": True}},
    "hidden": (8, 8),
}


@pytest.mark.parametrize("trunk", ["conv_shared_bottom", "conv_mtan", "conv_cross_stitch"])
def test_trunks_of_convolutions_learn_are_loaded_and_go_on(
    trunk: str, folder: Path, tmp_path: Path
) -> None:
    options, table = MAPS | {"trunk": trunk}, folder / "train.parquet"
    run = fit(table, out=tmp_path / "whole", **options)
    assert run.metrics.tasks["side"].test["accuracy"].value > 0.9
    assert run.model.trunk.form == (3, 18, 18)
    new = folder / "new.parquet"
    assert polytask.load(tmp_path / "whole").predict(new).equals(run.predict(new))
    config = validate_config({**options, "table": table, "out": tmp_path / "parted"})
    events = fit_events(config)
    for _ in (event for event in events if isinstance(event, TrainStep) and event.step == 8):
        break
    events.close()
    list(resume_events(tmp_path / "parted"))
    parted = polytask.load(tmp_path / "parted").model.state_dict()
    assert all(torch.equal(value, parted[name]) for name, value in run.model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_options": {"image": {"network": "lenet"}}}, "leave the network out"),
        ({"align": True}, "would mix pixel by pixel"),
        ({"trunk": {"name": "conv_mtan", "form": [3, 18, 18]}}, "no option 'form'"),
    ],
)
def test_mistakes_with_trunks_of_convolutions(
    options: dict[str, object], message: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fit(folder / "train.parquet", **MAPS | {"trunk": "conv_mtan"} | options)


def test_beside_pictures_such_a_trunk_reads_nothing(folder: Path) -> None:
    table = read_table(folder / "train.parquet")
    table = table.append_column("age", pa.array(np.arange(NUM_ROWS) * 1.5))
    photos = [str(folder / name) for name in table["photo"].to_pylist()]
    table = table.set_column(0, "photo", pa.array(photos))
    with pytest.raises(UserError, match="leave them out by ignore='age'"):
        fit(table, **MAPS | {"trunk": "conv_mtan"})


def test_without_pictures_it_says_so() -> None:
    table = pa.table({"age": np.arange(NUM_ROWS) * 1.5, "bright": np.arange(NUM_ROWS) % 2})
    with pytest.raises(UserError, match="no column is read as one"):
        fit(table, tasks=["bright:binary"], trunk="conv_mtan")


def test_two_columns_of_pictures_are_the_channels_of_one_map(folder: Path) -> None:
    table = read_table(folder / "train.parquet")
    photos = pa.array([str(folder / name) for name in table["photo"].to_pylist()])
    table = table.set_column(0, "photo", photos).append_column("again", photos)
    options = MAPS | {"trunk": "conv_mtan", "columns": {"image": ["photo", "again"]}, "epochs": 1}
    run = fit(table, **options)
    assert run.model.trunk.form == (6, 18, 18)
    x = run.model.encoder(run.inputs.encode(table.slice(0, 2)))
    torch.testing.assert_close(*run.model.trunk.maps(x).chunk(2, dim=1))
