"""A run folder written by hand: four tasks, one of them with a name that must be escaped."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from polytask.records import (
    Bin,
    Cost,
    Costs,
    DataRecord,
    EnvironmentRecord,
    Evaluation,
    Figures,
    Gain,
    GateFigures,
    Histogram,
    HistoryRecord,
    LabelRecord,
    Leak,
    MetricValue,
    RunRecord,
    ScoreFigures,
    Series,
    Speed,
    StepRecord,
    TaskResult,
    TaskScores,
    ValidationRecord,
    append_history,
    write_figures,
    write_metrics,
)
from polytask.report import write_report

NASTY = 'a<b>&"c"$x$ https://example.org'
TASKS = ("click", "watch", "topic", NASTY)
KINDS = {"click": "binary", "watch": "regression", "topic": "multiclass", NASTY: "binary"}
METRICS = {
    "click": ("auc", "AUC"),
    "watch": ("r2", "R²"),
    "topic": ("macro_auc", "macro AUC"),
    NASTY: ("auc", "AUC"),
}
GAINS = {"click": 0.02, "watch": -0.05, "topic": 0.001, NASTY: 0.003}
STEPS = (1, 10, 20, 30, 40)


def options() -> str:
    names = "".join(
        f"- name: {json.dumps(name)}\n  column: {json.dumps(name)}\n  kind: {kind}\n"
        for name, kind in KINDS.items()
    )
    return (
        f"table: logs/my log.parquet\ntasks:\n{names}allow:\n- age\ntrunk: mmoe\nbalancer: equal\n"
    )


def metric(task: str, value: float, *, half_width: float | None = None) -> MetricValue:
    name, title = METRICS[task]
    ends = (None, None) if half_width is None else (value - half_width, value + half_width)
    return MetricValue(name, value, *ends, "higher", title)


def step(model: str, number: int, tasks: tuple[str, ...]) -> StepRecord:
    return StepRecord(
        model=model,
        step=number,
        epoch=0,
        learning_rate=1e-3,
        losses={task: (t + 1) * (1 - 0.01 * number) for t, task in enumerate(tasks)},
        weights={task: 1 + 0.01 * number * t for t, task in enumerate(tasks)},
        train_seconds=0.1 * number,
    )


def validation(model: str, number: int, score: float, tasks: tuple[str, ...]) -> ValidationRecord:
    return ValidationRecord(
        model=model,
        step=number,
        epoch=1,
        score=score,
        is_best=number == 20,
        metrics={task: (metric(task, score),) for task in tasks},
        losses=dict.fromkeys(tasks, 0.6 + 0.001 * number),
    )


def history() -> list[HistoryRecord]:
    lines: list[HistoryRecord] = [step("multi-task", number, TASKS) for number in STEPS]
    lines += [validation("multi-task", n, s, TASKS) for n, s in ((20, 0.75), (40, 0.7))]
    for task in TASKS:
        lines += [step(f"single: {task}", number, (task,)) for number in STEPS]
        lines += [validation(f"single: {task}", n, 0.71, (task,)) for n in (20, 40)]
    return lines


def scores(task: str, value: float) -> TaskScores:
    found = (metric(task, value, half_width=0.01),)
    return TaskScores(test=Evaluation(KINDS[task], 100, 0, None, None, None, None, found, ()))


def result(task: str) -> TaskResult:
    gain = GAINS[task]
    gains = (Gain(METRICS[task][0], gain, gain - 0.01, gain + 0.01),)
    return TaskResult(scores(task, 0.7 + gain), scores(task, 0.7), gains)


def metrics() -> RunRecord:
    cost = Cost(1000, 2.0, 500.0, 2.0)
    return RunRecord(
        tasks={task: result(task) for task in TASKS},
        speed=Speed(500.0, 2.0, 12_345, steps=40, best_step=20),
        cost=Costs(cost, replace(cost, parameters=4000, microseconds_per_row=5.0)),
        data=DataRecord(
            rows={"train": 12_345, "valid": 200, "test": 100},
            inputs={"numeric": ("age",), "categorical": ("<i>city</i>",)},
            labels=tuple(label(task) for task in TASKS),
            leaks=(Leak("age", "click", "AUC", 0.987),),
            unused_columns={"id": "nearly one value a row"},
            split="by time",
        ),
        test_evaluations=1,
        seed=7,
        created="2026-02-03T04:05:06+00:00",
        environment=EnvironmentRecord(1, "0.1.0", "2.13.0", "3.12.1", "Linux", "AVX2", 4, 3),
        glossary={"auc": "how often a yes scores above a no", "r2": "what is explained"},
    )


def label(task: str) -> LabelRecord:
    return LabelRecord(
        task=task,
        kind=KINDS[task],
        column=f"{task}_column",
        positive=">=18" if task == NASTY else None,
        unit="seconds" if task == "watch" else None,
        given="click" if task == NASTY else None,
        transform="log1p" if task == "watch" else None,
        auxiliary=False,
        reason="as asked for",
        labelled=12_000,
        missing=345,
        unseen=0,
        conflicts=0,
        mean=12.5 if task == "watch" else 0.25,
        most_frequent="news" if task == "topic" else None,
        num_classes=6 if task == "topic" else 0,
        is_share=KINDS[task] == "binary",
    )


def score_figures(task: str) -> ScoreFigures:
    rates = KINDS[task] != "regression"
    factor = 1 if rates else 40
    bins = tuple(
        Bin(
            rows=50,
            predicted=predicted * factor,
            observed=observed * factor,
            low=max(observed - 0.1, 0) * factor,
            high=(observed + 0.1) * factor,
        )
        for predicted, observed in ((0.02, 0.0), (0.2, 0.25), (0.6, 0.9))
    )
    edges = (0.01 * factor, 0.3 * factor, 0.95 * factor)
    series = tuple(Series(n, (30.0, 20.0)) for n in (("no", "yes") if rates else ("a", "b")))
    scale = "logit" if rates else "log1p"
    return ScoreFigures(task, KINDS[task], scale, bins, Histogram(edges, series))


def figures() -> Figures:
    experts = ("expert 1", "expert 2", "expert 3", "expert 4")
    means = {"click": (0.7, 0.1, 0.1, 0.1), "watch": (0.25,) * 4, "topic": (0.1, 0.7, 0.1, 0.1)}
    return Figures(
        part="test",
        scores=tuple(score_figures(task) for task in TASKS),
        gate_part="test",
        gate_rows=100,
        gates=tuple(
            GateFigures(task, 1, experts, mean, (0.05,) * 4) for task, mean in means.items()
        ),
    )


def write_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.yaml").write_text(options())
    write_metrics(folder, metrics())
    write_figures(folder, figures())
    for line in history():
        append_history(folder, line)
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "my run")


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the whole folder, drawn once."""
    folder = write_run(tmp_path_factory.mktemp("page") / "my run")
    return write_report(folder).read_text(encoding="utf-8")


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTHS = (390, 1280)
# Whatever sticks out on the right, but for what scrolls in a box of its own.
MEASURE = """
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, width = frame.clientWidth;
    const wide = [...page.querySelectorAll("body *")].filter(
      e => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, .wide, pre, svg"));
    found[width] = {scroll: page.documentElement.scrollWidth, seen: page.body.innerText.length,
                    wide: wide.map(e => e.outerHTML.slice(0, 80))};
  }
  document.body.dataset.found = JSON.stringify(found);
});
"""


def browsed(folder: Path, page: str) -> tuple[dict[str, dict], list[str]]:
    """The page in frames of both widths: what was measured, and what the console said."""
    frames = "".join(
        f'<iframe style="border:0;width:{width}px" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    around = folder / "frames.html"
    around.write_text(f"<!DOCTYPE html><body><script>{MEASURE}</script>{frames}", encoding="utf-8")
    done = subprocess.run(
        [
            *(CHROMIUM or "", *QUIET, f"--user-data-dir={folder / 'profile'}"),
            *("--enable-logging=stderr", "--window-size=1700,1000", "--dump-dom"),
            around.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), re.findall(r"CONSOLE.*", done.stderr)


Browse = Callable[[Path, str], tuple[dict[str, dict], list[str]]]


@pytest.fixture
def browse() -> Browse:
    """Skips where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    return browsed
