"""A record that is written is read again, equal; whatever else lies there is named with its file."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from polytask.errors import UserError
from polytask.records import (
    Bin,
    Cost,
    Costs,
    DataRecord,
    EnvironmentRecord,
    Evaluation,
    Figures,
    Gain,
    Histogram,
    LabelRecord,
    Leak,
    MetricValue,
    RunRecord,
    ScoreFigures,
    Series,
    Speed,
    StepRecord,
    StitchFigures,
    TaskResult,
    TaskScores,
    ValidationRecord,
    append_history,
    count_test_evaluation,
    read_figures,
    read_history,
    read_metrics,
    write_figures,
    write_metrics,
)

AUC = MetricValue("auc", 0.71, 0.69, 0.73, "higher", "AUC")
CALIBRATION = MetricValue("calibration", 1.02, None, None, "to 1", "calibration")
GIVEN = Evaluation("binary", 40, 0, 30, 0.75, None, None, (AUC,), ())
TEST = Evaluation("binary", 100, 3, 20, 0.2, 9, 80, (AUC, CALIBRATION), ("no gauc",), GIVEN)
STEP = StepRecord("multi-task", 1, 0, 1e-3, {"click": 0.7, "watch": 2}, {"click": 1.0}, 0.25)
VALIDATION = ValidationRecord("multi-task", 1, 0, 0.7, True, {"click": (AUC,)}, {"click": 0.6})
FIGURES = Figures(
    "test",
    (ScoreFigures("click", "binary", "logit", (Bin(9, 0.1, 0.2, 0.0, 0.4),), Histogram((0.1, 0.9), (Series("no", (3.0,)),))),),
    "test",
    9,
    stitches=(StitchFigures(1, ("a", "b"), ("a",), ((1.0,), (0.5,))),),
)  # fmt: skip
RUN = RunRecord(
    tasks={"click": TaskResult(TaskScores(test=TEST), TaskScores(test=GIVEN), (Gain("auc", 0.01),))},
    speed=Speed(500.0, 2.0, 1000, 40, 20),
    cost=Costs(Cost(10, 2.0, 500.0, 1.5)),
    data=DataRecord(
        {"train": 1000, "test": 100},
        {"numeric": ("age",), "categorical": ("city",)},
        (
            LabelRecord(
                "click", "binary", "c", "yes", None, None, None, False, "two values", 900, 100, 0, 0, 0.2, None, 0
            ),
        ),
        (Leak("age", "click", "AUC", 0.96),),
        {"id": "nearly one value a row"},
        "at random",
    ),
    test_evaluations=1,
    seed=0,
    created="2026-01-02T03:04:05+00:00",
    environment=EnvironmentRecord(1, "0.1", "2.13", "3.12", "Linux", "AVX2", 4, 1),
    glossary={"auc": "how often"},
)  # fmt: skip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_metrics(tmp_path, RUN)
    write_figures(tmp_path, FIGURES)
    for line in (STEP, VALIDATION):
        append_history(tmp_path, line)
    assert read_metrics(tmp_path) == RUN
    assert read_figures(tmp_path) == FIGURES
    assert read_history(tmp_path) == [STEP, VALIDATION]
    assert not list(tmp_path.glob("*.part"))


def test_every_file_says_what_it_is(tmp_path: Path) -> None:
    write_metrics(tmp_path, RUN)
    append_history(tmp_path, STEP)
    for name, format_name in (
        ("metrics.json", "polytask metrics"),
        ("steps.jsonl", "polytask step"),
    ):
        values = json.loads((tmp_path / name).read_text())
        assert list(values)[:2] == ["format", "version"]
        assert (values["format"], values["version"]) == (format_name, 1)


def test_a_folder_without_records_is_a_run_that_has_not_ended(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) is None
    assert read_figures(tmp_path) is None
    assert read_history(tmp_path) == []


def test_a_line_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    append_history(tmp_path, STEP)
    with (tmp_path / "steps.jsonl").open("a") as file:
        file.write('{"format": "polytask st')
    assert read_history(tmp_path) == [STEP]


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    """In a mapping it is left out; anywhere else it is a mistake of ours."""
    append_history(tmp_path, dataclasses.replace(STEP, losses={"click": math.nan, "watch": 2.0}))
    assert read_history(tmp_path)[0].losses == {"watch": 2.0}
    with pytest.raises(ValueError, match="JSON compliant"):
        append_history(tmp_path, dataclasses.replace(STEP, learning_rate=math.inf))
    assert len(read_history(tmp_path)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "metrics.json: this is no JSON"),
        ("[1]", "metrics.json: this is no record of polytask's: no format 'polytask metrics'"),
        ('{"tasks": {}}', "no format 'polytask metrics'"),
        ('{"format": "polytask figures", "version": 1}', "no format 'polytask metrics'"),
        ('{"format": "polytask metrics", "version": 9}', "version 9 of the format"),
        ('{"format": "polytask metrics", "version": 1}', "metrics.json: .*tasks: Field required"),
    ],
)
def test_a_foreign_or_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_metrics(tmp_path)


def test_a_value_of_the_wrong_kind_is_named_by_its_place(tmp_path: Path) -> None:
    write_metrics(tmp_path, RUN)
    path = tmp_path / "metrics.json"
    path.write_text(path.read_text().replace('"value": 0.71', '"value": "high"'))
    with pytest.raises(UserError, match=r"tasks\.click\.multi\.test\.metrics\.0\.value: "):
        read_metrics(tmp_path)


def test_a_damaged_line_is_named_by_its_number(tmp_path: Path) -> None:
    append_history(tmp_path, STEP)
    with (tmp_path / "steps.jsonl").open("ab") as file:
        file.write(b'{"model": "m"}\n')
    with pytest.raises(
        UserError, match=r"steps\.jsonl:2: .*'polytask step' or 'polytask validation'"
    ):
        read_history(tmp_path)
    (tmp_path / "steps.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match=r"steps\.jsonl: this is no text"):
        read_history(tmp_path)


def test_a_test_table_more_is_counted_where_the_run_has_ended(tmp_path: Path) -> None:
    count_test_evaluation(tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    write_metrics(tmp_path, RUN)
    count_test_evaluation(tmp_path)
    assert read_metrics(tmp_path) == dataclasses.replace(RUN, test_evaluations=2)


def test_metrics_given_the_parent_have_names_of_their_own() -> None:
    assert [m.name for m in TEST.all_metrics()] == ["auc", "calibration", "conditional_auc"]
    assert TEST["conditional_auc"].title == "conditional AUC"
    assert "conditional_auc" in TEST and "gauc" not in TEST
    with pytest.raises(KeyError):
        TEST["gauc"]
    flat = TEST.to_dict()
    assert flat["auc"] == 0.71 and flat["auc_interval"] == [0.69, 0.73]
    assert flat["calibration_interval"] is None and flat["groups"] == 9


def test_a_result_is_told_of_the_test_or_else_of_validation() -> None:
    assert RUN.reported_part == "test" and RUN.num_single_models == 1
    valid = TaskScores(valid=TEST)
    only_valid = dataclasses.replace(RUN, tasks={"click": TaskResult(valid)})
    assert valid.reported is TEST and only_valid.reported_part == "valid"
    assert dataclasses.replace(RUN, tasks={}).reported_part is None
    assert RUN.to_dict()["click/auc/gain"] == 0.01
