"""Several metrics of a method in one figure: the two kinds of Delta_m, mean rank, MTL gain."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from polytask.errors import UserError
from polytask.metrics.arrays import Floats


def delta_m(
    values: Sequence[float],
    baseline: Sequence[float],
    higher_is_better: Sequence[bool],
    *,
    convention: Literal["per_metric", "per_task"],
    tasks: Sequence[str] | None = None,
) -> float:
    """Mean relative drop against single-task models, in percent: below 0 is better than they.

    `per_metric`: the mean over all metrics (Liu et al., NeurIPS 2021, CAGrad; Nash-MTL, FAMO).
    `per_task`: the mean over tasks of each task's mean over its metrics, for which `tasks` names each
    metric's task (Vandenhende et al., TPAMI 2021, after Maninis et al., CVPR 2019).
    DIFF: Maninis and Vandenhende count a rise as positive; here a drop is positive in both.
    The two differ even in sign (NYUv2, equal weights: +5.6 and -0.9), so name the convention.
    """
    value_M, baseline_M = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    sign_M = np.where(np.asarray(higher_is_better, np.bool_), -1.0, 1.0)
    if not (value_M.shape == baseline_M.shape == sign_M.shape == (len(values),)):
        raise UserError(
            "values, baseline and higher_is_better must have one entry a metric, but there are "
            f"{value_M.shape}, {baseline_M.shape}, {sign_M.shape}"
        )
    if not len(values) or (baseline_M == 0).any():
        raise UserError("a relative drop needs at least one metric and a baseline other than 0")
    drop_M = 100 * sign_M * (value_M - baseline_M) / np.abs(baseline_M)
    if convention == "per_metric":
        return float(drop_M.mean())
    if tasks is None or len(tasks) != len(values):
        raise UserError("convention 'per_task' needs `tasks`: the task of each metric")
    _, task_M = np.unique(np.asarray(tasks), return_inverse=True)
    return float(np.mean(np.bincount(task_M, drop_M) / np.bincount(task_M)))


def mean_rank(values: ArrayLike, higher_is_better: Sequence[bool]) -> Floats:
    """Each method's rank, averaged over metrics; 1 is best, ties share the mean of their ranks.

    `values` is (methods, metrics). A rank means something among these methods alone: name them.
    """
    value_XM = np.asarray(values, np.float64)
    if value_XM.ndim != 2 or value_XM.shape[1] != len(higher_is_better):
        raise UserError(
            f"values must be (methods, metrics) with {len(higher_is_better)} metrics, "
            f"but {value_XM.shape=}"
        )
    cost_XM = np.where(np.asarray(higher_is_better, np.bool_), -value_XM, value_XM)
    num_better_XM = (cost_XM[None] < cost_XM[:, None]).sum(axis=1)
    num_equal_XM = (cost_XM[None] == cost_XM[:, None]).sum(axis=1)
    mean_X: Floats = (num_better_XM + (num_equal_XM + 1) / 2).mean(axis=1)
    return mean_X


def mtl_gain(multi_task: float, single_task: float, *, higher_is_better: bool) -> float:
    """What the multi-task model is better by, in the metric's own unit (Tang et al., RecSys 2020)."""
    return multi_task - single_task if higher_is_better else single_task - multi_task
