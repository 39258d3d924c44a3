"""What a run folder says of a run: plain facts, written by fitting, read by the report and `load`.

| file | what | record |
|---|---|---|
| metrics.json | data, results, gains, speed, cost, environment | `RunRecord` |
| figures.json | what is drawn: calibration, histograms, gates, stitches, masks | `Figures` |
| steps.jsonl | a line a logged step or a validation | `StepRecord`, `ValidationRecord` |

One layout for all: a JSON object holds the fields of its dataclass by name, tuples are lists, what is
absent is null, numbers are finite (a value that is not is left out of its mapping). `format` and
`version` come first. A run whose metrics.json is not there has not ended: its records are None.
"""

from polytask.records.auxiliary import AuxiliaryEffect as AuxiliaryEffect
from polytask.records.auxiliary import AuxiliaryRecord as AuxiliaryRecord
from polytask.records.auxiliary import ExtraLoss as ExtraLoss
from polytask.records.figures import Bin as Bin
from polytask.records.figures import Figures as Figures
from polytask.records.figures import GateFigures as GateFigures
from polytask.records.figures import Histogram as Histogram
from polytask.records.figures import MaskFigures as MaskFigures
from polytask.records.figures import ScoreFigures as ScoreFigures
from polytask.records.figures import Series as Series
from polytask.records.figures import StitchFigures as StitchFigures
from polytask.records.files import append_history as append_history
from polytask.records.files import count_test_evaluation as count_test_evaluation
from polytask.records.files import read_figures as read_figures
from polytask.records.files import read_history as read_history
from polytask.records.files import read_metrics as read_metrics
from polytask.records.files import write_figures as write_figures
from polytask.records.files import write_metrics as write_metrics
from polytask.records.metrics import Direction as Direction
from polytask.records.metrics import Evaluation as Evaluation
from polytask.records.metrics import Gain as Gain
from polytask.records.metrics import MetricValue as MetricValue
from polytask.records.run import Cost as Cost
from polytask.records.run import Costs as Costs
from polytask.records.run import DataRecord as DataRecord
from polytask.records.run import DataSetRecord as DataSetRecord
from polytask.records.run import EnvironmentRecord as EnvironmentRecord
from polytask.records.run import LabelRecord as LabelRecord
from polytask.records.run import Leak as Leak
from polytask.records.run import RunRecord as RunRecord
from polytask.records.run import Speed as Speed
from polytask.records.run import TaskResult as TaskResult
from polytask.records.run import TaskScores as TaskScores
from polytask.records.seen import SeenRecord as SeenRecord
from polytask.records.seen import chain_in_words as chain_in_words
from polytask.records.steps import History as History
from polytask.records.steps import HistoryRecord as HistoryRecord
from polytask.records.steps import StepRecord as StepRecord
from polytask.records.steps import ValidationRecord as ValidationRecord
