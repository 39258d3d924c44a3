"""Weights per group of parameters: every group is measured and decided about by itself."""

from collections.abc import Iterable, Sequence
from itertools import chain

from torch import Tensor

from polytask.balancing.applying import fill, gradients_due, settle
from polytask.balancing.balancer import Balancer, check_balancer
from polytask.balancing.gradients import Place, gram_of, take_gradients
from polytask.balancing.measurement import (
    Losses,
    Measurement,
    Need,
    Step,
    check_losses,
    check_penalty,
    read_losses,
)
from polytask.balancing.plan import Plan, refuse_hidden_tasks
from polytask.balancing.reach import Reach, reach


def grouped_backward(
    losses: Losses,
    balancers: Sequence[Balancer],
    groups: Sequence[Iterable[Tensor]],
    *,
    penalty: Tensor | None = None,
    epoch: int | None = None,
) -> list[Step]:
    """`balanced_backward` with a gradient rule for each group of parameters; a record a group.

    Every rule sees the Gram matrix of its group alone, so conflicts are settled layer by layer, or
    encoder by encoder. It costs what the exact `balanced_backward` does. Parameters that one loss alone
    reaches keep their gradient, named or not; what no loss reaches is passed over.

    Raises ValueError for a shared parameter in no group or in two, and for rules that weigh losses.

    >>> from polytask.balancing import MGDA, UPGrad, grouped_backward
    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> losses = [x[0] + y[0], 3 * x[1] + y[1]]
    >>> steps = grouped_backward(losses, [MGDA(2), UPGrad(2)], [[x], [y]])
    >>> [step.weights.shared_T for step in steps]
    [tensor([0.9000, 0.1000], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64)]
    """
    check_losses(losses)
    for balancer in balancers:
        check_balancer(balancer, len(losses))
        if balancer.needs == Need.LOSSES or balancer.at_last_layer:
            raise ValueError(f"{type(balancer).__name__} weighs losses: it has no weights a group")
    penalty = check_penalty(penalty)
    losses_T, active_T = read_losses(losses, penalty)
    graph = reach(losses)
    refuse_hidden_tasks(losses, graph)
    found = _shared_groups(graph, groups, len(balancers))
    plans = [Plan([Place.at(leaf, graph.leaves[leaf]) for leaf in leaves]) for leaves in found]
    private = [Place.at(leaf, graph.leaves[leaf]) for leaf in graph.private()]
    places = [*chain.from_iterable(plan.places for plan in plans), *private]
    rows = take_gradients(losses, places, keep_graph=penalty is not None)
    steps, due, start = [], [], 0
    for balancer, plan in zip(balancers, plans):
        mine, start = rows[start : start + len(plan.places)], start + len(plan.places)
        measured = Measurement(losses_T, active_T, step=int(balancer.num_steps), epoch=epoch)
        gram_TT = gram_of(mine, len(losses)) if mine else None
        measured, weights = settle(balancer, measured, gram_TT, plan.tasks)
        steps.append(Step(losses_T, weights, active_T, measured.gram_TT))
        due.append(gradients_due(mine, plan, balancer, measured, weights, None))
    fill(rows, chain(*due, (row.example() for row in rows[start:])), penalty)
    return steps


def _shared_groups(
    graph: Reach, groups: Sequence[Iterable[Tensor]], num_balancers: int
) -> list[list[Tensor]]:
    """The shared leaves of each group."""
    if len(groups) != num_balancers:
        raise ValueError(f"there must be a balancer a group: {num_balancers=}, {len(groups)=}")
    shared = dict.fromkeys(graph.shared())
    found = [[leaf for leaf in dict.fromkeys(group) if leaf in shared] for group in groups]
    named = list(chain.from_iterable(found))
    if len(set(named)) < len(named):
        raise ValueError("a shared parameter is in two groups")
    left = [leaf for leaf in shared if leaf not in set(named)]
    if left:
        raise ValueError(
            f"a parameter of shape {tuple(left[0].shape)} is reached by two or more losses, but is "
            "in no group: add it to one, or make a group of what is left"
        )
    return found
