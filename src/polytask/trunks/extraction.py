"""Trunks that keep experts of their own for each task beside the shared ones."""

from abc import ABC
from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from polytask.trunks.blocks import Gate
from polytask.trunks.levels import Level, group_names, group_outputs, present
from polytask.trunks.ownership import TaskBlocks
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights, Trunk, require_counts

_MOST_LEVELS = 1000


class _Extraction(Trunk, ABC):
    """Levels of experts, of which each task has its own and all tasks share some."""

    per_task_options: ClassVar[frozenset[str]] = frozenset({"num_task_experts"})
    reads_x_by_products = True

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        num_levels: int = 2,
        merge_from: int = 1,
        num_shared_experts: int = 4,
        num_task_experts: int | Sequence[int] = 4,
        expert_hidden: Sequence[int] | Sequence[Sequence[int]] = (64, 32),
        gate_bias: bool = False,
        temperature: float = 1.0,
        gate_dropout: float = 0.0,
        top_k: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, num_levels=num_levels)
        self.num_tasks = num_tasks
        counts = _counts(num_tasks, num_task_experts, num_shared_experts)
        _check_merging(merge_from, num_levels, counts)
        width = in_features
        self.levels = nn.ModuleList()
        for j, hidden in enumerate(_widths_by_level(expert_hidden, num_levels), start=1):
            level = Level(
                width,
                partial(
                    Gate, bias=gate_bias, temperature=temperature, dropout=gate_dropout, top_k=top_k
                ),
                num_task_experts=counts,
                num_shared_experts=num_shared_experts,
                hidden=hidden,
                dropout=dropout,
                is_merged=j >= merge_from,
                is_last=j == num_levels,
            )
            self.levels.append(level)
            width = level.out_features
        self.out_features = width
        self._crosses = merge_from < num_levels and num_shared_experts > 0

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        *lower, last = self._levels()
        common_BD = x_BD
        if not self._crosses:
            for level in lower:
                common_BD = level.mix_shared(common_BD, [level.shared(common_BD)])
            return (x_BD, *present([last.shared(common_BD)]))
        *lower, middle = lower
        selectors = [x_BD] * self.num_tasks
        for level in lower:
            groups = level(selectors, common_BD)
            selectors = level.mix_all(selectors, groups)
            common_BD = level.mix_shared(common_BD, groups)
        groups = middle(selectors, common_BD)
        shared_BEH = last.shared(middle.mix_shared(common_BD, groups))
        return (*(selectors if lower else [x_BD]), *present(groups), shared_BEH)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        if not self._crosses:
            x_BD, *shared = seam
            return [self._column(t, x_BD, shared) for t in range(self.num_tasks)]
        *lower, middle, last = self._levels()
        *below, shared_BEH = seam
        num_selectors = self.num_tasks if lower else 1
        selectors = below[:num_selectors] * (self.num_tasks // num_selectors)
        groups = iter(below[num_selectors:])
        mixed = middle.mix_all(selectors, [next(groups) if n else None for n in middle.counts])
        return [last.column(t, h_BD, [shared_BEH]) for t, h_BD in enumerate(mixed)]

    def input_weights(self) -> Iterable[Tensor]:
        return self._levels()[0].input_weights()

    def task_blocks(self) -> Iterable[tuple[Tensor, TaskBlocks]]:
        return [found for level in self._levels() for found in level.task_blocks()]

    def explain(self, x_BD: Tensor) -> Explanation:
        selectors, common_BD = [x_BD] * self.num_tasks, x_BD
        gates: list[GateWeights] = []
        experts: list[ExpertOutputs] = []
        for number, level in enumerate(self._levels(), start=1):
            prefix = f"level {number}, " if len(self.levels) > 1 else ""
            names = group_names(level, prefix=prefix)
            groups = level(selectors, common_BD)
            gates += level.explain_gates(selectors, common_BD, names, number=number)
            experts.append(group_outputs(names, groups, number=number))
            selectors = level.mix_all(selectors, groups)
            common_BD = level.mix_shared(common_BD, groups)
        return Explanation(gates=tuple(gates), experts=tuple(experts))

    def _levels(self) -> list[Level]:
        return [level for level in self.levels if isinstance(level, Level)]

    def _column(self, task: int, h_BD: Tensor, shared: Sequence[Tensor]) -> Tensor:
        for level in self._levels():
            h_BD = level.column(task, h_BD, shared)
        return h_BD


@register_trunk("cgc")
class CGC(_Extraction):
    """Customized gate control (Tang et al., RecSys 2020, section 3.2): one level of `PLE`.

    Task k mixes its own experts and the shared ones by softmax(W_k x), own first. Without own
    experts it is MMoE; without shared ones nothing is shared. `num_task_experts` is one count for
    all tasks or one for each; the gates' options are those of `MMoE`.
    Seam: x and the shared experts' outputs.

    Paper: https://doi.org/10.1145/3383313.3412236

    **Shape** (B, in_features) -> T of (B, expert_hidden[-1]).

    >>> import torch
    >>> trunk = CGC(5, 2, num_task_experts=[1, 2], num_shared_experts=3)
    >>> [gate.weights_BE.shape[1] for gate in trunk.explain(torch.randn(7, 5)).gates]
    [4, 5]
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        num_shared_experts: int = 4,
        num_task_experts: int | Sequence[int] = 4,
        expert_hidden: Sequence[int] = (64, 32),
        gate_bias: bool = False,
        temperature: float = 1.0,
        gate_dropout: float = 0.0,
        top_k: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            in_features,
            num_tasks,
            num_levels=1,
            num_shared_experts=num_shared_experts,
            num_task_experts=num_task_experts,
            expert_hidden=expert_hidden,
            gate_bias=gate_bias,
            temperature=temperature,
            gate_dropout=gate_dropout,
            top_k=top_k,
            dropout=dropout,
        )


@register_trunk("ple")
class PLE(_Extraction):
    """Progressive layered extraction (Tang et al., RecSys 2020, section 3.3): levels of CGC.

    At each level task k's experts read what its gate mixed one level below, and the shared experts
    what the shared gate mixed. The shared gate mixes all experts of its level; the last level has
    none. `expert_hidden` holds the widths of an expert for every level, or one sequence of widths
    for each level. `num_task_experts` and the gates' options are those of `CGC`.

    DIFF: `merge_from` is 1 in the paper. Below that level the groups run side by side: each gate
    mixes the experts of its own group only.

    Seam: the T selectors that enter the last level but one (x, if that is the first), all groups of
    that level, and the shared experts of the last. If nothing crosses between the tasks below the
    last level (one level, merging from the last one, no shared experts): as in `CGC`.

    Paper: https://doi.org/10.1145/3383313.3412236

    **Shape** (B, in_features) -> T of (B, H), the last width of the last level's experts.

    >>> import torch
    >>> trunk = PLE(5, 2, num_levels=2, expert_hidden=(16, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 8), (7, 8)]
    >>> trunk.owners()["levels.0.own.1.first.weight"]
    1
    """


def _counts(
    num_tasks: int, num_task_experts: int | Sequence[int], num_shared_experts: int
) -> tuple[int, ...]:
    """Own experts of each task; ValueError for counts that leave a gate nothing to mix."""
    if isinstance(num_task_experts, int):
        counts = (num_task_experts,) * num_tasks
    else:
        counts = tuple(num_task_experts)
    if len(counts) != num_tasks:
        raise ValueError(
            f"num_task_experts must be one count or one for each of the {num_tasks} tasks, but "
            f"{num_task_experts=}"
        )
    if min(*counts, num_shared_experts) < 0:
        raise ValueError(
            f"counts of experts must be 0 or more, but {num_task_experts=}, {num_shared_experts=}"
        )
    if num_shared_experts == 0 and min(counts) == 0:
        raise ValueError(
            "a task without own experts needs shared ones: set num_shared_experts to at least 1, "
            f"but {num_task_experts=}, {num_shared_experts=}"
        )
    return counts


def _check_merging(merge_from: int, num_levels: int, counts: Sequence[int]) -> None:
    if num_levels > _MOST_LEVELS:
        raise ValueError(f"at most {_MOST_LEVELS} levels, but {num_levels=}")
    if not 1 <= merge_from <= num_levels:
        raise ValueError(f"merge_from must be a level from 1 to {num_levels=}, but {merge_from=}")
    if merge_from > 1 and min(counts) == 0:
        raise ValueError(
            "below the level at which merging starts each task needs an expert of its own: set "
            f"merge_from=1 or num_task_experts to at least 1, but {merge_from=} and own experts "
            f"{tuple(counts)}"
        )


def _widths_by_level(
    hidden: Sequence[int] | Sequence[Sequence[int]], num_levels: int
) -> list[tuple[int, ...]]:
    same = tuple(width for width in hidden if isinstance(width, int))
    if same and len(same) == len(hidden):
        return [same] * num_levels
    levels = [tuple(widths) for widths in hidden if not isinstance(widths, int)]
    if not len(levels) == len(hidden) == num_levels:
        raise ValueError(
            "expert_hidden must be widths, such as (64, 32), or one sequence of widths for each of "
            f"the {num_levels} levels, but expert_hidden={hidden}"
        )
    return levels
