"""Metrics per task, with intervals: numpy arrays in, records out. No model, no training.

`evaluate` reports a task, `compare` two models on the same rows, `quick_metric` one number. What a
metric is called, means, and where better is, stands in `definitions` alone; which are taken, and
which labels can be, is said by the kind of task (see `Scored`).
"""

from polytask.metrics.definitions import Definition, Scored, definition_of, glossary
from polytask.metrics.evaluate import compare, evaluate, quick_metric
from polytask.metrics.intervals import Interval
from polytask.metrics.rows import Rows
from polytask.metrics.spaces import UNKNOWN_CLASS, LabelSpace, Values

__all__ = [
    "UNKNOWN_CLASS",
    "Definition",
    "Interval",
    "LabelSpace",
    "Rows",
    "Scored",
    "Values",
    "compare",
    "definition_of",
    "evaluate",
    "glossary",
    "quick_metric",
]
