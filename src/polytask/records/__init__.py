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

from polytask.records.figures import (
    Bin,
    Figures,
    GateFigures,
    Histogram,
    MaskFigures,
    ScoreFigures,
    Series,
    StitchFigures,
)
from polytask.records.files import (
    append_history,
    count_test_evaluation,
    read_figures,
    read_history,
    read_metrics,
    write_figures,
    write_metrics,
)
from polytask.records.metrics import Direction, Evaluation, Gain, MetricValue
from polytask.records.run import (
    Cost,
    Costs,
    DataRecord,
    EnvironmentRecord,
    LabelRecord,
    Leak,
    RunRecord,
    Speed,
    TaskResult,
    TaskScores,
)
from polytask.records.steps import History, HistoryRecord, StepRecord, ValidationRecord

__all__ = [
    "Bin",
    "Cost",
    "Costs",
    "DataRecord",
    "Direction",
    "EnvironmentRecord",
    "Evaluation",
    "Figures",
    "Gain",
    "GateFigures",
    "Histogram",
    "History",
    "HistoryRecord",
    "LabelRecord",
    "Leak",
    "MaskFigures",
    "MetricValue",
    "RunRecord",
    "ScoreFigures",
    "Series",
    "Speed",
    "StepRecord",
    "StitchFigures",
    "TaskResult",
    "TaskScores",
    "ValidationRecord",
    "append_history",
    "count_test_evaluation",
    "read_figures",
    "read_history",
    "read_metrics",
    "write_figures",
    "write_metrics",
]
