"""What a step differentiates, and with respect to what: decided from the graph before any pass."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from polytask.balancing.gradients import Place
from polytask.balancing.measurement import STACKED, Losses
from polytask.balancing.reach import (
    Reach,
    branches_of_joined_losses,
    compiled_together,
    edge_of,
    leaves_below,
    reach,
)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`measured` enters the Gram matrix; `carried` is shared too, gets the same weights, unmeasured.

    `private` belongs to one task each. Places that are no leaves are roots of the last pass.
    `fills`: whether these places are all that needs a gradient; else a weighted pass follows. Where
    nothing is measured the losses are all that the rule needs, or nothing is shared.
    """

    measured: list[Place] = field(default_factory=list)
    carried: list[Place] = field(default_factory=list)
    private: list[Place] = field(default_factory=list)
    fills: bool = True

    @property
    def places(self) -> list[Place]:
        return [*self.measured, *self.carried, *self.private]

    @property
    def at_seam(self) -> bool:
        """Whether what is measured are gradients of examples, not of parameters."""
        return any(place.leaf is None for place in self.measured)

    @property
    def tasks(self) -> frozenset[int]:
        """The tasks that take part in what is measured."""
        return frozenset().union(*(place.tasks for place in self.measured))


def exact_plan(losses: Losses, parameters: Iterable[Tensor] | None = None) -> Plan:
    """Measure at the shared parameters; rows looked up in shared tables are carried."""
    graph = reach(losses)
    refuse_hidden_tasks(losses, graph)
    measured = narrowed(graph.shared(), graph.tables(), parameters)
    if not measured:
        return Plan()
    carried: list[Place] = []
    chosen = set(measured)
    for leaf in [leaf for leaf in graph.shared() if leaf not in chosen]:
        if graph.is_table(leaf):
            nodes = graph.consumers[leaf]
            carried += [Place(GradientEdge(node, 0), graph.reached[node]) for node in nodes]
        else:
            carried += _at(graph, [leaf])
    return Plan(_at(graph, measured), carried, _at(graph, graph.private()))


def seam_plan(losses: Losses, seam: Sequence[Tensor]) -> Plan:
    """Measure at the seam; parameters above it that several losses reach are carried."""
    below = leaves_below(seam)
    graph = reach(losses, above=seam)
    refuse_hidden_tasks(losses, graph)
    measured = [
        Place(get_gradient_edge(tensor), graph.cut[edge_of(tensor)])
        for tensor in seam
        if tensor.requires_grad and edge_of(tensor) in graph.cut
    ]
    if not measured and below:
        raise ValueError("no loss was computed from the seam: pass the tensors that the heads read")
    for leaf in graph.leaves:
        if leaf in below:
            raise ValueError(
                f"a parameter of shape {tuple(leaf.shape)} is reached both through the seam and "
                "around it; add to the seam the tensor at which the second path leaves"
            )
    if not measured:
        return Plan()
    return Plan(measured, _at(graph, graph.shared()), _at(graph, graph.private()))


def narrow_plan(losses: Losses, parameters: Iterable[Tensor]) -> Plan:
    """Measure at these parameters only; all gradients are left to a weighted pass."""
    graph = reach(losses)
    refuse_hidden_tasks(losses, graph)
    measured = narrowed(graph.shared(), graph.tables(), parameters)
    return Plan(_at(graph, measured), fills=False)


def refuse_hidden_tasks(losses: Losses, graph: Reach) -> None:
    """ValueError if the graph hides what is private: losses were stacked, or compiled together.

    The graph of a stacked loss leads to all tasks' heads, although its gradient there is zero; a
    stack alone proves nothing (losses may share everything), so the gradients are looked at. What
    torch.compile made is one operation: which of its outputs rests on which parameter cannot be seen.
    """
    if compiled_together(losses, graph):
        raise ValueError(
            "different losses read different outputs of one compiled module, and nobody can see from "
            "outside which of its parameters belong to which: compile what all tasks share as one "
            "module and each head, gate or tower as another, or none of what is private"
        )
    branches = branches_of_joined_losses(graph, losses)
    if not branches:
        return
    owners = [_tasks_with_gradient(losses, leaves) for leaves in branches]
    if all(len(tasks) <= 1 for tasks in owners) and len(frozenset().union(*owners)) >= 2:
        raise ValueError(STACKED)


def _tasks_with_gradient(losses: Losses, leaves: Sequence[Tensor]) -> set[int]:
    found = set()
    for task, loss in enumerate(losses):
        if loss is not None:
            gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
            if any(gradient is not None and bool(gradient.any()) for gradient in gradients):
                found.add(task)
    return found


class OnlyTablesError(ValueError):
    """The losses share nothing but embedding tables, and nobody has asked to measure there."""


def narrowed(
    shared: Sequence[Tensor], tables: Container[Tensor], parameters: Iterable[Tensor] | None
) -> list[Tensor]:
    """What of the shared leaves to measure; ValueError if nothing is left, and not for want of any."""
    if not shared:
        return []
    if parameters is None:
        measured = [leaf for leaf in shared if leaf not in tables]
        if not measured:
            raise OnlyTablesError(
                "the losses share embedding tables only, which are measured when asked for: hand "
                "them over as parameters=, or hand over a seam"
            )
        return measured
    wanted = set(parameters)
    measured = [leaf for leaf in shared if leaf in wanted]
    if not measured:
        raise ValueError("none of `parameters` is reached by two or more losses")
    return measured


def _at(graph: Reach, leaves: Iterable[Tensor]) -> list[Place]:
    return [Place(GradientEdge(graph.nodes[leaf], 0), graph.leaves[leaf], leaf) for leaf in leaves]
