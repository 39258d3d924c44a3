"""Metrics per task, with intervals: numpy arrays in, frozen values out. No model, no training.

`evaluate` reports a task, `compare` two models on the same rows, `quick_metric` one number.
"""

from polytask.metrics.definitions import METRICS, metric_direction, metric_needs_groups
from polytask.metrics.evaluate import compare, evaluate, quick_metric
from polytask.metrics.result import Gain, Interval, KindName, Metric, TaskMetrics
from polytask.metrics.summary import delta_m, mean_rank, mtl_gain

__all__ = [
    "METRICS",
    "Gain",
    "Interval",
    "KindName",
    "Metric",
    "TaskMetrics",
    "compare",
    "delta_m",
    "evaluate",
    "mean_rank",
    "metric_direction",
    "metric_needs_groups",
    "mtl_gain",
    "quick_metric",
]
