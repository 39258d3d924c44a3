"""What the report draws and metrics.json does not hold: figures.json.

Calibration bins and histograms of the multi-task model's predictions, the mean and the spread of
its gates, its stitches and masks.
"""

import numpy as np
from numpy.typing import NDArray

from polytask.fitting.figures.calibration import calibration_bins, histogram
from polytask.fitting.figures.explain import MOST_ROWS, explain_trunk
from polytask.fitting.preparing.prepare import Prepared
from polytask.model import Network
from polytask.records import Figures, ScoreFigures
from polytask.records.scales import Floats
from polytask.training.scoring import TaskRows

MOST_BINS = 15
_FEWEST_OF_THE_RARER = 10
_CERTAIN = 1e-6
"""Scores nearer to 0 or 1 are drawn there: a logit has no end."""


def make_figures(prepared: Prepared, model: Network, rows: dict[str, TaskRows]) -> Figures:
    """Figures of a trained model; `rows` are its predictions on the test, else on validation."""
    parts = {"test": prepared.test, "valid": prepared.valid, "train": prepared.train}
    part, examples = next((name, rows) for name, rows in parts.items() if rows is not None)
    inside = explain_trunk(model, examples)
    return Figures(
        part=part if rows else None,
        scores=tuple(
            score_figures(rows[task.name])
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


def score_figures(rows: TaskRows) -> ScoreFigures:
    """Calibration and histogram of one task."""
    predictions, labels_B, weights_B = _labelled(rows)
    chart = rows.task.kind.chart(predictions, labels_B)
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
        rows.task.name,
        rows.task.kind.name,
        chart.scale,
        calibration_bins(
            scores_B, observed_B, weights_B, num_bins=num_bins, rates=chart.outcomes is not None
        ),
        histogram(groups, scale=chart.scale),
        chart.title,
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
