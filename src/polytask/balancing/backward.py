"""One call in the place of `loss.backward()`: measure, decide, fill `.grad`."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from polytask.balancing.balancer import Balancer, CoordinateRule, check_balancer
from polytask.balancing.gradients import Rows, accumulate, gram_of, jacobian_of, take_gradients
from polytask.balancing.measurement import (
    Measurement,
    Need,
    Step,
    Weights,
    check_losses,
    check_penalty,
    read_losses,
)
from polytask.balancing.parallel import Ranks
from polytask.balancing.plan import Plan, exact_plan, narrow_plan, no_plan, seam_plan
from polytask.balancing.reach import edge_of, last_shared_layer, leaves_under, reach
from polytask.balancing.scalarization import Equal

Losses = Sequence[Tensor | None]


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
    """
    if parameters is not None and seam is not None:
        raise ValueError(
            "pass `parameters` or `seam`, not both: gradients are measured at one place"
        )
    check_losses(losses)
    check_balancer(balancer, len(losses))
    losses_T, active_T = read_losses(losses if ranks is None else ranks.mean_losses(losses))
    penalty = check_penalty(penalty)
    if loss_scale != 1.0:
        losses = [None if loss is None else loss * loss_scale for loss in losses]
        penalty = None if penalty is None else penalty * loss_scale
    measured = Measurement(losses_T, active_T, step=int(balancer.num_steps), epoch=epoch)
    plan = _plan(losses, balancer, measured, parameters, seam)
    if not plan.measured:
        weights = decide(balancer, measured)
        _weighted_backward(losses, weights, penalty, ranks)
        return Step(losses_T, weights, active_T)
    keep_graph = penalty is not None or not plan.fills
    rows = take_gradients(losses, plan.places, keep_graph=keep_graph)
    if ranks is not None and not plan.at_seam:
        ranks.average_rows(rows)
    gram_TT = _gram(rows, plan, measured.num_tasks, ranks) / loss_scale**2
    if loss_scale != 1.0 and not gram_TT.diagonal().isfinite().all():
        # The plain sum: the GradScaler finds what overflowed, skips the step and scales less.
        balancer = Equal(measured.num_tasks)
    else:
        measured = with_gram(measured, gram_TT, plan.tasks)
    weights = with_ones(decide(balancer, measured), active_T & ~measured.active_T)
    if plan.fills:
        with _averaging(_unfinished(rows, plan, penalty), ranks):
            fill(rows, gradients_due(rows, plan, balancer, measured, weights, ranks), penalty)
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
        return no_plan()
    if balancer.at_last_layer and parameters is None:
        parameters = last_shared_layer(losses, seam=seam or ())
        return narrow_plan(losses, parameters) if parameters else no_plan()
    if seam is not None:
        return seam_plan(losses, seam)
    if parameters is not None and need == Need.GRAM:
        return narrow_plan(losses, parameters)
    return exact_plan(losses, parameters)


def _averaging(leaves: Iterable[Tensor], ranks: Ranks | None) -> AbstractContextManager[None]:
    alike = [] if ranks is None else list(leaves)
    return ranks.averaging(alike) if ranks is not None and alike else nullcontext()


def _unfinished(rows: Sequence[Rows], plan: Plan, penalty: Tensor | None) -> Iterator[Tensor]:
    """The leaves that `fill` gives gradients of this rank's part of the batch alone."""
    roots = [row.place.edge for row in rows if row.place.leaf is None]
    edges = [(root.node, root.output_nr) for root in roots]
    below = leaves_under([*edges, edge_of(penalty)] if penalty is not None else edges)
    above = [row.place.leaf for row in rows if plan.at_seam and row.place.leaf is not None]
    yield from dict.fromkeys([*above, *below])


def _reached(losses: Losses, penalty: Tensor | None) -> Iterator[Tensor]:
    yield from leaves_under([edge_of(root) for root in [*losses, penalty] if root is not None])


def _gram(rows: Sequence[Rows], plan: Plan, num_tasks: int, ranks: Ranks | None) -> Tensor:
    gram_TT = gram_of(rows[: len(plan.measured)], num_tasks)
    if ranks is None or not plan.at_seam:
        return gram_TT
    # The loss of the whole batch is the mean over the ranks: a rank's seam has 1 / world of its gradient.
    return ranks.sum(gram_TT) / ranks.world**2


def with_gram(measured: Measurement, gram_TT: Tensor, tasks: frozenset[int]) -> Measurement:
    """Add the Gram matrix. Tasks that reach nothing measured are left to themselves."""
    for task in sorted(tasks):
        if not gram_TT[task, task].isfinite():
            raise ValueError(
                f"the gradient of task {task} is not finite, though its loss is: nothing was "
                "written to .grad; look for a square root or logarithm at 0, or clip the input"
            )
    joined_T = torch.tensor([task in tasks for task in range(measured.num_tasks)])
    return replace(measured, active_T=joined_T, gram_TT=gram_TT)


def decide(balancer: Balancer, measured: Measurement) -> Weights:
    """The balancer's weights; ValueError if they are not finite."""
    weights: Weights = balancer(measured)
    if not all(map(math.isfinite, [*weights.shared_T.tolist(), *weights.private_T.tolist()])):
        raise ValueError(
            f"{type(balancer).__name__} decided on weights that are not finite, "
            f"{weights.shared_T.tolist()}, for losses {measured.losses_T.tolist()}"
        )
    return weights


def with_ones(weights: Weights, left_out_T: Tensor) -> Weights:
    """Tasks that are present but reach nothing that was measured keep their gradient."""
    shared_T, private_T = (weights_T.masked_fill(left_out_T, 1.0) for weights_T in weights)
    return Weights(shared_T, private_T)


def gradients_due(
    rows: Sequence[Rows],
    plan: Plan,
    balancer: Balancer,
    measured: Measurement,
    weights: Weights,
    ranks: Ranks | None,
) -> Iterator[Tensor | None]:
    """What is due at each place, made one at a time: measured, carried, then private ones."""
    shared, private = weights.shared_T.tolist(), weights.private_T.tolist()
    num_measured, num_shared = len(plan.measured), len(plan.measured) + len(plan.carried)
    if isinstance(balancer, CoordinateRule):
        others = ranks if plan.at_seam else None
        yield from _coordinate_update(rows[:num_measured], balancer, measured, others)
    else:
        yield from (row.weighted_sum(shared) for row in rows[:num_measured])
    yield from (row.weighted_sum(shared) for row in rows[num_measured:num_shared])
    yield from (row.weighted_sum(private) for row in rows[num_shared:])


def _coordinate_update(
    rows: Sequence[Rows],
    balancer: CoordinateRule,
    measured: Measurement,
    others: Ranks | None,
) -> list[Tensor | None]:
    """The rule's update at each place; `others` hold further coordinates of the same tensors."""
    examples = [row.example() for row in rows]
    sizes = [0 if example is None else example.numel() for example in examples]
    tasks_A = measured.active_T.nonzero().squeeze(1)
    rows_AP = jacobian_of(rows, tasks_A.tolist())
    if others is None:
        update_P = balancer.combine(rows_AP, tasks_A, measured.of(tasks_A))
    else:
        # Coordinates are decided about one by one, so zeros can stand in for the others'.
        columns_P, num_columns = others.columns(sizes)
        whole_AQ = rows_AP.new_zeros(len(rows_AP), num_columns)
        whole_AQ[:, columns_P] = rows_AP
        update_P = balancer.combine(whole_AQ, tasks_A, measured.of(tasks_A))[columns_P]
    parts = torch.split(update_P, sizes)
    return [
        None if example is None else part.view(example.shape).to(example)
        for part, example in zip(parts, examples)
    ]


def fill(rows: Sequence[Rows], gradients: Iterator[Tensor | None], penalty: Tensor | None) -> None:
    """Write the leaves' gradients, then pass on what is due at tensors inside the graph."""
    roots, seeds = [], []
    for row, gradient in zip(rows, gradients):
        row.by_task.clear()
        if gradient is None:
            continue
        if row.place.leaf is not None:
            accumulate(row.place.leaf, gradient)
        else:
            roots.append(row.place.edge)
            seeds.append(gradient)
    if penalty is not None:
        roots.append(get_gradient_edge(penalty))
        seeds.append(torch.ones_like(penalty))
    if roots:
        torch.autograd.backward(roots, seeds)


def _weighted_backward(
    losses: Losses, weights: Weights, penalty: Tensor | None, ranks: Ranks | None
) -> None:
    """Backward of sum w_i L_i (+ penalty): one pass, or two if private parameters weigh otherwise."""
    with _averaging(_reached(losses, penalty), ranks):
        _weighted_passes(losses, weights, penalty)


def _weighted_passes(losses: Losses, weights: Weights, penalty: Tensor | None) -> None:
    shared, private = weights.shared_T.tolist(), weights.private_T.tolist()
    if shared == private:
        seeded_backward(losses, shared, penalty)
        return
    alone: list[Tensor] = []
    together: list[Tensor] = []
    for leaf, tasks in reach(losses).leaves.items():
        (alone if len(tasks) == 1 else together).append(leaf)
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
