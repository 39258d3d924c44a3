"""The page of a study: what it says in words, and in Chromium at both widths."""

from dataclasses import replace
from pathlib import Path

import pytest

from polytask.errors import UserError
from polytask.records import EnvironmentRecord, Gain, MetricValue
from polytask.records.codec import to_json
from polytask.records.transfer import (
    CapacityPoint,
    CheapScore,
    Effect,
    GroupingRecord,
    Remedy,
    TransferRecord,
    TransferTask,
)
from polytask.records.transfer_files import ORIGIN, TRANSFER
from polytask.report import write_report
from polytask.report.formatting import MINUS
from polytask.report.heatmap import in_cell
from polytask.report.transfer import render_transfer
from polytask.report.transfer_rows import grouping_rows
from polytask.report.transfer_text import (
    capacity_words,
    grouping_words,
    harm_words,
    judgement,
    verdict,
    warnings,
)

NAMES = ("click", "like", "a_task_with_a_long_name", "<b>watch</b>")
BETTER, WORSE = Gain("auc", 0.01, 0.005, 0.015), Gain("auc", -0.01, -0.015, -0.005)
OPEN = Gain("auc", 0.001, -0.004, 0.006)


def task(name: str, *, too_few: str | None = None) -> TransferTask:
    alone = MetricValue("auc", 0.7, 0.68, 0.72, "higher", "AUC")
    return TransferTask(name, "binary", "AUC", "higher", 9000, 1000, 90, alone, too_few)


def score(name: str, correlation: float | None, low: float, high: float) -> CheapScore:
    rows = tuple(tuple(None if i == j else 1e-4 * (i - j) for j in range(4)) for i in range(4))
    known = (low, high) if correlation is not None else (None, None)
    return CheapScore(name, f"the {name} score", "what it means", rows, 12, correlation, *known)


@pytest.fixture
def record() -> TransferRecord:
    pairs = [(i, j) for i in NAMES for j in NAMES if i != j]
    groups = (("click", "like"), NAMES[2:3], NAMES[3:])
    effects = tuple(Effect("recommended", name, OPEN) for name in NAMES)
    return TransferRecord(
        name="log.parquet",
        tasks=(
            *map(task, NAMES),
            task("rare", too_few="7 labels of yes among the validation rows"),
        ),
        order=NAMES,
        pairs=tuple(Effect(i, j, BETTER if j == "click" else OPEN) for i, j in pairs),
        together=(Effect("all", "click", BETTER), Effect("all", "like", WORSE)),
        left_out=(Effect("click", "like", BETTER), Effect(NAMES[3], "like", OPEN)),
        scores=(
            score("good", 0.7, 0.2, 0.9),
            score("bad", -0.7, -0.9, -0.2),
            score("open", 0.1, -0.5, 0.6),
            score("none", None, 0, 0),
        ),
        groupings=(
            GroupingRecord(
                "one model a task",
                tuple((n,) for n in NAMES),
                0.0,
                Gain("m", 0, 0, 0),
                effects,
                "test",
            ),
            GroupingRecord("one model for all", (NAMES,), -0.01, WORSE, effects, "test"),
            GroupingRecord("recommended", groups, 0.01, BETTER, effects, "test"),
            GroupingRecord("by TAG affinity", groups, 0.01, BETTER, effects, "test"),
        ),
        remedies=(
            Remedy("without click", "like", BETTER, OPEN),
            Remedy("trunk ple", "like", OPEN, WORSE),
        ),
        capacity=tuple(
            CapacityPoint(w, n, 0.7 + w / 1000, 0.001, 0.71, 0.001)
            for w in (5, 50)
            for n in NAMES[:2]
        ),
        rows={"train": 9000, "valid": 1000, "test": 1000},
        num_seeds=2,
        num_trainings=34,
        seconds=120.0,
        split="at random, seed 0",
        notes=("one seed: something",),
        command="polytask transfer log.parquet",
        created="2026-01-01T00:00:00+00:00",
        environment=EnvironmentRecord(1, "0", "2", "3", "Linux", "AVX2", 2, 1),
    )


def test_the_verdict_names_who_is_better_and_who_is_worse(record) -> None:
    assert verdict(record) == (
        "In one model for all, click is better than alone; like is worse than alone. Recommended: 3 "
        "models: click with like, a_task_with_a_long_name and <b>watch</b>."
    )
    open_ = replace(record, together=(Effect("all", "click", OPEN),))
    assert "no task is detectably better or worse" in verdict(open_)


def test_harm_names_the_culprit_and_what_was_measured_to_mend_it(record) -> None:
    (sentence,) = harm_words(record)
    assert sentence.startswith(
        "like is worse in one model for all than alone (\N{MINUS SIGN}0.0100"
    )
    assert "leaving click out makes it better; measured to help: without click." in sentence
    untried = replace(record, left_out=(), remedies=())
    assert harm_words(untried)[0].endswith("leaving out no single task makes it detectably better.")


def test_each_score_is_judged_in_words(record) -> None:
    words = {each.name: judgement(each).words for each in record.scores}
    assert "better than chance" in words["good"]
    assert "the wrong way round" in words["bad"]
    assert "no evidence" in words["open"]
    assert "nothing to compare" in words["none"]


def test_a_grouping_that_is_another_one_again_is_one_line(record) -> None:
    titles = [row.title for row in grouping_rows(record)]
    assert titles == ["one model a task", "one model for all", "recommended = by TAG affinity"]
    assert "on the test rows, which chose nothing" in grouping_words(record)


def test_rare_tasks_and_notes_are_warnings(record) -> None:
    first, second = warnings(record)
    assert "rare (7 labels of yes among the validation rows)" in first
    assert second == "One seed: something."


def test_capacity_says_whether_one_width_suits_all(record) -> None:
    assert "one width suits all within two standard errors: 50" in capacity_words(record.capacity)
    apart = tuple(
        replace(p, together=0.7 if (p.width == 5) == (p.task == "click") else 0.8)
        for p in record.capacity
    )
    assert "no one width is within two standard errors" in capacity_words(apart)


def test_names_are_escaped(record) -> None:
    page = render_transfer(record)
    assert "<b>watch</b>" not in page and "&lt;b&gt;watch" in page


def test_the_page_fits_both_widths_and_asks_for_nothing(record, tmp_path: Path, browse) -> None:
    found, console = browse(tmp_path, render_transfer(record))
    assert console == []
    for width in (390, 1280):
        assert found[str(width)]["wide"] == [] and found[str(width)]["scroll"] <= width
        assert found[str(width)]["seen"] > 3000


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.001, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.6, "1235")],
)
def test_a_number_in_a_cell_has_three_digits(value: float, text: str) -> None:
    assert in_cell(value) == text
    assert in_cell(-100 - abs(value)).startswith(MINUS)


def test_the_report_of_its_folder_is_drawn_anew(record: TransferRecord, tmp_path: Path) -> None:
    (tmp_path / ORIGIN).write_text("{}")
    with pytest.raises(UserError, match="no finished study of transfer"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
    (tmp_path / TRANSFER).write_text(to_json(record))
    assert write_report(tmp_path).read_text() == render_transfer(record)
    with pytest.raises(UserError, match="the report is drawn from"):
        write_report(tmp_path, out=tmp_path / TRANSFER, overwrite=True)
