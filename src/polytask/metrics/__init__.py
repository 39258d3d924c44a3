"""Metrics per task, with intervals: numpy arrays in, frozen values out. No model, no training.

`evaluate` reports a task, `compare` two models on the same rows, `quick_metric` one number. What is
taken, and which labels can be, is said by the kind of task (see `Scored`).
"""

from polytask.metrics.definitions import Definition, Scored, definition_of
from polytask.metrics.evaluate import compare, evaluate, quick_metric
from polytask.metrics.result import Gain, Interval, Metric, TaskMetrics
from polytask.metrics.rows import Rows
from polytask.metrics.spaces import UNKNOWN_CLASS, LabelSpace, Values
from polytask.metrics.summary import delta_m, mean_rank, mtl_gain

__all__ = [
    "UNKNOWN_CLASS",
    "Definition",
    "Gain",
    "Interval",
    "LabelSpace",
    "Metric",
    "Rows",
    "Scored",
    "TaskMetrics",
    "Values",
    "compare",
    "definition_of",
    "delta_m",
    "evaluate",
    "mean_rank",
    "mtl_gain",
    "quick_metric",
]
