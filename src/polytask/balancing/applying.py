"""From what was measured to `.grad`: the decision, and what is due at each place."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from polytask.balancing.balancer import Balancer, CoordinateRule, check_balancer
from polytask.balancing.gradients import Rows, accumulate, added_by, jacobian_of
from polytask.balancing.measurement import (
    Losses,
    Measurement,
    Weights,
    check_losses,
    check_penalty,
    read_losses,
)
from polytask.balancing.parallel import Ranks
from polytask.balancing.plan import Plan
from polytask.balancing.reach import edge_of, leaves_under


def begin(
    losses: Losses,
    penalty: Tensor | None,
    balancer: Balancer,
    *,
    epoch: int | None,
    ranks: Ranks | None = None,
) -> tuple[Measurement, Tensor | None]:
    """What is known before any backward pass, and the penalty if there is anything to differentiate.

    Raises TypeError or ValueError for what are no losses, no balancer or no penalty, or not finite.
    """
    check_losses(losses)
    check_balancer(balancer, len(losses))
    penalty = check_penalty(penalty)
    whole = [*losses, penalty] if ranks is None else ranks.mean_losses([*losses, penalty])
    losses_T, active_T = read_losses(whole[:-1], whole[-1])
    return Measurement(losses_T, active_T, step=int(balancer.num_steps), epoch=epoch), penalty


def settle(
    balancer: Balancer, measured: Measurement, gram_TT: Tensor | None, tasks: frozenset[int]
) -> tuple[Measurement, Weights]:
    """Decide, with the Gram matrix of `tasks` if anything was measured; the others keep their gradient."""
    left_out_T = torch.zeros_like(measured.active_T)
    if gram_TT is not None:
        squares = gram_TT.diagonal().tolist()
        for task in sorted(tasks):
            if not math.isfinite(squares[task]):
                raise ValueError(
                    f"the gradient of task {task} is not finite, though its loss is: nothing was "
                    "written to .grad; look for a square root or logarithm at 0, or clip the input"
                )
        joined_T = torch.tensor([task in tasks for task in range(measured.num_tasks)])
        left_out_T = measured.active_T & ~joined_T
        measured = replace(measured, active_T=joined_T, gram_TT=gram_TT)
    weights = decide(balancer, measured)
    if not left_out_T.any():
        return measured, weights
    return measured, Weights(*(weights_T.masked_fill(left_out_T, 1.0) for weights_T in weights))


def apply(
    rows: Sequence[Rows],
    plan: Plan,
    balancer: Balancer,
    measured: Measurement,
    weights: Weights,
    *,
    penalty: Tensor | None = None,
    ranks: Ranks | None = None,
    loss_scale: float = 1.0,
) -> Weights:
    """Add the weighted gradients to `.grad`, and the penalty's; returns the weights that were applied.

    They are the given ones, unless lengths at a seam have to be brought to those at the parameters.
    """
    at_seam = plan.at_seam
    if at_seam and measured.gram_TT is not None and balancer.rescales_at_seam:
        # Only the pass below the seam knows how long at the parameters is what has a length at the seam.
        measured_rows, rows = rows[: len(plan.measured)], rows[len(plan.measured) :]
        leaves, below = _below(measured_rows, weights, keep_graph=penalty is not None)
        below = below if ranks is None else ranks.mean_each(below)
        factor = _factor(balancer, measured, weights, _length(below) / loss_scale)
        for leaf, gradient in zip(leaves, below):
            accumulate(leaf, None if gradient is None else gradient.mul_(factor))
        weights = Weights(weights.shared_T * factor, weights.private_T)
        plan = replace(plan, measured=[])
    due = gradients_due(rows, plan, balancer, measured, weights, ranks)
    unfinished = () if ranks is None else _unfinished(rows, penalty, at_seam=at_seam)
    averaged(partial(fill, rows, due, penalty), unfinished, ranks)
    return weights


def _below(
    rows: Sequence[Rows], weights: Weights, *, keep_graph: bool
) -> tuple[list[Tensor], list[Tensor | None]]:
    """The leaves below the seam, and their gradients under these weights."""
    shared = weights.shared_T.tolist()
    due = [(row.place.edge, row.weighted_sum(shared)) for row in rows]
    edges = [edge for edge, seed in due if seed is not None]
    seeds = [seed for _, seed in due if seed is not None]
    leaves = leaves_under([(edge.node, edge.output_nr) for edge in edges])
    pass_on = partial(torch.autograd.backward, edges, seeds, retain_graph=keep_graph)
    return leaves, added_by(leaves, pass_on)


def _factor(balancer: Balancer, measured: Measurement, weights: Weights, length: float) -> float:
    """What to multiply the shared weights by; 1 where a length is zero or has overflowed."""
    assert measured.gram_TT is not None
    at_seam = math.sqrt(max(float(weights.shared_T @ measured.gram_TT @ weights.shared_T), 0.0))
    if at_seam == 0.0 or length == 0.0 or not math.isfinite(length):
        return 1.0
    factor = balancer.length_at_parameters(length, at_seam) / length
    balancer.shared_scaled(factor, measured.active_T)
    return factor


def _length(gradients: Iterable[Tensor | None]) -> float:
    """The length of all of them as one vector, read from the device once."""
    present = [gradient for gradient in gradients if gradient is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in present]
    wide = [g.float() if g.element_size() < 4 else g for g in dense]
    lengths = [torch.linalg.vector_norm(gradient).float() for gradient in wide]
    return float(torch.linalg.vector_norm(torch.stack(lengths))) if lengths else 0.0


def averaged(run: Callable[[], None], leaves: Iterable[Tensor], ranks: Ranks | None) -> None:
    """Run; what it adds to these leaves' `.grad` becomes its mean over the ranks."""
    alike = [] if ranks is None else list(leaves)
    if ranks is None or not alike:
        run()
        return
    for leaf, mean in zip(alike, ranks.mean_each(added_by(alike, run))):
        accumulate(leaf, mean)


def _unfinished(rows: Sequence[Rows], penalty: Tensor | None, *, at_seam: bool) -> Iterable[Tensor]:
    """The leaves that `fill` gives gradients of this rank's part of the batch alone."""
    roots = [row.place.edge for row in rows if row.place.leaf is None]
    edges = [(root.node, root.output_nr) for root in roots]
    below = leaves_under([*edges, edge_of(penalty)] if penalty is not None else edges)
    above = [row.place.leaf for row in rows if at_seam and row.place.leaf is not None]
    return dict.fromkeys([*above, *below])


def decide(balancer: Balancer, measured: Measurement) -> Weights:
    """The balancer's weights; ValueError if they are not finite."""
    weights: Weights = balancer(measured)
    if not all(map(math.isfinite, [*weights.shared_T.tolist(), *weights.private_T.tolist()])):
        raise ValueError(
            f"{type(balancer).__name__} decided on weights that are not finite, "
            f"{weights.shared_T.tolist()}, for losses {measured.losses_T.tolist()}"
        )
    return weights


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
