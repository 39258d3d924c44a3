"""Studies end to end: what every study has, kills, failures, budgets, bad input."""

import json
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from forked import Forked
from polytask.config import read_config
from polytask.config.study import read_study
from polytask.errors import UserError
from polytask.fitting import fit_events
from polytask.fitting.events import Finished, Notice
from polytask.fitting.preparing.prepare import prepare
from polytask.records.study import StudyRecord
from polytask.records.study_files import read_record
from polytask.study import training
from polytask.study.configurations import configurations
from polytask.study.events import FinalEnded, StudyFinished, TrialEnded
from polytask.study.folder import StudyFolder
from polytask.study.running import run_study, study_events

_OF_A_MACHINE = ("seconds", "memory", "created", "budget", "command", "running", "environment")


def without_times(value: object) -> object:
    """What a study says, without what a machine adds."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in _OF_A_MACHINE}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def said(folder: Path) -> object:
    return without_times(json.loads((folder / "study.json").read_text()))


def test_a_study_of_few_rows(asked) -> None:
    """Equal weights and separate models, one trial each, three seeds: files, counts, figures."""
    config = asked()
    events = list(study_events(config))
    record = events[-1].record
    assert isinstance(events[-1], StudyFinished) and record.is_finished
    names = ["equal weights", "separate models"]
    assert [row.name for row in record.rows] == names
    assert sum(isinstance(event, TrialEnded) for event in events) == 3 == len(record.trials)
    finals = [event for event in events if isinstance(event, FinalEnded)]
    assert len(finals) == 9 and {event.seed for event in finals} == {1, 2, 3}
    assert record.seeds == (1, 2, 3) and record.rank_set == tuple(names)
    equal, single = record.rows
    assert all(cell.over_equal is None for cell in equal.cells)
    for ours, theirs in zip(equal.cells, single.cells):
        gain = ours.over_single.gain
        assert gain.value == pytest.approx(ours.value.value - theirs.value.value)
        assert theirs.over_equal.gain.value == pytest.approx(-gain.value)
        assert gain.low < gain.value < gain.high
        assert ours.over_single.holm >= ours.over_single.p_value
    assert equal.passes == 1.0 and single.passes == 2.0
    assert equal.delta_m is not None and single.delta_m is None
    assert record.num_rows == {"train": 720, "valid": 240, "test": 240}
    assert any("left out on request: static, rlw, trees" in note for note in record.notes)
    folder = config.out
    assert read_record(folder) == record
    assert "<html" in (folder / "report.html").read_text()


def test_the_winner_is_a_fit_that_reaches_what_was_promised(asked) -> None:
    config = asked(leave_out=["static", "rlw", "trees", "single"])
    record = run_study(config)
    assert record.advice is not None and record.advice.row == "equal weights"
    [name] = record.advice.configs
    fit = read_config(config.out / name).model_copy(update={"seed": 1})
    run = next(each.run for each in fit_events(fit) if isinstance(each, Finished))
    # Under the seed of the first final training it is that training.
    folder, _, _ = StudyFolder.open(config.out)
    final, _ = folder.final("equal weights", 1)
    folder.release()
    for task, value in final.valid.items():
        assert run.metrics.tasks[task].valid["auc"].value == pytest.approx(value, abs=1e-6)


@pytest.mark.slow
def test_every_mandatory_row_is_there_unless_it_is_named(asked) -> None:
    record = run_study(asked(leave_out=[], balancers=["mgda"]))
    groups = {row.group: row for row in record.rows}
    assert set(groups) == {"equal", "static", "rlw", "method", "single", "trees"}
    assert groups["static"].trials == 9 and groups["rlw"].trials == 1
    assert groups["single"].trials == groups["trees"].trials == 2, "one a task"
    assert groups["method"].passes == 3.0, "one a task to the seam, and one below"
    static = [point for point in record.front if point.group == "static"]
    assert [point.weights[0] for point in static] == pytest.approx([0.2 * k for k in range(1, 10)])
    assert {point.group for point in record.front} == set(groups)
    assert not any("left out" in note for note in record.notes)


@pytest.mark.slow
def test_killed_twice_it_ends_as_if_undisturbed(asked, tmp_path: Path, forked: Forked) -> None:
    """kill -9 among the trials and among the final trainings; no finished training is repeated."""
    config = asked(leave_out=["trees"], balancers=["dwa"], trials=2, out=str(tmp_path / "whole"))
    run_study(config)
    yaml, out = config.out / "study.yaml", tmp_path / "killed"
    running = forked.start("study", yaml, "--out", out, report=True)
    until(lambda: ended_trials(out) >= 3)
    running.signal(signal.SIGKILL)
    running.wait()
    assert 3 <= ended_trials(out) < 17
    running = forked.start("study", "--resume", out, report=True)
    until(lambda: len([*out.glob("trainings/*.json")]) >= 3)
    running.signal(signal.SIGKILL)
    running.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("trainings/*.json")}
    assert 3 <= len(kept) < 15
    forked.run("study", "--resume", out, seconds=120).ended()
    assert said(out) == said(config.out)
    for name, changed in kept.items():
        assert (out / "trainings" / name).stat().st_mtime_ns == changed


def ended_trials(folder: Path) -> int:
    path = folder / "trials.db"
    if not path.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
            return int(
                base.execute("SELECT count(*) FROM trials WHERE state='COMPLETE'").fetchone()[0]
            )
    except sqlite3.OperationalError:
        return 0  # Its tables are being made.


def until(happened, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_a_trial_that_fails_is_recorded_and_the_study_goes_on(
    asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training._fit

    def failing(asked_for, prepared, report, parts):
        if asked_for.configuration.name == "mgda":
            raise UserError("the loss of click is not finite at step 3")
        return real(asked_for, prepared, report, parts)

    monkeypatch.setattr(training, "_fit", failing)
    record = run_study(asked(balancers=["mgda"], leave_out=["static", "rlw", "trees", "single"]))
    equal, mgda = record.rows
    assert (mgda.failed, mgda.trials, mgda.cells) == (1, 0, ())
    assert len(equal.cells) == 2
    assert any("failed: mgda (trial 1): the loss of click" in note for note in record.notes)
    [failed] = [line for line in record.trials if line.state == "failed"]
    assert failed.reason == "the loss of click is not finite at step 3"


def test_a_budget_that_is_too_small_leaves_a_valid_report(asked) -> None:
    config = asked(budget="9s", trials=30, seeds=30)
    started = time.monotonic()
    record = run_study(config)
    assert time.monotonic() - started < 30
    assert record.is_finished and len(record.seeds) < 30
    assert any("the budget of 9 s was spent" in note for note in record.notes)
    assert read_record(config.out) == record
    assert "budget" in (config.out / "report.html").read_text()


def test_fewer_than_three_seeds_are_warned_of_and_have_no_interval(asked) -> None:
    events = list(study_events(asked(seeds=2, leave_out=["static", "rlw", "trees", "single"])))
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("2 seeds: with fewer than 3 there is no interval" in text for text in notices)
    record: StudyRecord = events[-1].record
    assert all(cell.value.low is None for row in record.rows for cell in row.cells)


def refused(events) -> str:
    with pytest.raises(UserError) as caught:
        list(events)
    return caught.value.message


def test_without_test_rows_there_is_no_study(asked) -> None:
    assert "judged on test rows" in refused(study_events(asked(fit={"test_fraction": 0.0})))


def test_without_validation_rows_there_is_no_study(asked) -> None:
    assert "validation rows" in refused(study_events(asked(fit={"valid_fraction": 0.0})))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trunks: [mmoe, {name: mmoe, top_k: 99}]\n", "study.yaml:14:16: trunks.1: trunk mmoe: "),
        ("trunks: [mmoo]\n", "study.yaml:14:10: trunks.0: unknown trunk 'mmoo'"),
        (
            "balancers: [mgda, {name: cagrad, c: five}]\n",
            "study.yaml:14:19: balancers.1: balancer cagrad: c: ",
        ),
        ("balancers: [nash]\n", "study.yaml:14:13: balancers.0: unknown balancer 'nash'"),
        ("auxiliary: [[], [nothing]]\n", "auxiliary"),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_runs(
    tmp_path: Path, log: Path, text: str, said: str
) -> None:
    path, out = tmp_path / "study.yaml", tmp_path / "out"
    fit = (
        f"fit:\n  table: {log}\n  tasks: [click, like]\n  epochs: 1\n  batch_size: 256\n"
        "  ensemble: 1\n  valid_fraction: 0.2\n  test_fraction: 0.2\n  threads: 1\n"
    )
    path.write_text(f"{fit}leave_out: [trees]\nout: {out}\ntrials: 1\nseeds: 3\n{text}")
    config, places = read_study(path)
    found = refused(study_events(config, places=places)).replace(f"{tmp_path}/", "")
    assert said in found
    assert not out.exists()


def test_a_metric_without_direction_cannot_choose(tmp_path: Path, log: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        f"fit:\n  table: {log}\n  tasks: [click, like]\n  monitor: click.calibration\nout: {tmp_path / 'o'}\n"
    )
    config, places = read_study(path)
    found = refused(study_events(config, places=places))
    assert "study.yaml:4:3: fit.monitor: " in found and "no better direction" in found


def test_a_storage_that_cannot_be_reached_is_said_before_anything_runs(asked) -> None:
    config = asked(storage="postgresql+psycopg://me:secret@127.0.0.1:1/study")
    found = refused(study_events(config))
    assert "cannot be reached" in found and "secret" not in found


def test_one_task_alone_has_nothing_to_compare(asked) -> None:
    assert "nothing is shared" in refused(study_events(asked(fit={"tasks": ["click"]})))


def test_a_study_does_not_go_on_with_other_options(asked) -> None:
    config = asked(leave_out=["static", "rlw", "trees", "single"])
    run_study(config)
    folder, same, _ = StudyFolder.open(config.out)
    found = refused(study_events(same.model_copy(update={"trials": 2}), folder=folder))
    assert "no longer what was started here" in found and "trials" in found


def test_a_folder_that_is_not_a_study_is_left_alone(asked, tmp_path: Path) -> None:
    config = asked(overwrite=True)
    config.out.mkdir()
    (config.out / "thesis.txt").write_text("mine")
    assert "not empty" in refused(study_events(config))
    assert (config.out / "thesis.txt").read_text() == "mine"


def test_a_trial_looks_at_no_test_row(asked) -> None:
    """Without test rows it ends with the same figures."""
    config = asked()
    prepared = prepare(config.fit.model_copy(update={"trunk": config.trunks[0]}))
    [equal, *_] = configurations(config, prepared, trees=[])
    once = training.Training(equal, {"learning_rate": 0.01}, 0)
    found = [
        training.run_trial(once, each, lambda place, score: False)
        for each in (prepared, replace(prepared, test=None))
    ]
    assert found[0].valid == found[1].valid and found[0].score == found[1].score


@pytest.mark.slow
def test_the_number_of_workers_changes_no_figure(asked, tmp_path: Path) -> None:
    changes = {"trials": 3, "balancers": ["dwa"], "leave_out": ["trees"]}
    for workers in (1, 3):
        run_study(asked(workers=workers, out=str(tmp_path / f"{workers}"), **changes))
    assert said(tmp_path / "1") == said(tmp_path / "3")
