"""What training validates and what the report says of the same rows is one number."""

import numpy as np
import pyarrow as pa
import pytest

from polytask import fit
from polytask.records.steps import ValidationRecord

MONITOR = "click.auc,click.gauc=0.5,watch.r2,watch.mae=0.01,like.log_loss"
OPTIONS = {
    "transform": {"watch": "log1p"},
    "given": {"like": "click"},
    "group": "user_id",
    "weight": "weight",
    "monitor": MONITOR,
    "epochs": 3,
    "batch_size": 512,
    "learning_rate": 1e-2,
    "num_experts": 2,
    "expert_hidden": (8,),
    "intervals": False,
    "threads": 1,
}


@pytest.fixture(scope="module")
def weighted(log: pa.Table) -> pa.Table:
    """Weights from 0 to 8, so that plain scores would be others."""
    weights = np.random.default_rng(0).integers(0, 3, log.num_rows).astype(float) ** 3
    return log.slice(0, 4000).append_column("weight", pa.array(weights[:4000]))


def test_the_best_validation_is_the_report_of_the_validation_rows(weighted: pa.Table) -> None:
    """Of the multi-task model and of each single one, in the label's own unit."""
    tasks = ["click:binary", "like:binary", "watch=watch_seconds:regression"]
    run = fit(weighted, tasks, **OPTIONS)
    validations = [record for record in run.history if isinstance(record, ValidationRecord)]
    best = {
        record.model: {
            task: {metric.name: metric.value for metric in found}
            for task, found in record.metrics.items()
        }
        for record in validations
        if record.is_best
    }
    singles = {"click": ("auc", "gauc"), "like": ("log_loss",), "watch": ("r2", "mae")}
    assert {task: tuple(found) for task, found in best["multi-task"].items()} == singles
    reported = run.metrics.tasks
    for task, names in singles.items():
        # A single model is judged by its own part of the monitor.
        assert {task: names} == {t: tuple(m) for t, m in best[f"single: {task}"].items()}
        models = {"multi-task": reported[task].multi, f"single: {task}": reported[task].single}
        for model, scores in models.items():
            for name in names:
                told = best[model][task][name]
                assert scores.valid[name].value == pytest.approx(told, rel=1e-9), (model, name)


def test_row_weights_reach_the_report(weighted: pa.Table) -> None:
    """The comparison can fail: without weights the same model has other scores."""
    options = {"weight": "weight", "epochs": 1, "after": "watch_seconds", "intervals": False}
    run = fit(weighted, ["click:binary"], baseline="none", threads=1, **options)
    rows = weighted.slice(0, 1500)
    ones = rows.set_column(rows.column_names.index("weight"), "weight", pa.array(np.ones(1500)))
    scores = [run.evaluate(table)["click"]["auc"].value for table in (rows, ones)]
    assert abs(scores[0] - scores[1]) > 1e-4
