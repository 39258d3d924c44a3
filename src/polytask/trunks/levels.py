"""One level of experts: each task's own, the shared ones, and the gates that mix them."""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

import torch
from torch import Tensor, nn

from polytask.trunks.blocks import Experts, Gate, first_weights, mix
from polytask.trunks.ownership import PerTask, TaskBlocks
from polytask.trunks.trunk import ExpertOutputs, GateWeights

Group: TypeAlias = Tensor | None


class Level(nn.Module):
    """Own experts a task, shared ones, and the gates over them: T selectors and a common one in.

    Groups are the experts' outputs in the order of the tasks, the shared ones last: T + 1 of
    (B, E, H), or None for a group of no experts. A level that is not merged mixes each by itself.

    **Shape** T selectors and a common input of (B, in_features) -> T + 1 of (B, E, hidden[-1]) or None.

    >>> level = Level(5, Gate, num_task_experts=(2, 0), num_shared_experts=1, hidden=(8,), dropout=0.0)
    >>> x_BD = torch.randn(7, 5)
    >>> [group is None or group.shape[1] for group in level([x_BD, x_BD], x_BD)]
    [2, True, 1]
    """

    def __init__(
        self,
        in_features: int,
        make_gate: Callable[[int, int], Gate],
        *,
        num_task_experts: Sequence[int],
        num_shared_experts: int,
        hidden: Sequence[int],
        dropout: float,
        is_merged: bool = True,
        is_last: bool = True,
    ) -> None:
        super().__init__()
        self.counts = (*num_task_experts, num_shared_experts)
        groups = [
            Experts(in_features, n, hidden=hidden, dropout=dropout) if n else _NoExperts()
            for n in self.counts
        ]
        self.own = PerTask(groups[:-1])
        self.shared = groups[-1]
        self.out_features = hidden[-1]
        self.is_merged = is_merged
        visible = num_shared_experts if is_merged else 0
        self.gates = PerTask(make_gate(in_features, n + visible) for n in num_task_experts)
        self.shared_gate: Gate | None = None
        if num_shared_experts and not is_last:
            all_experts = sum(self.counts) if is_merged else num_shared_experts
            self.shared_gate = make_gate(in_features, all_experts)

    def forward(self, selectors: Sequence[Tensor], common_BD: Tensor) -> list[Group]:
        """The groups."""
        own = [experts(x_BD) for experts, x_BD in zip(self.own, selectors)]
        return [*own, self.shared(common_BD)]

    def column(self, task: int, selector_BD: Tensor, shared: Sequence[Tensor]) -> Tensor:
        """A task's mixture, from what entered the level for it and the shared group, if any."""
        return self._mix_own(task, selector_BD, [self.own[task](selector_BD), *shared])

    def mix_all(self, selectors: Sequence[Tensor], groups: Sequence[Group]) -> list[Tensor]:
        """Each task's mixture."""
        return [self._mix_own(t, x_BD, [groups[t], groups[-1]]) for t, x_BD in enumerate(selectors)]

    def mix_shared(self, common_BD: Tensor, groups: Sequence[Group]) -> Tensor:
        """The shared gate's mixture; at a level without such a gate, what entered."""
        if self.shared_gate is None:
            return common_BD
        return _mix_groups(self.shared_gate(common_BD), groups if self.is_merged else groups[-1:])

    def input_weights(self) -> list[Tensor]:
        """The weights that read a selector or the common input."""
        shared_gates = [] if self.shared_gate is None else [self.shared_gate]
        return first_weights([*self.own, self.shared, *self.gates, *shared_gates])

    def task_blocks(self) -> Iterator[tuple[Tensor, TaskBlocks]]:
        """The rows of the shared gate, one for each expert that it mixes."""
        if self.is_merged and self.shared_gate is not None:
            for parameter in self.shared_gate.parameters():
                yield parameter, TaskBlocks(0, self.counts[:-1])

    def explain_gates(
        self,
        selectors: Sequence[Tensor],
        common_BD: Tensor,
        names: Sequence[tuple[str, ...]],
        *,
        number: int,
    ) -> Iterator[GateWeights]:
        """The tasks' gates, then the shared one if there is any; names in the groups' order."""
        *own, shared = names
        for t, (gate, x_BD) in enumerate(zip(self.gates, selectors)):
            mixed = (*own[t], *shared) if self.is_merged else own[t]
            yield GateWeights(t, mixed, gate(x_BD), number)
        if self.shared_gate is not None:
            mixed = tuple(name for group in names for name in group) if self.is_merged else shared
            yield GateWeights(None, mixed, self.shared_gate(common_BD), number)

    def _mix_own(self, task: int, selector_BD: Tensor, groups: Sequence[Group]) -> Tensor:
        gate_BE: Tensor = self.gates[task](selector_BD)
        return _mix_groups(gate_BE, groups if self.is_merged else groups[:1])


class _NoExperts(nn.Module):
    """A group of none."""

    def forward(self, x_BD: Tensor) -> None:
        return None


def _mix_groups(gate_BE: Tensor, groups: Sequence[Group]) -> Tensor:
    """The groups' experts averaged by one gate, without a copy of all of them side by side."""
    there = present(groups)
    parts = torch.split(gate_BE, [group_BEH.shape[1] for group_BEH in there], dim=1)
    return reduce(operator.add, map(mix, parts, there))


def present(groups: Iterable[Group]) -> list[Tensor]:
    """The groups that have experts."""
    return [group_BEH for group_BEH in groups if group_BEH is not None]


def group_names(level: Level, *, prefix: str) -> list[tuple[str, ...]]:
    """Names of the experts, group by group; one name means one expert in all gates."""
    *own, num_shared = level.counts
    names = [
        tuple(f"{prefix}expert {e} of task {task}" for e in range(1, count + 1))
        for task, count in enumerate(own, start=1)
    ]
    return [*names, tuple(f"{prefix}shared expert {e}" for e in range(1, num_shared + 1))]


def group_outputs(
    names: Sequence[tuple[str, ...]], groups: Sequence[Group], *, number: int
) -> ExpertOutputs:
    """What the groups of a level return, side by side."""
    all_names = tuple(name for group in names for name in group)
    return ExpertOutputs(all_names, torch.cat(present(groups), dim=1), number)
