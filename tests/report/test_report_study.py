"""The page of a study: what it says of records whose truth is known, and that it fits both screens."""

from dataclasses import replace
from pathlib import Path

import pytest

from polytask.records import EnvironmentRecord, Gain, MetricValue
from polytask.records.codec import from_json, to_json
from polytask.records.study import (
    Advice,
    DeltaM,
    FrontPoint,
    Paired,
    StudyCell,
    StudyRecord,
    StudyRow,
    StudyTask,
    TrialLine,
)
from polytask.records.study_files import RECORD, STUDY
from polytask.report import write_report
from polytask.report.study import render_study
from polytask.report.study_text import answer, verdict, warnings

NASTY = 'like<b>&"x"'
TASKS = ("click", NASTY)
ENVIRONMENT = EnvironmentRecord(2, "0.1.0", "2.13.0", "3.11.7", "Linux x86_64", "AVX2", 2, 1)


def paired(gain: float, verdict_: str) -> Paired:
    holm = {"better": 0.01, "worse": 0.01, "none": 0.5, "open": None}[verdict_]
    ends = (None, None) if holm is None else (gain - 0.001, gain + 0.001)
    return Paired(Gain("auc", gain, *ends), holm, holm)


def row(
    name: str, group: str, gains: tuple[tuple[float, str], ...], *, over_equal: str = "none"
) -> StudyRow:
    cells = tuple(
        StudyCell(
            task,
            MetricValue("auc", 0.7 + gain, 0.69 + gain, 0.71 + gain, "higher", "AUC"),
            None if group == "equal" else paired(0.001, over_equal),
            None if group == "single" else paired(gain, says),
        )
        for task, (gain, says) in zip(TASKS, gains)
    )
    return StudyRow(
        name=name,
        title=name,
        group=group,  # type: ignore[arg-type]
        trunk="mmoe",
        balancer="" if group in ("single", "trees") else name,
        auxiliary=(),
        trials=8,
        pruned=1,
        failed=0,
        score=0.71,
        chosen={"learning_rate": 0.003} | ({"weights": "0.4, 1.6"} if group == "static" else {}),
        cells=cells,
        mean_over_equal=None if group == "equal" else paired(0.001, over_equal),
        mean_over_single=None if group == "single" else paired(0.001, "none"),
        delta_m=None if group == "single" else DeltaM(-0.5, 0.25, 4),
        mean_rank=2.0,
        seconds=12.5,
        memory=800_000_000,
        passes=0.0 if group == "trees" else 1.0,
        parameters=1000,
    )


def record(**changes: object) -> StudyRecord:
    """Equal weights: click better, the other worse; a rule that is better than equal weights; trees behind."""
    rows = (
        row("equal weights", "equal", ((0.01, "better"), (-0.02, "worse"))),
        row("searched static weights", "static", ((0.01, "none"), (0.01, "none"))),
        row("nash_mtl", "method", ((0.02, "better"), (0.0, "none")), over_equal="better"),
        row("separate models", "single", ((0.0, "none"), (0.0, "none"))),
        row("gradient-boosted trees", "trees", ((-0.05, "worse"), (-0.05, "worse"))),
    )
    front = tuple(
        FrontPoint(
            "searched static weights",
            "static",
            (w, 2 - w),
            {"click": 0.7 + w / 100, NASTY: 0.72 - w / 90},
        )
        for w in (0.2, 0.6, 1.0, 1.8)
    )
    front += tuple(
        FrontPoint(each.name, each.group, (), {"click": 0.71, NASTY: 0.715})
        for each in rows
        if each.group != "static"
    )
    made = StudyRecord(
        name="log.parquet",
        tasks=tuple(
            StudyTask(t, "binary", "auc", "AUC", "higher", "order of pairs") for t in TASKS
        ),
        rows=rows,
        trials=(
            TrialLine("nash_mtl", 0, "failed", None, 0.0, {}, {}, "out of memory"),
            TrialLine("equal weights", 0, "done", 0.7, 3.0, {"width": 1.0}, {"click": 0.7}),
        ),
        front=front,
        front_tasks=TASKS,
        seeds=(1, 2, 3),
        num_seeds=3,
        num_trials=20,
        rank_set=tuple(each.name for each in rows),
        advice=Advice("equal weights", "nash_mtl", ("equal weights", "nash_mtl"), ("winner.yaml",)),
        num_rows={"train": 1000, "valid": 100, "test": 26_555},
        split="at random",
        notes=(),
        is_finished=True,
        seconds=1000.0,
        budget=3600.0,
        command="polytask study runs/a/study.yaml --out runs/a-again",
        created="2026-11-27T22:00:00+00:00",
        environment=ENVIRONMENT,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_record_survives_its_file() -> None:
    made = record()
    assert from_json(to_json(made), StudyRecord, where="study.json") == made


def test_the_verdict_names_what_is_better_worse_and_the_same() -> None:
    words = verdict(record())
    assert words.startswith("Use one network: trunk mmoe, equal weights.")
    assert "better on click (+0.0100 AUC)" in words
    assert f"worse on {NASTY} (\u22120.0200 AUC)" in words
    advised = Advice("searched static weights", "nash_mtl", ("nash_mtl",), ())
    words = verdict(record(advice=advised))
    assert "the static weights 0.4, 1.6" in words
    assert "not detectably different on click and like" in words


def test_separate_models_are_told_against_equal_weights() -> None:
    advised = Advice("separate models", "separate models", ("separate models",), ())
    alone = replace(record().rows[3], mean_over_equal=paired(0.02, "better"))
    rows = (*record().rows[:3], alone, *record().rows[4:])
    found = dict(answer(record(advice=advised, rows=rows)))
    assert found["What does it gain?"] == (
        "Against one network with equal weights it is better in the mean of the tasks (+0.0200)."
    )


def test_what_only_the_mean_of_the_tasks_shows_is_said() -> None:
    """A harm that no task shows by itself is a harm."""
    static = replace(record().rows[1], mean_over_single=paired(-0.01, "worse"))
    rows = (record().rows[0], static, *record().rows[2:])
    advised = Advice("searched static weights", "nash_mtl", ("nash_mtl",), ())
    words = verdict(record(advice=advised, rows=rows))
    assert words.endswith("In the mean of the tasks it is worse (\u22120.0100).")
    assert "In the mean of the tasks it is" not in verdict(record())


@pytest.mark.parametrize(
    ("row_", "words"),
    [
        ("separate models", "Use a separate network for each task."),
        ("gradient-boosted trees", "Use gradient-boosted trees, one model a task."),
        ("nash_mtl", "Use one network: trunk mmoe, the balancing rule nash_mtl."),
    ],
)
def test_every_kind_of_row_can_be_the_advice(row_: str, words: str) -> None:
    assert verdict(record(advice=Advice(row_, row_, (row_,), ()))).startswith(words)


def test_the_answers_say_whether_balancing_pays_and_what_it_costs() -> None:
    found = dict(answer(record()))
    assert "nash_mtl (+0.0010) is better than equal weights" in found["Does balancing pay?"]
    assert "against 12.5 s for 2 separate models" in found["What does it cost?"]
    assert "26,555 test rows" in found["How sure is that?"]
    assert "2 ways cannot be told from the best (nash_mtl)" in found["How sure is that?"]


def test_a_seesaw_is_warned_of() -> None:
    made = record()
    assert made.rows[0].is_seesaw and not made.rows[2].is_seesaw
    assert any(text.startswith("Seesaw: equal weights makes") for text in warnings(made))


def test_a_study_under_way_says_so() -> None:
    bare = [
        replace(each, cells=(), mean_over_equal=None, mean_over_single=None)
        for each in record().rows
    ]
    made = record(rows=tuple(bare), advice=None, is_finished=False, seeds=(), rank_set=())
    assert verdict(made).startswith("Under way: 2 of 20 trials have ended.")
    assert "not finished" in warnings(made)[0]
    page = render_study(made)
    assert "Under way" in page and 'id="answer"' not in page


def test_the_page_shows_every_row_failure_and_picture() -> None:
    page = render_study(record())
    for each in record().rows:
        assert each.title in page
    assert "out of memory" in page and "no detectable difference" in page
    assert "over metrics" in page and "over tasks" in page
    assert page.count("<svg") == 3
    assert NASTY not in page and "like&lt;b&gt;" in page
    assert "polytask fit --config winner.yaml" in page


def test_without_seeds_enough_nothing_is_claimed() -> None:
    rows = tuple(
        replace(
            each,
            cells=tuple(
                replace(
                    cell,
                    over_single=cell.over_single and paired(cell.over_single.gain.value, "open"),
                )
                for cell in each.cells
            ),
        )
        for each in record().rows
    )
    assert "too few seeds" in verdict(record(rows=rows))


def test_the_page_fits_both_widths_and_asks_for_nothing(tmp_path: Path, browse) -> None:
    found, console = browse(tmp_path, render_study(record()))
    assert console == []
    for width in (390, 1280):
        measured = found[str(width)]
        assert measured["wide"] == []
        assert measured["scroll"] <= width
        assert measured["seen"] > 2000


def test_the_report_of_its_folder_is_drawn_anew(tmp_path: Path) -> None:
    (tmp_path / STUDY).write_text("")
    (tmp_path / RECORD).write_text(to_json(record()))
    assert write_report(tmp_path).read_text() == render_study(record())
