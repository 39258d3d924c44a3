"""A run folder written by hand: four tasks, one of them with a name that must be escaped."""

import json
from pathlib import Path

import pytest

from polytask.report import write_report

NASTY = 'a<b>&"c"$x$ https://example.org'
TASKS = ("click", "watch", "topic", NASTY)
KINDS = {"click": "binary", "watch": "regression", "topic": "multiclass", NASTY: "binary"}
METRICS = {"click": "auc", "watch": "r2", "topic": "macro_auc", NASTY: "auc"}
STEPS = (1, 10, 20, 30, 40)


def options() -> str:
    names = "".join(
        f"- name: {json.dumps(name)}\n  column: {json.dumps(name)}\n  kind: {kind}\n"
        for name, kind in KINDS.items()
    )
    return (
        f"table: logs/my log.parquet\ntasks:\n{names}allow:\n- age\ntrunk: mmoe\nbalancer: equal\n"
    )


def step(model: str, number: int, tasks: tuple[str, ...]) -> dict[str, object]:
    return {
        "model": model,
        "step": number,
        "epoch": 0,
        "learning_rate": 1e-3,
        "losses": {task: (t + 1) * (1 - 0.01 * number) for t, task in enumerate(tasks)},
        "weights": {task: 1 + 0.01 * number * t for t, task in enumerate(tasks)},
        "train_seconds": 0.1 * number,
    }


def validation(model: str, number: int, score: float, tasks: tuple[str, ...]) -> dict[str, object]:
    return {
        "model": model,
        "step": number,
        "epoch": 1,
        "score": score,
        "is_best": number == 20,
        "valid_metrics": {task: {METRICS[task]: score} for task in tasks},
        "valid_losses": dict.fromkeys(tasks, 0.6 + 0.001 * number),
    }


def history() -> list[dict[str, object]]:
    lines = [step("multi-task", number, TASKS) for number in STEPS]
    lines += [validation("multi-task", n, s, TASKS) for n, s in ((20, 0.75), (40, 0.7))]
    for task in TASKS:
        lines += [step(f"single: {task}", number, (task,)) for number in STEPS]
        lines += [validation(f"single: {task}", n, 0.71, (task,)) for n in (20, 40)]
    return lines


def scores(task: str, value: float) -> dict[str, object]:
    name = METRICS[task]
    interval = [value - 0.01, value + 0.01]
    return {"test": {name: value, f"{name}_interval": interval, "rows": 100, "unlabelled": 0}}


def metrics() -> dict[str, object]:
    gains = {"click": 0.02, "watch": -0.05, "topic": 0.001, NASTY: 0.003}
    cost = {"parameters": 1000, "train_seconds": 2.0, "train_rows_per_second": 500.0}
    return {
        "tasks": {task: scores(task, 0.7 + gains[task]) for task in TASKS},
        "baseline": {"single": {task: scores(task, 0.7) for task in TASKS}},
        "gain_over_single": {
            task: {METRICS[task]: gain, f"{METRICS[task]}_interval": [gain - 0.01, gain + 0.01]}
            for task, gain in gains.items()
        },
        "speed": {
            "train_rows_per_second": 500.0,
            "train_seconds": 2.0,
            "train_rows": 12_345,
            "steps": 40,
            "best_step": 20,
        },
        "cost": {
            "multi_task": {**cost, "microseconds_per_row": 2.0},
            "single_task": {**cost, "parameters": 4000, "microseconds_per_row": 5.0},
        },
        "data": {
            "rows": {"train": 12_345, "valid": 200, "test": 100},
            "numeric": ["age"],
            "categorical": ["<i>city</i>"],
            "labels": {
                task: {"name": task, "labelled": 12_000, "unseen": 0, "conflicts": 0}
                for task in TASKS
            },
            "leaks": [{"column": "age", "task": "click", "metric": "AUC", "value": 0.987}],
        },
        "test_evaluations": 1,
        "seed": 7,
        "environment": {"polytask": "0.1.0", "torch": "2.13.0", "threads": 3},
    }


def label(task: str) -> dict[str, object]:
    return {
        "task": task,
        "kind": KINDS[task],
        "column": f"{task}_column",
        "positive": ">=18" if task == NASTY else None,
        "unit": "seconds" if task == "watch" else None,
        "given": "click" if task == NASTY else None,
        "transform": "log1p" if task == "watch" else None,
        "auxiliary": False,
        "reason": "as asked for",
        "labelled": 12_000,
        "missing": 345,
        "mean": 12.5 if task == "watch" else 0.25,
        "most_frequent": "news" if task == "topic" else None,
        "num_classes": 6 if task == "topic" else 0,
    }


def score_figures(task: str) -> dict[str, object]:
    rates = KINDS[task] != "regression"
    factor = 1 if rates else 40
    bins = [
        {
            "rows": 50,
            "predicted": predicted * factor,
            "observed": observed * factor,
            "low": max(observed - 0.1, 0) * factor,
            "high": (observed + 0.1) * factor,
        }
        for predicted, observed in ((0.02, 0.0), (0.2, 0.25), (0.6, 0.9))
    ]
    edges = [0.01 * factor, 0.3 * factor, 0.95 * factor]
    series = [{"name": n, "counts": [30.0, 20.0]} for n in (("no", "yes") if rates else ("a", "b"))]
    return {
        "task": task,
        "kind": KINDS[task],
        "scale": "logit" if rates else "log1p",
        "calibration": bins,
        "histogram": {"edges": edges, "series": series},
    }


def figures() -> dict[str, object]:
    experts = ["expert 1", "expert 2", "expert 3", "expert 4"]
    means = {"click": [0.7, 0.1, 0.1, 0.1], "watch": [0.25] * 4, "topic": [0.1, 0.7, 0.1, 0.1]}
    gates = [
        {"task": task, "experts": experts, "mean": mean, "std": [0.05] * 4}
        for task, mean in means.items()
    ]
    return {
        "version": 1,
        "part": "test",
        "labels": [label(task) for task in TASKS],
        "scores": [score_figures(task) for task in TASKS],
        "gate_part": "test",
        "gate_rows": 100,
        "gates": gates,
    }


def write_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "run.yaml").write_text(options())
    (folder / "metrics.json").write_text(json.dumps(metrics()))
    (folder / "figures.json").write_text(json.dumps(figures()))
    (folder / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history()))
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "my run")


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the whole folder, drawn once."""
    folder = write_run(tmp_path_factory.mktemp("page") / "my run")
    return write_report(folder).read_text(encoding="utf-8")
