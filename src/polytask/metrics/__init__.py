"""Metrics per task, with intervals: numpy arrays in, records out. No model, no training.

`evaluate` reports a task, `compare` two models on the same rows, `quick_metric` one number. What a
metric is called, means, and where better is, stands in `definitions` alone.
"""

from polytask.metrics.definitions import (
    METRICS,
    glossary,
    metric_direction,
    metric_needs_groups,
    metric_value,
)
from polytask.metrics.evaluate import compare, evaluate, quick_metric
from polytask.metrics.intervals import Interval
from polytask.metrics.rows import KindName

__all__ = [
    "METRICS",
    "Interval",
    "KindName",
    "compare",
    "evaluate",
    "glossary",
    "metric_direction",
    "metric_needs_groups",
    "metric_value",
    "quick_metric",
]
