"""What Python prints of a fit, and how results show themselves."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

import polytask
from polytask.data.generate import short_video_log
from polytask.records import History

OPTIONS = {"epochs": 1, "threads": 1, "batch_size": 256, "trunk": "shared_bottom"}


@pytest.fixture(scope="module")
def fitted() -> polytask.Run:
    log = short_video_log(800).drop_columns(["follow", "watch_seconds"])
    return polytask.fit(log, ["click", "like"], **OPTIONS)


def told(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    log = short_video_log(400).drop_columns(["follow", "watch_seconds"])
    polytask.fit(log, "click", baseline="none", **{"ignore": "like"} | OPTIONS | options)
    return capsys.readouterr().out


def test_a_script_is_told_nothing_and_a_notebook_a_line_a_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(capsys) == ""
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    shown = told(capsys)
    assert "click: binary of column click" in shown and "multi-task: 2 steps in " in shown
    assert len(shown.splitlines()) < 12 and "\r" not in shown
    assert told(capsys, verbose=False) == ""


def test_what_is_told_names_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, verbose=True)
    assert "take a smaller batch_size or more epochs" in shown
    assert "time_ms is a time: time_column='time_ms' tests on the future" in shown
    assert "--" not in shown
    assert "is a time" not in told(capsys, verbose=True, ignore="like,time_ms")


@pytest.mark.parametrize("tasks", [None, 3, [0, 1], [0.5]])
def test_labels_in_the_place_of_tasks_are_told_where_they_belong(tasks: object) -> None:
    frame = short_video_log(20).to_pandas()
    for given in (tasks, frame["click"], frame["click"].to_numpy()):
        with pytest.raises(polytask.UserError, match="one table with the labels in it"):
            polytask.fit(frame, given)


def test_help_lists_every_option_with_its_default() -> None:
    text = polytask.fit.__doc__
    assert "\n    given_conflict: What to do with rows" in text
    assert "numeric_encoding: How numbers enter the network. [piecewise]" in text


def test_results_show_themselves_in_a_line(fitted: polytask.Run) -> None:
    assert len(repr(fitted)) < 200 and repr(fitted).startswith("Run(click, like; RunRecord(test: ")
    assert "click auc 0." in repr(fitted.metrics)
    assert repr(fitted.metrics.tasks["click"]).startswith("TaskResult(auc 0.")
    assert repr(fitted.history).startswith("History(")
    assert "validations of multi-task, single: click, single: like)" in repr(fitted.history)
    assert repr(History()) == "History(0 steps and 0 validations of no model)"
    evaluations = fitted.evaluate(short_video_log(300))
    assert repr(evaluations["click"]).startswith("Evaluation(binary, 300 rows: auc 0.")
    assert len(repr(evaluations)) < 700


def test_a_notebook_shows_tables_of_them(fitted: polytask.Run) -> None:
    shown = fitted._repr_html_()
    assert shown.count("<tr>") == 3 and "<td>single-task" not in shown
    gain = fitted.metrics.tasks["click"].gain("auc")
    assert f"<td>{gain}</td>" in shown
    evaluation = fitted.evaluate(short_video_log(300))["click"]
    assert f"<td>auc</td><td>{evaluation['auc']}</td>" in evaluation._repr_html_()
    unended = replace(fitted, records=replace(fitted.records, record=None))
    assert unended._repr_html_() == "Run(click, like; None)"
