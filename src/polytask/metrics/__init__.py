"""Metrics per task, with intervals: numpy arrays in, records out. No model, no training.

`evaluate` reports a task, `compare` two models on the same rows, `quick_metric` one number. What a
metric is called, means, and where better is, stands in `definitions` alone; which are taken, and
which labels can be, is said by the kind of task (see `Scored`).
"""

from polytask.metrics.definition import Definition as Definition
from polytask.metrics.definition import Scored as Scored
from polytask.metrics.definition import definition_of as definition_of
from polytask.metrics.definition import glossary as glossary
from polytask.metrics.evaluate import compare as compare
from polytask.metrics.evaluate import evaluate as evaluate
from polytask.metrics.evaluate import quick_metric as quick_metric
from polytask.metrics.evaluate import resampled as resampled
from polytask.metrics.intervals import Draws as Draws
from polytask.metrics.intervals import Interval as Interval
from polytask.metrics.parts import PartRows as PartRows
from polytask.metrics.parts import compare_parts as compare_parts
from polytask.metrics.parts import evaluate_parts as evaluate_parts
from polytask.metrics.rows import Rows as Rows
from polytask.metrics.spaces import UNKNOWN_CLASS as UNKNOWN_CLASS
from polytask.metrics.spaces import LabelSpace as LabelSpace
from polytask.metrics.spaces import Values as Values
