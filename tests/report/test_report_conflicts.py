"""How the tasks' gradients met: means over the run, the picture of them, nothing where none were."""

import json
from pathlib import Path

import numpy as np
import pytest

from polytask.report import write_report
from polytask.report.formatting import MINUS
from polytask.report.reading import MULTI, read_run
from polytask.report.series import curve_of, mean_cosines

TASKS = ("click", "watch", "topic")


def measured(folder: Path, *, steps: int = 4) -> Path:
    """Put gradients into the multi-task model's lines; click and watch conflict at every other one."""
    path = folder / "steps.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    logged = [line for line in lines if line["model"] == MULTI and "weights" in line][:steps]
    for place, line in enumerate(logged):
        cosine = -0.5 if place % 2 else 0.1
        line["cosines"] = {"click": {"watch": cosine, "topic": 0.75}}
        line |= {"conflict_rate": 0.5 * (place % 2), "norms": {"click": 2.0, "watch": 5.0}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_cosines_are_means_over_the_steps_that_measured_them(run_folder: Path) -> None:
    steps = read_run(measured(run_folder)).steps
    cosines_TT = mean_cosines(steps, TASKS)
    nan = float("nan")
    expected = [[nan, -0.2, 0.75], [-0.2, nan, nan], [0.75, nan, nan]]
    np.testing.assert_allclose(cosines_TT, expected)
    assert np.isnan(mean_cosines((), TASKS)).all()
    rates = curve_of(steps, lambda step: step.conflict_rate)
    assert rates.step_P.tolist() == [1, 10, 20, 30] and rates.value_P.tolist() == [0, 0.5, 0, 0.5]


def test_the_page_tells_who_agrees_and_how_often_pairs_conflict(run_folder: Path) -> None:
    before = write_report(run_folder).read_text(encoding="utf-8")
    assert "Which tasks pull together" not in before and "How often tasks conflict" not in before
    page = " ".join(write_report(measured(run_folder)).read_text(encoding="utf-8").split())
    assert page.count("<figure") == before.count("<figure") + 2
    assert "in the mean over 4 logged steps" in page
    assert f"click and topic agree most (0.75), click and watch least ({MINUS}0.20)" in page
    assert "25 % in the mean over the run" in page
    assert "that of watch, in the mean 2.5 times as long as that of click" in page
    assert 'href="#balancing"' in page


@pytest.mark.parametrize("number_of", [2, 12])
def test_few_and_many_tasks_are_drawn(run_folder: Path, number_of: int) -> None:
    names = [f"task {t}" for t in range(number_of)]
    (run_folder / "run.yaml").write_text(
        "tasks:\n" + "".join(f"- name: {name}\n  column: x\n  kind: binary\n" for name in names)
    )
    line = json.loads((run_folder / "steps.jsonl").read_text().splitlines()[0])
    line["losses"] = line["weights"] = dict.fromkeys(names, 1.0)
    line["cosines"] = {a: dict.fromkeys(names[i + 1 :], -0.001) for i, a in enumerate(names[:-1])}
    line["conflict_rate"] = 1.0
    (run_folder / "steps.jsonl").write_text(json.dumps(line) + "\n")
    for name in ("metrics.json", "figures.json"):
        (run_folder / name).unlink()
    page = write_report(run_folder).read_text(encoding="utf-8")
    assert "Which tasks pull together" in page
    assert f"{MINUS}0.00" not in page


def test_nothing_is_drawn_of_weights_that_never_change(run_folder: Path) -> None:
    path = run_folder / "steps.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "weights" in line:
            line["weights"] = dict.fromkeys(line["weights"], 1.0)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert 'id="balancing"' not in write_report(run_folder).read_text(encoding="utf-8")


def test_weights_far_apart_are_drawn_on_a_logarithmic_scale(run_folder: Path) -> None:
    path = run_folder / "steps.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for position, line in enumerate(line for line in lines if "weights" in line):
        line["weights"] = dict.fromkeys(line["weights"], 2000.0 / (1 + position) ** 4)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(run_folder).read_text(encoding="utf-8")
    drawing = page[page.index("Weights of the tasks. ") :].partition("</svg>")[0]
    assert ">1,000<" in drawing and "mathdefault" not in page
