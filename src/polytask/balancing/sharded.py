"""Balancing where every process keeps a shard of each parameter: PyTorch's FSDP2, `fully_shard`."""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from polytask.balancing.applying import begin, settle
from polytask.balancing.backward import seeded_backward
from polytask.balancing.balancer import Balancer, CoordinateRule
from polytask.balancing.gradients import Place, Rows, accumulate, added_by, gram_of
from polytask.balancing.measurement import Losses, Need, Step
from polytask.balancing.parallel import Ranks


def sharded_backward(
    losses: Losses,
    balancer: Balancer,
    shards: Sequence[Tensor],
    *,
    ranks: Ranks,
    parameters: Iterable[Tensor] | None = None,
    penalty: Tensor | None = None,
    epoch: int | None = None,
) -> Step:
    """`balanced_backward` for a model under `fully_shard`; the losses are those that `Ranks` asks for.

    `shards`: the model's parameters, listed before the forward pass, as an optimizer holds them; after
    it the module shows whole ones in the place of some. `parameters` are some of these.

    The graph ends at parameters that exist during the passes only, and their gradients are averaged
    and cut into shards by hooks of `backward()`. So each loss has a whole backward pass of its own,
    the Gram matrix is the sum of the shards' products, and reach is read off the gradients. All
    shared parameters are measured, embedding tables too, unless `parameters` are given.

    A rule on the losses costs one pass. Raises ValueError for a parameter that is no shard, for a rule
    per coordinate, and for GradNorm without `parameters`.
    """
    measured, penalty = begin(losses, penalty, balancer, epoch=epoch, ranks=ranks)
    losses_T, active_T = measured.losses_T, measured.active_T
    shards = [shard for shard in shards if shard.requires_grad]
    _check(shards, balancer, parameters)
    gram_TT, tasks = None, frozenset[int]()
    take = partial(_take_shards, losses, shards, keep_graph=penalty is not None)
    measures = balancer.need(measured.step, active_T) != Need.LOSSES and int(active_T.sum()) > 1
    rows = take() if measures else None
    if rows is not None:
        gram_TT, tasks = _measure(rows, len(losses), ranks, parameters)
    measured, weights = settle(balancer, measured, gram_TT, tasks)
    if rows is None and torch.equal(weights.shared_T, weights.private_T):
        seeded_backward(losses, weights.shared_T.tolist(), penalty)
        return Step(losses_T, weights, active_T)
    for row in take() if rows is None else rows:
        assert row.place.leaf is not None
        numbers_T = weights.shared_T if len(row.place.tasks) >= 2 else weights.private_T
        accumulate(row.place.leaf, row.weighted_sum(numbers_T.tolist()))
    if penalty is not None:
        torch.autograd.backward(penalty)
    return Step(losses_T, weights, active_T, measured.gram_TT)


def _check(shards: Sequence[Tensor], balancer: Balancer, parameters: object) -> None:
    if not all(isinstance(shard, DTensor) and shard.device_mesh.ndim == 1 for shard in shards):
        raise ValueError(
            "every parameter must be a shard over one dimension of processes: call fully_shard on "
            "the whole model, with a mesh of one dimension, and list the parameters before the forward "
            "pass, which puts whole ones in their place"
        )
    if isinstance(balancer, CoordinateRule):
        raise ValueError(
            f"{type(balancer).__name__} decides about single coordinates, which lie on other ranks "
            "under fully_shard: choose a rule on the losses or on the Gram matrix"
        )
    if balancer.at_last_layer and parameters is None:
        raise ValueError(
            "which layer is the last shared one cannot be read off a sharded model: name its weights, "
            "parameters=layer.parameters()"
        )


def _take_shards(losses: Losses, shards: Sequence[Tensor], *, keep_graph: bool) -> list[Rows]:
    """Each loss's gradients, averaged and cut; `.grad` is afterwards what it was before."""
    taken: list[list[Tensor | None]] = [[None] * len(losses) for _ in shards]
    present = [(task, loss) for task, loss in enumerate(losses) if loss is not None]
    for task, loss in present:
        keeps = keep_graph or task != present[-1][0]
        gradients = added_by(shards, partial(torch.autograd.backward, loss, retain_graph=keeps))
        for by_task, gradient in zip(taken, gradients):
            by_task[task] = gradient
    return [
        Rows(Place.at(shard, frozenset(t for t, g in enumerate(by_task) if g is not None)), by_task)
        for shard, by_task in zip(shards, taken)
    ]


def _measure(
    rows: Sequence[Rows], num_tasks: int, ranks: Ranks, parameters: Iterable[Tensor] | None
) -> tuple[Tensor | None, frozenset[int]]:
    """The Gram matrix, the sum of the shards' products as each coordinate lies on one rank; its tasks."""
    shared = [row for row in rows if len(row.place.tasks) >= 2]
    if parameters is not None:
        wanted = set(parameters)
        shared = [row for row in shared if row.place.leaf in wanted]
    tasks = frozenset[int]().union(*(row.place.tasks for row in shared))
    local = [
        Rows(row.place, [g.to_local() if isinstance(g, DTensor) else None for g in row.by_task])
        for row in shared
    ]
    return (ranks.sum(gram_of(local, num_tasks)) if shared else None), tasks
