"""One call in the place of `loss.backward()`: measure, decide, fill `.grad`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from polytask.balancing.applying import apply, averaged, begin, decide, settle
from polytask.balancing.balancer import Balancer
from polytask.balancing.gradients import gram_of, take_gradients
from polytask.balancing.measurement import Losses, Measurement, Need, Step, Weights
from polytask.balancing.parallel import Ranks
from polytask.balancing.plan import Plan, exact_plan, narrow_plan, seam_plan
from polytask.balancing.reach import edge_of, last_shared_layer, leaves_under, reach
from polytask.balancing.scalarization import Equal


def balanced_backward(
    losses: Losses,
    balancer: Balancer,
    *,
    parameters: Iterable[Tensor] | None = None,
    seam: Sequence[Tensor] | None = None,
    penalty: Tensor | None = None,
    epoch: int | None = None,
    loss_scale: float = 1.0,
    ranks: Ranks | None = None,
) -> Step:
    """Add the balanced gradients to `.grad` of all that the losses reach; return what was decided.

    `losses`: one scalar a task, not summed and not stacked; `None` for a task without a label here.
    `parameters` narrows what gradient rules measure (embedding tables are measured only if named
    here); `seam` makes them measure at these tensors instead. `penalty` is added once, unweighed.
    `epoch` is for rules that count in epochs. With `ranks` every process has a part of the batch, and
    the record, the weights and `.grad` are on all of them those of one process with the whole batch.
    `loss_scale` multiplies all gradients and is seen by no rule: `scaler.scale(torch.ones(())).item()`
    of a GradScaler, whose losses stay unscaled. A gradient that overflows under it is written to
    `.grad`, for the scaler to find, and the balancer does not advance.

    A loss rule costs one ordinary backward pass; a gradient rule one pass a task, to the shared
    parameters or only to the seam.

    Raises ValueError, before any `.grad` is written, for a loss or a gradient that is not finite.

    >>> from polytask.balancing import NashMTL, balanced_backward
    >>> trunk, heads = torch.nn.Linear(3, 4), [torch.nn.Linear(4, 1) for _ in range(2)]
    >>> z = trunk(torch.ones(8, 3))
    >>> losses = [head(z).square().mean() for head in heads]
    >>> step = balanced_backward(losses, NashMTL(2))  # in the place of sum(losses).backward()
    >>> step.weights.private_T, trunk.weight.grad.shape
    (tensor([1., 1.], dtype=torch.float64), torch.Size([4, 3]))
    """
    if parameters is not None and seam is not None:
        raise ValueError(
            "pass `parameters` or `seam`, not both: gradients are measured at one place"
        )
    measured, penalty = begin(losses, penalty, balancer, epoch=epoch, ranks=ranks)
    losses_T, active_T = measured.losses_T, measured.active_T
    if loss_scale != 1.0:
        losses = [None if loss is None else loss * loss_scale for loss in losses]
        penalty = None if penalty is None else penalty * loss_scale
    plan = _plan(losses, balancer, measured, parameters, seam)
    if not plan.measured:
        weights = decide(balancer, measured)
        _weighted_backward(losses, weights, penalty, ranks)
        return Step(losses_T, weights, active_T)
    keep_graph = penalty is not None or not plan.fills
    rows = take_gradients(losses, plan.places, keep_graph=keep_graph)
    if ranks is not None and not plan.at_seam:
        ranks.average_rows(rows)
    measured = replace(measured, at_seam=plan.at_seam)
    gram_TT = gram_of(rows[: len(plan.measured)], measured.num_tasks) / loss_scale**2
    if ranks is not None and plan.at_seam:
        # The whole batch's loss is the mean over the ranks: a rank's seam has 1 / world of its gradient.
        gram_TT = ranks.sum(gram_TT) / ranks.world**2
    overflows = loss_scale != 1.0 and not bool(gram_TT.diagonal().isfinite().all())
    if overflows:
        # The plain sum: the GradScaler finds what overflowed, skips the step and scales less.
        balancer = Equal(measured.num_tasks)
    measured, weights = settle(balancer, measured, None if overflows else gram_TT, plan.tasks)
    if plan.fills:
        weights = apply(
            rows,
            plan,
            balancer,
            measured,
            weights,
            penalty=penalty,
            ranks=ranks,
            loss_scale=loss_scale,
        )
    else:
        _weighted_backward(losses, weights, penalty, ranks)
    return Step(losses_T, weights, active_T, measured.gram_TT)


def _plan(
    losses: Losses,
    balancer: Balancer,
    measured: Measurement,
    parameters: Iterable[Tensor] | None,
    seam: Sequence[Tensor] | None,
) -> Plan:
    need = balancer.need(measured.step, measured.active_T)
    if need == Need.LOSSES or int(measured.active_T.sum()) < 2:
        return Plan()
    if balancer.at_last_layer and parameters is None:
        parameters = last_shared_layer(losses, seam=seam or ())
        return narrow_plan(losses, parameters) if parameters else Plan()
    if seam is not None:
        return seam_plan(losses, seam)
    if parameters is not None and need == Need.GRAM:
        return narrow_plan(losses, parameters)
    return exact_plan(losses, parameters)


def _weighted_backward(
    losses: Losses, weights: Weights, penalty: Tensor | None, ranks: Ranks | None
) -> None:
    """Backward of sum w_i L_i (+ penalty): one pass, or two if private parameters weigh otherwise."""
    roots = [] if ranks is None else [*losses, penalty]
    reached = leaves_under([edge_of(root) for root in roots if root is not None])
    averaged(partial(_weighted_passes, losses, weights, penalty), reached, ranks)


def _weighted_passes(losses: Losses, weights: Weights, penalty: Tensor | None) -> None:
    shared, private = weights.shared_T.tolist(), weights.private_T.tolist()
    if shared == private:
        seeded_backward(losses, shared, penalty)
        return
    graph = reach(losses)
    alone, together = graph.private(), graph.shared()
    keep_graph = penalty is not None
    if alone:
        seeded_backward(losses, private, inputs=alone, keep_graph=keep_graph or bool(together))
    if together:
        seeded_backward(losses, shared, inputs=together, keep_graph=keep_graph)
    if penalty is not None:
        torch.autograd.backward(penalty)


def seeded_backward(
    losses: Losses,
    weights: Sequence[float],
    penalty: Tensor | None = None,
    *,
    inputs: Sequence[Tensor] | None = None,
    keep_graph: bool = False,
) -> None:
    """One pass from all losses at once, each times its weight."""
    roots = []
    for root, weight in zip([*losses, penalty], [*weights, 1.0]):
        if root is not None:
            # Not as seeds of the pass: torch imports sympy to check them, half a second of a start.
            roots.append(root if weight == 1.0 else root * weight)
    if roots:
        torch.autograd.backward(roots, retain_graph=keep_graph, inputs=inputs)
