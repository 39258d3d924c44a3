"""What the report draws and metrics.json does not hold: figures.json.

Calibration bins and histograms of the multi-task model's predictions, the mean and the spread of
its gates, and what the training labels are.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.fitting.comparing.score import Rows
from polytask.fitting.figures.calibration import (
    Bin,
    Floats,
    Histogram,
    Scale,
    calibration_bins,
    histogram,
)
from polytask.fitting.figures.explain import (
    MOST_ROWS,
    GateFigures,
    MaskFigures,
    StitchFigures,
    explain_trunk,
)
from polytask.fitting.preparing.prepare import Prepared
from polytask.model import MultiTaskModel
from polytask.task import Task

MOST_BINS = 15
_FEWEST_OF_THE_RARER = 10
_CERTAIN = 1e-6
"""Scores nearer to 0 or 1 are drawn there: a logit has no end."""


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """A task's predictions against its labels, and the scale on which they spread evenly.

    Multiclass: the probability of the predicted class, and whether it was the right one.
    """

    task: str
    kind: str
    scale: Scale
    calibration: tuple[Bin, ...]
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """A task's label in the training rows.

    `mean` is the share of yes, or the mean in the label's own unit; for classes the share of the
    most frequent one, which is `most_frequent`. None where no row is labelled.
    """

    task: str
    kind: str
    column: str
    positive: str | None
    unit: str | None
    given: str | None
    transform: str | None
    auxiliary: bool
    reason: str
    labelled: int
    missing: int
    mean: float | None
    most_frequent: str | None
    num_classes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """figures.json. `part` is where the scores are from, `gate_part` what the trunk was seen on."""

    part: str | None
    labels: tuple[LabelFigures, ...]
    scores: tuple[ScoreFigures, ...]
    gate_part: str
    gate_rows: int
    gates: tuple[GateFigures, ...]
    stitches: tuple[StitchFigures, ...]
    masks: tuple[MaskFigures, ...]
    collapse: str | None

    def to_dict(self) -> dict[str, object]:
        return {"version": 1, **asdict(self)}


def make_figures(prepared: Prepared, model: MultiTaskModel, rows: dict[str, Rows]) -> Figures:
    """Figures of a trained model; `rows` are its predictions on the test, else on validation."""
    parts = {"test": prepared.test, "valid": prepared.valid, "train": prepared.train}
    part, examples = next((name, rows) for name, rows in parts.items() if rows is not None)
    inside = explain_trunk(model, examples.inputs)
    return Figures(
        part=part if rows else None,
        labels=tuple(_label_figures(prepared, t) for t in range(len(prepared.tasks))),
        scores=tuple(
            score_figures(task, rows[task.name])
            for task in prepared.tasks
            if task.name in rows and _is_labelled(rows[task.name])
        ),
        gate_part=part,
        gate_rows=min(len(examples), MOST_ROWS),
        gates=inside.gates,
        stitches=inside.stitches,
        masks=inside.masks,
        collapse=inside.collapse,
    )


def score_figures(task: Task, rows: Rows) -> ScoreFigures:
    """Calibration and histogram of one task."""
    predictions, labels_B, weights_B = _labelled(rows)
    chart = task.kind.chart(predictions, labels_B)
    scores_B, observed_B = chart.scores_B, chart.observed_B
    if chart.outcomes is None:
        groups = [("observed", observed_B, weights_B), ("predicted", scores_B, weights_B)]
        rarer = float(len(observed_B))
    else:
        scores_B = scores_B.clip(_CERTAIN, 1 - _CERTAIN)
        shares = (weights_B * (1 - observed_B), weights_B * observed_B)
        groups = [(name, scores_B, share) for name, share in zip(chart.outcomes, shares)]
        rarer = min(observed_B.sum(), len(observed_B) - observed_B.sum())
    num_bins = int(np.clip(rarer // _FEWEST_OF_THE_RARER, 2, MOST_BINS))
    return ScoreFigures(
        task.name,
        task.kind.name,
        chart.scale,
        calibration_bins(
            scores_B, observed_B, weights_B, num_bins=num_bins, rates=chart.outcomes is not None
        ),
        histogram(groups, scale=chart.scale),
    )


def _label_figures(prepared: Prepared, position: int) -> LabelFigures:
    task = prepared.tasks[position]
    labels_B = prepared.train.labels_BT[:, position]
    labels_B = labels_B[task.kind.is_labelled(labels_B)]
    summary = task.kind.summary(labels_B.double().numpy())
    options = {key: str(value) for key, value in task.kind.options().items() if value is not None}
    return LabelFigures(
        task=task.name,
        kind=task.kind.name,
        column=task.column,
        positive=options.get("positive"),
        unit=options.get("unit"),
        given=task.given,
        transform=options.get("transform"),
        auxiliary=task.auxiliary,
        reason=prepared.kind_reasons[position],
        labelled=len(labels_B),
        missing=len(prepared.train) - len(labels_B),
        mean=summary.mean,
        most_frequent=summary.most_frequent,
        num_classes=task.kind.num_classes if summary.most_frequent is not None else 0,
    )


def _is_labelled(rows: Rows) -> bool:
    return bool(_present(rows).any())


def _present(rows: Rows) -> NDArray[np.bool_]:
    present_B: NDArray[np.bool_] = ~np.isnan(rows.labels)
    return present_B if rows.weights is None else present_B & (rows.weights > 0)


def _labelled(rows: Rows) -> tuple[Floats, Floats, Floats]:
    present_B = _present(rows)
    weights_B = np.ones(len(rows.labels)) if rows.weights is None else rows.weights
    columns = (rows.predictions, rows.labels, weights_B)
    scores_B, labels_B, weights_B = (column[present_B].astype(np.float64) for column in columns)
    return scores_B, labels_B, weights_B
