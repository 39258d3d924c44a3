"""`polytask transfer` end to end: what comes out, killed and resumed, bad input, rare labels."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting.events import Notice
from polytask.records.transfer import TransferOptions, TransferRecord
from polytask.records.transfer_files import read_transfer
from polytask.transfer.folder import TransferFolder
from polytask.transfer.measuring import TrainingEnded, TransferFinished, transfer_events

QUICK = {"epochs": 2, "batch_size": 256, "ensemble": 1, "threads": 1, "hidden": [8]}
SHAPE = {"trunk": "shared_bottom", "valid_fraction": 0.3, "test_fraction": 0.2}


def table(num_rows: int = 1500, *, seed: int = 0) -> pa.Table:
    """Three tasks of one direction or another, a rare one, and a constant one."""
    rng = np.random.default_rng(seed)
    x_BD = rng.normal(size=(num_rows, 4))
    score_B = x_BD[:, 0] + rng.normal(size=num_rows)
    columns = {f"x{place}": x_B for place, x_B in enumerate(x_BD.T)}
    return pa.table(
        columns
        | {
            "click": (score_B > 0).astype(np.int64),
            "like": (score_B + rng.normal(size=num_rows) > 0.5).astype(np.int64),
            "watch": x_BD[:, 1] + rng.normal(size=num_rows),
            "rare": (np.arange(num_rows) % 100 == 0).astype(np.int64),
            "always": np.ones(num_rows, dtype=np.int64),
        }
    )


def config(tasks: list[str], **more: object):
    inputs = ["x0", "x1", "x2", "x3"]
    return validate_config({"tasks": tasks, "inputs": inputs, **QUICK, **SHAPE, **more})


def record_of(events: Iterator[object]) -> tuple[TransferRecord, list[object]]:
    seen = list(events)
    last = seen[-1]
    assert isinstance(last, TransferFinished)
    return last.record, seen


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransferRecord, list[object], Path]:
    out = tmp_path_factory.mktemp("studies") / "one"
    options = TransferOptions(seeds=2, widths=(2, 8))
    found = transfer_events(
        config(["click", "like", "watch:regression", "rare"], out=str(out)), options, table()
    )
    return *record_of(found), out


def test_every_set_is_trained_once_under_each_seed(study) -> None:
    record, events, out = study
    trained = [event.record for event in events if isinstance(event, TrainingEnded)]
    keys = [(each.tasks, each.seed, each.variant) for each in trained]
    assert len(set(keys)) == len(keys)
    plain = {tasks for tasks, _, variant in keys if not variant}
    assert {("click",), ("like",), ("watch",), ("click", "like", "watch")} < plain
    assert {("click", "like"), ("click", "watch"), ("like", "watch")} <= plain
    assert record.num_trainings == len(keys) + 1, "the rare task's own is not an event"
    assert len([*(out / "trainings").glob("*.json")]) == record.num_trainings


def test_gains_are_those_of_the_recorded_metrics(study) -> None:
    """The mean over seeds of the metric in the pair less the metric alone, as validated."""
    record, _, out = study
    runs = [json.loads(path.read_text()) for path in (out / "trainings").glob("*.json")]
    by_key = {(tuple(r["tasks"]), r["seed"]): r["valid"] for r in runs if not r["variant"]}
    for effect in record.pairs:
        pair = tuple(name for name in record.order if name in (effect.cause, effect.task))
        gains = [
            by_key[pair, seed][effect.task] - by_key[(effect.task,), seed][effect.task]
            for seed in range(2)
        ]
        assert effect.gain.value == pytest.approx(np.mean(gains), abs=1e-9)
        assert effect.gain.low < effect.gain.value < effect.gain.high
    assert len(record.pairs) == 6


def test_leaving_out_is_the_rest_less_all(study) -> None:
    """Positive where the task is better off without the cause."""
    record, _, out = study
    runs = [json.loads(path.read_text()) for path in (out / "trainings").glob("*.json")]
    by_key = {(tuple(r["tasks"]), r["seed"]): r["valid"] for r in runs if not r["variant"]}
    assert len(record.left_out) == 6
    for effect in record.left_out:
        rest = tuple(name for name in record.order if name != effect.cause)
        gains = [
            by_key[rest, seed][effect.task] - by_key[record.order, seed][effect.task]
            for seed in range(2)
        ]
        assert effect.gain.value == pytest.approx(np.mean(gains), abs=1e-9)


def test_affinity_is_the_mean_of_the_runs_of_all_tasks(study) -> None:
    record, _, out = study
    runs = [json.loads(path.read_text()) for path in (out / "trainings").glob("*.json")]
    seen = [np.array(r["affinity"], dtype=float) for r in runs if r["affinity"]]
    assert len(seen) == 2
    shown = next(score.matrix for score in record.scores if score.name == "affinity")
    for i in range(3):
        assert shown[i][i] is None
        for j in {0, 1, 2} - {i}:
            assert shown[i][j] == pytest.approx(np.mean(seen, axis=0)[i, j])


def test_a_small_budget_leaves_out_pairs_and_rows_are_a_sample() -> None:
    tasks = ["click", "like", "watch:regression"]
    options = TransferOptions(budget=5, rows=300)
    record, events = record_of(transfer_events(config(tasks), options, table()))
    trained = [event.record.tasks for event in events if isinstance(event, TrainingEnded)]
    assert len(trained) == record.num_trainings == 5 and record.rows["train"] == 300
    assert sum(len(tasks) == 2 for tasks in trained) == 1
    assert any("2 of 3 pairs" in note for note in record.notes)
    assert any(note.startswith("one seed") for note in record.notes)


def test_a_rare_task_is_named_and_trained_alone_only(study) -> None:
    record, events, _ = study
    assert record.order == ("click", "like", "watch")
    rare = record.tasks[-1]
    assert rare.name == "rare" and "labels of yes" in str(rare.too_few)
    assert rare.alone is not None and rare.alone.low is not None
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("rare" in text and "too few labels" in text for text in notices)


def test_capacity_has_a_point_for_each_width_and_task(study) -> None:
    record, _, _ = study
    assert [(p.width, p.task) for p in record.capacity] == [
        (width, task) for width in (2, 8) for task in ("click", "like", "watch")
    ]


def test_the_record_is_read_back_as_it_was_and_the_page_says_it(study) -> None:
    record, _, out = study
    assert read_transfer(out) == record
    page = (out / "report.html").read_text()
    for words in ("Who helps whom", "Which groups to train together", "rare", "How large"):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org", "").split("</style>")[1].split("<svg")[0]


def test_groupings_are_judged_on_test_rows_and_apart_is_zero(study) -> None:
    record, _, _ = study
    by_title = {each.title: each for each in record.groupings}
    apart = by_title["one model a task"]
    assert apart.mean is not None and (apart.mean.value, apart.mean.low) == (0, 0)
    assert {each.part for each in record.groupings} == {"test"}
    whole = by_title["one model for all"]
    assert whole.mean is not None
    assert whole.mean.value == pytest.approx(np.mean([e.gain.value for e in whole.gains]))


def test_the_same_options_give_the_same_gains(study) -> None:
    record, _, _ = study
    again, _ = record_of(
        transfer_events(
            config(["click", "like", "watch:regression", "rare"]),
            TransferOptions(seeds=2),
            table(),
        )
    )
    assert again.pairs == record.pairs and again.scores == record.scores


def test_a_killed_study_goes_on_without_repeating_a_training(tmp_path: Path) -> None:
    """kill -9 while trainings run; then every finished one is loaded, and the end is the same."""
    pq.write_table(table(), tmp_path / "log.parquet")
    options = ["--task", "click", "--task", "like", "--inputs", "x0,x1,x2,x3", "--seeds", "2"]
    options += ["--epochs", "2", "--batch-size", "256", "--ensemble", "1", "--threads", "1"]
    options += ["--trunk", "shared_bottom", "--valid-fraction", "0.3"]
    command = [sys.executable, "-m", "polytask", "transfer", str(tmp_path / "log.parquet")]
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, *options, "--out", str(out)], stdout=subprocess.DEVNULL, env=os.environ
    )
    deadline = time.monotonic() + 120
    while len([*out.glob("trainings/*.json")]) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("trainings/*.json")}
    assert 2 <= len(done) < 6
    folder, same, asked = TransferFolder.open(out)
    ours, events = record_of(transfer_events(same, asked, folder=folder))
    assert sum(isinstance(e, TrainingEnded) and not e.is_new for e in events) == len(done)
    for name, changed in done.items():
        assert (out / "trainings" / name).stat().st_mtime_ns == changed
    whole, _ = record_of(transfer_events(same.model_copy(update={"out": None}), asked))
    assert (ours.pairs, ours.together, ours.scores) == (whole.pairs, whole.together, whole.scores)


def test_a_study_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    path, out = tmp_path / "log.parquet", tmp_path / "out"
    pq.write_table(table(), path)
    events = transfer_events(
        config(["click", "like"], table=str(path), out=str(out)), TransferOptions(seeds=1)
    )
    for event in events:
        if isinstance(event, TrainingEnded):
            events.close()  # type: ignore[attr-defined]
            break
    pq.write_table(table(seed=1), path)
    folder, same, options = TransferFolder.open(out)
    with pytest.raises(UserError, match=r"no longer what was started here .*rows.* changed"):
        list(transfer_events(same, options, folder=folder))
    with pytest.raises(UserError, match="the folder is not empty; name another out, or go on"):
        list(transfer_events(same, options))
    (out / "mine.txt").write_text("kept")
    (out / "trainings" / "mine.json").write_text("kept")
    again, _ = record_of(transfer_events(same.model_copy(update={"overwrite": True}), options))
    assert read_transfer(out) == again
    assert (out / "mine.txt").read_text() == (out / "trainings" / "mine.json").read_text() == "kept"
    assert len([*(out / "trainings").glob("*.json")]) == again.num_trainings + 1


@pytest.mark.parametrize(
    ("tasks", "more", "message"),
    [
        (["click"], {}, "transfer is between tasks, but there is one: 'click'"),
        (["click", "always"], {}, "'always'"),
        (["click", "like"], {"valid_fraction": 0.0}, "measured on validation rows"),
        (["click", "like"], {"trunk": "nothing"}, "unknown trunk 'nothing'"),
    ],
)
def test_bad_input_is_refused_before_training(tasks, more, message) -> None:
    with pytest.raises(UserError, match=message):
        for event in transfer_events(config(tasks, **more), TransferOptions(), table()):
            assert not isinstance(event, TrainingEnded)


def test_a_budget_below_what_is_required_is_refused() -> None:
    with pytest.raises(UserError, match=r"budget=5: 3 tasks need 8 trainings at least"):
        list(
            transfer_events(
                config(["click", "like", "watch:regression"]),
                TransferOptions(budget=5, seeds=2),
                table(),
            )
        )


def test_tasks_that_share_no_rows_are_measured_but_their_labels_say_nothing() -> None:
    whole = table(3000)
    is_first = np.arange(3000) % 2 == 0
    for name, kept in (("click", is_first), ("like", ~is_first)):
        labels = pa.array(whole[name].to_numpy(), mask=~kept)
        whole = whole.set_column(whole.column_names.index(name), name, labels)
    record, _ = record_of(
        transfer_events(config(["click", "like"]), TransferOptions(seeds=1), whole)
    )
    scores = {score.name: score.matrix for score in record.scores}
    assert scores["labels"][0][1] is None
    assert scores["affinity"][0][1] is not None
    assert len(record.pairs) == 2
