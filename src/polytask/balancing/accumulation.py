"""Exact gradient accumulation: micro-batches add up, and the rule decides once about their whole."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from polytask.balancing.applying import apply, settle
from polytask.balancing.balancer import Balancer, check_balancer
from polytask.balancing.gradients import Place, Rows, gram_of, take_gradients
from polytask.balancing.measurement import (
    Losses,
    Measurement,
    Need,
    Step,
    check_losses,
    check_penalty,
    read_losses,
)
from polytask.balancing.plan import Plan, narrowed, refuse_hidden_tasks
from polytask.balancing.reach import last_shared_layer, reach


class Accumulator:
    """The gradients of one optimizer step, gathered from micro-batches.

    Weights and gradients are those of one batch of all rows, under every rule. Every rule then costs
    a backward pass a task and micro-batch, and memory for the T gradients of every parameter that
    T losses reach, embedding tables included (with `sparse=True` only the rows that were read).
    `parameters` narrows what gradient rules measure, as in `balanced_backward`.

    >>> from polytask.balancing import MGDA, Accumulator
    >>> x, accumulator = torch.ones(2, requires_grad=True), Accumulator(MGDA(2))
    >>> for num_rows in (32, 16):
    ...     accumulator.add([x[0], 3 * x[1]], counts=[num_rows, num_rows])
    >>> accumulator.finish().weights.shared_T  # in the place of balanced_backward
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """

    def __init__(self, balancer: Balancer, *, parameters: Iterable[Tensor] | None = None) -> None:
        check_balancer(balancer)
        self.balancer = balancer
        self.parameters = None if parameters is None else list(parameters)
        self._clear()

    def add(self, losses: Losses, *, counts: Sequence[float] | None = None) -> None:
        """Take the gradients of a micro-batch; its graph is freed.

        `counts`: the rows, or the sum of their weights, that each loss is the mean of. Without them
        micro-batches count alike.
        """
        check_losses(losses)
        num_tasks = self.balancer.num_tasks
        if len(losses) != num_tasks or (counts is not None and len(counts) != num_tasks):
            raise ValueError(f"there must be a loss and a count for each of the {num_tasks} tasks")
        losses_T, active_T = read_losses(losses)
        counts_T = torch.tensor([1.0] * len(losses) if counts is None else [*counts]).double()
        counts_T = counts_T.where(active_T, 0.0)
        graph = reach(losses)
        refuse_hidden_tasks(losses, graph)
        if self.balancer.at_last_layer and self.parameters is None:
            self._last_layer |= dict.fromkeys(last_shared_layer(losses))
        self._tables |= graph.tables()
        places = [Place.at(leaf, tasks) for leaf, tasks in graph.leaves.items()]
        for row in take_gradients(losses, places, keep_graph=False):
            assert row.place.leaf is not None
            sums = self._sums.setdefault(row.place.leaf, [None] * len(losses))
            for task, gradient in enumerate(row.by_task):
                if gradient is not None:
                    sums[task] = _added(sums[task], gradient, float(counts_T[task]))
        self._loss_sums_T += losses_T.nan_to_num(nan=0.0) * counts_T
        self._counts_T += counts_T

    def finish(self, *, penalty: Tensor | None = None, epoch: int | None = None) -> Step:
        """Decide, add the balanced gradients to `.grad`, and begin anew."""
        penalty = check_penalty(penalty)
        read_losses([], penalty)
        losses_T, active_T = self._loss_sums_T / self._counts_T, self._counts_T > 0
        measured = Measurement(losses_T, active_T, step=int(self.balancer.num_steps), epoch=epoch)
        plan = self._plan(measured)
        rows = [self._mean_rows(place) for place in plan.places]
        gram_TT = None
        if plan.measured:
            gram_TT = gram_of(rows[: len(plan.measured)], measured.num_tasks)
        measured, weights = settle(self.balancer, measured, gram_TT, plan.tasks)
        apply(rows, plan, self.balancer, measured, weights, penalty=penalty)
        self._clear()
        return Step(losses_T, weights, active_T, measured.gram_TT)

    def _plan(self, measured: Measurement) -> Plan:
        places = [
            Place.at(leaf, frozenset(t for t, g in enumerate(sums) if g is not None))
            for leaf, sums in self._sums.items()
        ]
        chosen: set[Tensor | None] = set()
        if self.balancer.need(measured.step, measured.active_T) != Need.LOSSES:
            shared = [leaf for leaf, place in zip(self._sums, places) if len(place.tasks) >= 2]
            chosen.update(narrowed(shared, self._tables, self._last_layer or self.parameters))
        return Plan(
            [place for place in places if place.leaf in chosen],
            [place for place in places if len(place.tasks) >= 2 and place.leaf not in chosen],
            [place for place in places if len(place.tasks) == 1],
        )

    def _mean_rows(self, place: Place) -> Rows:
        """The sums over the micro-batches, divided by the counts; they are handed over."""
        assert place.leaf is not None
        dtype = place.leaf.dtype
        means = [
            None if total is None else (total / count).to(dtype)
            for total, count in zip(self._sums.pop(place.leaf), self._counts_T.tolist())
        ]
        return Rows(place, means)

    def _clear(self) -> None:
        num_tasks = self.balancer.num_tasks
        self._sums: dict[Tensor, list[Tensor | None]] = {}
        self._loss_sums_T, self._counts_T = torch.zeros(2, num_tasks, dtype=torch.float64)
        self._tables: set[Tensor] = set()
        self._last_layer: dict[Tensor, None] = {}


def _added(total: Tensor | None, gradient: Tensor, count: float) -> Tensor:
    """total + count * gradient, in float32 at least."""
    wide = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    if total is None:
        return wide * count
    return total + wide * count if total.is_sparse else total.add_(wide, alpha=count)
