"""What the report draws and metrics.json does not hold: figures.json.

Calibration bins and histograms of the multi-task model's predictions, the mean and the spread of
its gates, and what the training labels are.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.config import FitConfig, TaskConfig
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
from polytask.training.scoring import TaskRows

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


def make_figures(
    config: FitConfig, prepared: Prepared, model: MultiTaskModel, rows: dict[str, TaskRows]
) -> Figures:
    """Figures of a trained model; `rows` are its predictions on the test, else on validation."""
    parts = {"test": prepared.test, "valid": prepared.valid, "train": prepared.train}
    part, examples = next((name, rows) for name, rows in parts.items() if rows is not None)
    inside = explain_trunk(model, examples)
    return Figures(
        part=part if rows else None,
        labels=tuple(_label_figures(config, prepared, t) for t in range(len(prepared.tasks))),
        scores=tuple(
            score_figures(rows[task.name], log=task.name in config.transform)
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


def score_figures(rows: TaskRows, *, log: bool = False) -> ScoreFigures:
    """Calibration and histogram of one task; `log` where a regression was trained on log1p."""
    scores_B, labels_B, weights_B = _labelled(rows)
    kind = rows.task.kind.name
    if kind == "multiclass":
        right_B = (scores_B.argmax(axis=1) == labels_B).astype(np.float64)
        scores_B, labels_B = scores_B.max(axis=1), right_B
    if kind in ("binary", "multiclass"):
        names = ("no", "yes") if kind == "binary" else ("wrong", "right")
        scores_B = scores_B.clip(_CERTAIN, 1 - _CERTAIN)
        groups = [(name, scores_B, weights_B * (labels_B == v)) for v, name in enumerate(names)]
        scale: Scale = "logit"
        rarer = min(labels_B.sum(), len(labels_B) - labels_B.sum())
    else:
        groups = [("observed", labels_B, weights_B), ("predicted", scores_B, weights_B)]
        scale = "log1p" if log or kind == "count" else "linear"
        rarer = len(labels_B)
    num_bins = int(np.clip(rarer // _FEWEST_OF_THE_RARER, 2, MOST_BINS))
    return ScoreFigures(
        rows.task.name,
        kind,
        scale,
        calibration_bins(scores_B, labels_B, weights_B, num_bins=num_bins, rates=scale == "logit"),
        histogram(groups, scale=scale),
    )


def _label_figures(config: FitConfig, prepared: Prepared, position: int) -> LabelFigures:
    task, fitted = prepared.tasks[position], prepared.targets.targets[position]
    asked = config.tasks[position]
    assert isinstance(asked, TaskConfig)
    labels_B = prepared.train.labels[task.name].double().numpy()
    labels_B = labels_B[~np.isnan(labels_B)]
    most_frequent, num_classes, mean = None, 0, None
    if task.kind.name == "multiclass" and len(labels_B):
        counts = np.bincount(labels_B.astype(np.intp), minlength=fitted.num_classes)
        most_frequent, num_classes = str(fitted.classes[int(counts.argmax())]), fitted.num_classes
        mean = float(counts.max() / len(labels_B))
    elif len(labels_B):
        mean = float(fitted.decode(labels_B).mean())
    return LabelFigures(
        task=task.name,
        kind=task.kind.name,
        column=task.target,
        positive=fitted.target.positive,
        unit=asked.unit,
        given=task.given,
        transform=fitted.target.transform,
        auxiliary=task.auxiliary,
        reason=prepared.kind_reasons[position],
        labelled=len(labels_B),
        missing=len(prepared.train) - len(labels_B),
        mean=mean,
        most_frequent=most_frequent,
        num_classes=num_classes,
    )


def _is_labelled(rows: TaskRows) -> bool:
    return bool(_present(rows).any())


def _present(rows: TaskRows) -> NDArray[np.bool_]:
    present_B: NDArray[np.bool_] = ~np.isnan(rows.labels)
    return present_B if rows.weights is None else present_B & (rows.weights > 0)


def _labelled(rows: TaskRows) -> tuple[Floats, Floats, Floats]:
    present_B = _present(rows)
    weights_B = np.ones(len(rows.labels)) if rows.weights is None else rows.weights
    columns = (rows.predictions, rows.labels, weights_B)
    scores_B, labels_B, weights_B = (column[present_B].astype(np.float64) for column in columns)
    return scores_B, labels_B, weights_B
