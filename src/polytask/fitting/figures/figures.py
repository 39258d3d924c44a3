"""What the report draws and metrics.json does not hold: figures.json.

Calibration bins and histograms of the multi-task model's predictions, the mean and the spread of
its gates, its stitches and masks.
"""

import numpy as np
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.fitting.figures.calibration import calibration_bins, histogram
from polytask.fitting.figures.explain import MOST_ROWS, explain_trunk
from polytask.fitting.preparing.prepare import Prepared
from polytask.model import MultiTaskModel
from polytask.records import Figures, ScoreFigures
from polytask.records.figures import Scale
from polytask.records.scales import Floats
from polytask.training.scoring import TaskRows

MOST_BINS = 15
_FEWEST_OF_THE_RARER = 10
_CERTAIN = 1e-6
"""Scores nearer to 0 or 1 are drawn there: a logit has no end."""


def make_figures(
    config: FitConfig, prepared: Prepared, model: MultiTaskModel, rows: dict[str, TaskRows]
) -> Figures:
    """Figures of a trained model; `rows` are its predictions on the test, else on validation."""
    parts = {"test": prepared.test, "valid": prepared.valid, "train": prepared.train}
    part, examples = next((name, rows) for name, rows in parts.items() if rows is not None)
    inside = explain_trunk(model, examples)
    return Figures(
        part=part if rows else None,
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
