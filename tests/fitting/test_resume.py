"""A run that was interrupted anywhere ends with the weights, lines and figures of one that was not."""

import json
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from forked import Forked
from polytask import fit
from polytask.cli import main
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.files.plain import fresh_part
from polytask.fitting import Finished, ModelFinished, Notice, fit_events, resume_events
from polytask.fitting.own_parts import OwnParts
from polytask.training.loop import TrainStep
from polytask.training.state_files import TENSORS

OPTIONS = {
    "tasks": ["click:binary", "watch=watch_seconds:regression"],
    "transform": {"watch": "log1p"},
    "after": "like,follow",
    "group": "user_id",
    "epochs": 2,
    "batch_size": 256,
    "validations_per_epoch": 2,
    "balancer": "dwa",
    "dropout": 0.2,
    "num_experts": 2,
    "expert_hidden": (8,),
    "tower_hidden": (4,),
    "checkpoint_every": 4,
    "log_every": 1,
    "intervals": False,
    "threads": 1,
}
STEPS = 20  # of each of the three models: 10 an epoch, validations at 5, 10, 15 and 20
CLOCKS = {"train_seconds", "train_rows_per_second", "microseconds_per_row", "created"}


def without_clocks(value: object) -> object:
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def contents(run: Path) -> dict[str, object]:
    """All that a run left behind, clocks aside; the report is drawn from these."""
    found: dict[str, object] = {}
    for path in sorted(run.iterdir()):
        if path.suffix == ".json":
            found[path.name] = without_clocks(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            lines = path.read_text().splitlines()
            found[path.name] = [without_clocks(json.loads(line)) for line in lines]
        elif path.name == "run.yaml":
            lines = path.read_text().splitlines()
            found[path.name] = [line for line in lines if not line.startswith("out:")]
        else:
            found[path.name] = path.read_bytes() if path.suffix != ".html" else None
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, log: pa.Table) -> Path:
    path = tmp_path_factory.mktemp("table") / "log.parquet"
    pq.write_table(log.slice(0, 3160), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def no_report() -> Iterator[None]:
    """The report takes longer than these runs do and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polytask.fitting.session.write_report", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "run"
    stop_after(out, table, steps=10**6)
    left = contents(out)
    assert "checkpoints" not in left
    assert len(left["steps.jsonl"]) == 3 * (STEPS + 4)
    return left


def stop_after(
    out: Path, table: Path, *, steps: int = 10**6, models: int = 4, **changes: object
) -> None:
    """A run that stops dead after so many steps, or models: as a kill, this leaves all as it is."""
    config = validate_config({**OPTIONS, "table": str(table), "out": str(out), **changes})
    events = fit_events(config)
    for event in events:
        steps -= isinstance(event, TrainStep)
        models -= isinstance(event, ModelFinished)
        if steps == 0 or models == 0:
            events.close()
            return


def go_on(run: Path, **changes: object) -> list[str]:
    """Resume to the end; returns the notices."""
    notices = []
    for event in resume_events(run, **changes):
        # That 20 steps are few is said of every one of these runs.
        if isinstance(event, Notice) and "--epochs" not in event.text:
            notices.append(event.text)
        if isinstance(event, Finished):
            assert event.run.history == polytask.load(run).history
    return notices


MOMENTS = {
    "before the first checkpoint": {"steps": 3},
    "at a checkpoint": {"steps": 4},
    "between two": {"steps": 14},
    "between two models": {"models": 1},
    "in a baseline": {"steps": STEPS + 7},
    "before the metrics": {"models": 3},
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_whatever_the_moment_the_end_is_the_same(
    moment: str, table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    stop_after(tmp_path / "run", table, **MOMENTS[moment])
    torch.rand(3)
    assert go_on(tmp_path / "run") == []
    assert contents(tmp_path / "run") == whole


def test_what_a_crash_leaves_half_written_is_done_again(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    """In the middle of a checkpoint, of the log, of the weights; then of metrics.json."""
    run = tmp_path / "run"
    stop_after(run, table, steps=14)
    newest = run / "checkpoints" / "0" / "step-0000000012"
    half = fresh_part(newest.with_name("step-0000000014"))
    shutil.copytree(newest, half)
    cut(half / TENSORS)
    fresh_part(run / "model.safetensors").write_bytes(b"half")
    with (run / "steps.jsonl").open("a") as file:
        file.write('{"model": "multi-ta')
    events = resume_events(run)
    finished = [next(e for e in events if isinstance(e, ModelFinished)) for _ in range(3)]
    assert [event.training.progress.step for event in finished] == [STEPS] * 3
    events.close()
    fresh_part(run / "metrics.json").write_text('{"tasks": {"cl')
    assert go_on(run) == []
    assert contents(run) == whole


def test_killed_while_the_checkpoints_are_removed(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stop_after(run, table)
    (fresh_part(run / "checkpoints") / "0").mkdir(parents=True)
    go_on(run)
    assert contents(run) == whole


def test_killed_between_the_metrics_and_the_end(
    table: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def fail(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("polytask.fitting.session.write_report", fail)
        stop_after(run, table)
    assert (run / "metrics.json").exists()
    assert go_on(run) == []
    assert contents(run) == whole


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stop_after(run, table, steps=14)
    cut(run / "checkpoints" / "0" / "step-0000000012" / TENSORS)
    notices = go_on(run)
    assert "step-0000000012 is damaged" in notices[0]
    assert "step-0000000010" in notices[1]
    assert contents(run) == whole


def test_a_damaged_finished_model_is_trained_again_and_all_after_it(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stop_after(run, table, steps=2 * STEPS + 7)
    for path in (run / "checkpoints" / "1").iterdir():
        cut(path / TENSORS)
    notices = go_on(run)
    assert "finished is damaged" in notices[0] and "trained from the beginning" in notices[-1]
    assert contents(run) == whole


def test_a_log_that_lost_its_end_is_told_of(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    """As after a loss of power: the checkpoint is on the disk, the lines before it are not."""
    run = tmp_path / "run"
    stop_after(run, table, steps=14)
    cut(run / "steps.jsonl")
    (notice,) = go_on(run)
    assert "steps.jsonl has lost lines" in notice
    ended = contents(run)
    assert ended["model.safetensors"] == whole["model.safetensors"]
    # Whether validation still rose cannot be read from lines that are lost.
    metrics, expected = ({**each["metrics.json"], "advice": None} for each in (ended, whole))
    assert metrics == expected
    assert ended["steps.jsonl"][-30:] == whole["steps.jsonl"][-30:]


def test_a_finished_run_stays_as_it_is(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stop_after(run, table, baseline="none", epochs=1)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.warns(UserWarning, match="is finished"):
        again = polytask.resume(run)
    assert again.record == polytask.load(run).record
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def change_a_label(table: pa.Table) -> pa.Table:
    values = table["click"].to_pylist()
    values[7] = 1 - values[7]
    place = table.column_names.index("click")
    return table.set_column(place, "click", pa.array(values, table.schema.field("click").type))


def change_an_input(table: pa.Table) -> pa.Table:
    place = table.column_names.index("hour")
    late = pc.add(table["hour"], pa.array([1] + [0] * (table.num_rows - 1)))
    return table.set_column(place, "hour", late)


CHANGES: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a label": (change_a_label, "rows: "),
    "an input": (change_an_input, "rows: "),
    "a row less": (lambda table: table.slice(0, table.num_rows - 1), "rows: 2,528 .* then, 2,527"),
    "another name": (
        lambda table: table.rename_columns(
            ["hr" if name == "hour" else name for name in table.column_names]
        ),
        "encoders: ",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_changed_is_refused(change: str, table: Path, tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "log.parquet"
    shutil.copy(table, copy)
    stop_after(run, copy, steps=6)
    before = (run / "steps.jsonl").read_bytes()
    alter, words = CHANGES[change]
    pq.write_table(alter(pq.read_table(copy)), copy)
    with pytest.raises(UserError, match=rf"no longer the run .*{words}"):
        go_on(run)
    assert (run / "steps.jsonl").read_bytes() == before


def test_a_table_written_anew_with_the_same_content_is_the_same(
    table: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    run, copy = tmp_path / "run", tmp_path / "log.parquet"
    shutil.copy(table, copy)
    stop_after(run, copy, steps=6)
    pq.write_table(pq.read_table(copy), copy, compression="zstd", row_group_size=500)
    shutil.move(run, tmp_path / "elsewhere")
    assert go_on(tmp_path / "elsewhere") == []
    ended = contents(tmp_path / "elsewhere")
    del ended["run.yaml"]
    assert ended == {name: value for name, value in whole.items() if name != "run.yaml"}


def test_other_threads_are_warned_of(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stop_after(run, table, steps=6, baseline="none")
    (notice,) = go_on(run, threads=2)
    assert "not bit-identical" in notice and "threads: 1 then, 2 now" in notice
    assert polytask.load(run).metrics.speed.steps == STEPS


def test_an_edited_run_yaml_is_refused(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stop_after(run, table, steps=6)
    options = (run / "run.yaml").read_text()
    edited = options.replace("epochs: 2", "epochs: 3").replace("dropout: 0.2", "dropout: 0.1")
    (run / "run.yaml").write_text(edited)
    with pytest.raises(UserError, match=r"epochs: 2 then, 3 now; option dropout: 0.2 then, 0.1"):
        go_on(run)


def test_tables_in_memory_are_handed_over_again(log: pa.Table, tmp_path: Path) -> None:
    options = {**OPTIONS, "baseline": "none"}
    del options["tasks"]
    rows, test = log.slice(0, 1500), log.slice(1500, 500)
    tasks = OPTIONS["tasks"]
    expected = fit(rows, tasks, test=test, **options)
    config = validate_config({**OPTIONS, "baseline": "none", "out": str(tmp_path / "run")})
    events = fit_events(config, rows, parts={"test": test})
    for event in events:
        if isinstance(event, TrainStep) and event.step == 6:
            events.close()
    with pytest.raises(UserError, match=r"polytask\.resume\(run, table\)"):
        polytask.resume(tmp_path / "run")
    with pytest.raises(UserError, match="test rows: 500"):
        polytask.resume(tmp_path / "run", rows)
    run = polytask.resume(tmp_path / "run", rows, test=test)
    assert run.predict(rows).equals(expected.predict(rows))


class Sums(torch.nn.Module):
    """An encoder of somebody's own, with random weights."""

    out_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 3)

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        parts = [inputs["numeric"].nan_to_num().sum(1), inputs["categorical"].float().mean(1)]
        return self.linear(torch.stack(parts, dim=1))


def test_an_encoder_of_one_s_own_starts_every_model_alike(table: Path, tmp_path: Path) -> None:
    """Also the baselines that were not begun: its first weights are kept."""
    config = validate_config({**OPTIONS, "table": str(table), "out": str(tmp_path / "run")})
    encoder = Sums()
    fresh = {name: value.clone() for name, value in encoder.state_dict().items()}
    events = fit_events(config, own=OwnParts(encoder))
    next(event for event in events if isinstance(event, TrainStep) and event.step == 6)
    events.close()
    with pytest.raises(UserError, match="the weights that it began with"):
        polytask.resume(tmp_path / "run", encoder=torch.nn.Linear(2, 2))
    run = polytask.resume(tmp_path / "run", encoder=Sums())
    again = Sums()
    again.load_state_dict(fresh)
    options = {name: value for name, value in OPTIONS.items() if name != "tasks"}
    expected = fit(table, OPTIONS["tasks"], encoder=again, **options)
    assert without_clocks(asdict(run.metrics)) == without_clocks(asdict(expected.metrics))


def test_a_warm_start_needs_its_source_only_until_the_first_checkpoint(
    table: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    stop_after(first, table, baseline="none", epochs=1)
    warm = {"init_from": str(first), "baseline": "none"}
    stop_after(second, table, steps=3, **warm)
    go_on(second)
    stop_after(tmp_path / "third", table, steps=6, **warm)
    shutil.rmtree(first)
    go_on(tmp_path / "third")
    ended = contents(second)
    for name in ("model.safetensors", "metrics.json", "steps.jsonl"):
        assert contents(tmp_path / "third")[name] == ended[name]


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["polytask", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_command_line_goes_on_with_no_other_option(
    table: Path,
    whole: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    stop_after(run, table, steps=14)
    out = ["--out", str(run)]
    assert command(monkeypatch, "fit", str(table), "--task", "click:binary", *out) == 2
    assert "or go on with --resume=" in capsys.readouterr().err
    others = ["--epochs", "3", "--task", "click", str(table), "--no-intervals"]
    assert command(monkeypatch, "fit", "--resume", str(run), *others) == 2
    told = capsys.readouterr().err
    assert "leave out TABLE, --task, --epochs, --intervals; only --threads" in told
    assert command(monkeypatch, "fit", "--resume", str(tmp_path / "none")) == 2
    assert "there is no run.yaml to go on from" in capsys.readouterr().err
    assert command(monkeypatch, "fit", "--resume", str(run), "--threads", "one") == 2
    assert "threads" in capsys.readouterr().err
    assert command(monkeypatch, "fit", "--resume", str(run), "--threads", "1") == 0
    printed = capsys.readouterr().out
    assert "multi-task, going on after step 12" in printed and f"run: {run}" in printed
    assert contents(run) == whole
    assert command(monkeypatch, "fit", "--resume", str(run)) == 0
    assert "is finished" in capsys.readouterr().out


def test_an_interrupted_fit_says_how_to_go_on(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("polytask.fitting.session.Trained.of", interrupt)
    arguments = ["fit", str(table), *FIT, "--epochs", "1", "--out", str(tmp_path / "run")]
    assert command(monkeypatch, *arguments) == 130
    assert f"go on with: polytask fit --resume {tmp_path / 'run'}" in capsys.readouterr().err


def run_or_kill(
    forked: Forked, *arguments: str, run: Path, kill_after: float | None = None, report: bool
) -> tuple[int | None, float]:
    """The exit code, and the seconds from the moment that run.yaml was there."""
    running = forked.start(*arguments, report=report)
    running.wait_for(run / "run.yaml")
    began = time.monotonic()
    if kill_after is not None:
        time.sleep(kill_after)
        running.signal(signal.SIGKILL)
    ended = running.wait(300)
    assert ended.code in (0, -signal.SIGKILL), ended
    return ended.code, time.monotonic() - began


FIT = [
    *("--task", "click:binary", "--task", "watch=watch_seconds:regression"),
    *("--transform", "watch=log1p", "--after", "like,follow", "--balancer", "dwa"),
    *("--dropout", "0.2", "--num-experts", "2", "--expert-hidden", "8", "--batch-size", "256"),
    *("--validations-per-epoch", "2", "--checkpoint-every", "1", "--log-every", "1"),
    *("--no-intervals", "--threads", "1"),
]


def kill_and_compare(
    forked: Forked, table: Path, folder: Path, *, kills: int, epochs: int, report: bool = False
) -> list[str]:
    """Kill one run after another at random moments, resume each; one line of words for each."""
    arguments = ["fit", str(table), *FIT, "--epochs", str(epochs)]
    whole = folder / "whole"
    _, seconds = run_or_kill(forked, *arguments, "--out", str(whole), run=whole, report=report)
    expected, told = contents(whole), []
    for number in range(kills):
        run = folder / f"run-{number}"
        # Evenly spread and random within its share, so that a few kills meet all of a run as well.
        moment = seconds * (number + random.random()) / kills
        fit = [*arguments, "--out", str(run)]
        while run_or_kill(forked, *fit, run=run, kill_after=moment, report=report)[0] == 0:
            moment *= 0.8  # It was faster this time, and at its end before the kill.
            shutil.rmtree(run)
        steps = run / "steps.jsonl"
        lines = steps.read_bytes().count(b"\n") if steps.exists() else 0
        half = [path.name for path in run.rglob("*.part")]
        forked.run("fit", "--resume", run, seconds=300, report=report).ended()
        same = contents(run) == expected
        told.append(
            f"{'equal' if same else 'DIFFERENT'}: killed after {moment:.2f} s, {lines} lines, "
            f"half written: {', '.join(half) or 'nothing'}"
        )
    return told


def test_killed_at_two_random_moments(table: Path, tmp_path: Path, forked: Forked) -> None:
    told = kill_and_compare(forked, table, tmp_path, kills=2, epochs=2)
    assert all(line.startswith("equal") for line in told), "\n".join(told)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(table: Path, tmp_path: Path, forked: Forked) -> None:
    told = kill_and_compare(forked, table, tmp_path, kills=20, epochs=8, report=True)
    print("\n".join(told))
    assert all(line.startswith("equal") for line in told), "\n".join(told)


@pytest.mark.slow
def test_on_disk_killed_at_twenty_random_moments(
    log: pa.Table, tmp_path: Path, forked: Forked
) -> None:
    """While rows are encoded, trained on, saved and scored: the end is that of a run without a break,
    and of what was half written nothing is left or used."""
    table = tmp_path / "log"
    table.mkdir()
    for number in range(3):
        pq.write_table(log, table / f"{number}.parquet")
    fit = ["fit", str(table), *FIT, "--epochs", "1", "--on-disk", "always", "--baseline", "none"]
    began = time.monotonic()
    forked.run(*fit, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "whole")).ended()
    seconds, expected = time.monotonic() - began, contents(tmp_path / "whole")
    expected["run.yaml"] = without_cache(expected["run.yaml"])
    for number in range(20):
        run, cache = tmp_path / f"run-{number}", tmp_path / f"cache-{number}"
        arguments = [*fit, "--cache", str(cache), "--out", str(run)]
        running = forked.start(*arguments)
        time.sleep(seconds * (number + random.random()) / 20)
        running.signal(signal.SIGKILL)
        running.wait(300)
        if not (run / "run.yaml").exists():
            forked.run(*arguments, seconds=300).ended()
        elif not (run / "metrics.json").exists():
            forked.run("fit", "--resume", run, seconds=300).ended()
        found = contents(run)
        found["run.yaml"] = without_cache(found["run.yaml"])
        assert found == expected
        (store,) = (path for path in cache.iterdir() if path.suffix != ".alias")
        assert (store / "store.json").exists()


def without_cache(lines: object) -> list[str]:
    assert isinstance(lines, list)
    return [line for line in lines if not line.startswith("cache:")]
