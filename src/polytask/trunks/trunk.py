"""The contract of a trunk: share, then split, with a seam between."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor, nn

from polytask.trunks.ownership import Role, TaskBlocks, owned_names


@dataclass(frozen=True, slots=True, eq=False)
class GateWeights:
    """How one gate mixes experts: weights_BE (B, E), rows of which sum to one.

    `task` is the position of the task that it mixes for, None if it mixes for all; `experts` names
    the E experts, so that one expert has one name in every gate that reads it. `level` counts the
    levels of experts from 1.

    >>> import torch
    >>> from polytask.trunks import MMoE
    >>> gate = MMoE(5, 2, num_experts=3).explain(torch.randn(7, 5)).gates[1]
    >>> gate.task, gate.experts, tuple(gate.weights_BE.shape)
    (1, ('expert 1', 'expert 2', 'expert 3'), (7, 3))
    """

    task: int | None
    experts: tuple[str, ...]
    weights_BE: Tensor
    level: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class ExpertOutputs:
    """What the E experts of one level, named as in the gates, return: outputs_BEH (B, E, H).

    >>> import torch
    >>> from polytask.trunks import MMoE
    >>> MMoE(5, 2, num_experts=3).explain(torch.randn(7, 5)).experts[0].outputs_BEH.shape
    torch.Size([7, 3, 32])
    """

    experts: tuple[str, ...]
    outputs_BEH: Tensor
    level: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Stitch:
    """How much of each source enters each row after one layer (counted from 1): weights_RS (R, S).

    `rows` names what is read into, tasks or subspaces of theirs, `sources` what is read: the same, or
    layers. Signed; rows need not sum to one.

    >>> import torch
    >>> from polytask.trunks import CrossStitch
    >>> CrossStitch(5, 2).explain(torch.randn(7, 5)).stitches[0].sources
    ('task 1', 'task 2')
    """

    layer: int
    rows: tuple[str, ...]
    sources: tuple[str, ...]
    weights_RS: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """How much of each of H shared features one task lets through at one layer, in [0, 1].

    >>> import torch
    >>> from polytask.trunks import MTAN
    >>> MTAN(5, 2).explain(torch.randn(7, 5)).masks[0].values_BH.shape
    torch.Size([7, 128])
    """

    task: int
    layer: int
    values_BH: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a trunk can say about how it uses its parts on a batch.

    >>> Explanation().gates
    ()
    """

    gates: tuple[GateWeights, ...] = ()
    stitches: tuple[Stitch, ...] = ()
    masks: tuple[Mask, ...] = ()
    experts: tuple[ExpertOutputs, ...] = ()


class Trunk(nn.Module, ABC):
    """The network between one vector per example and the heads.

    The seam is the tuple of tensors that `share` returns. They are (a) each read by task-private
    computation, (b) none an ancestor of another but by an alias, and (c) crossed by every path
    from a shared parameter to a loss. `split` reads the seam and nothing else of the batch.

    A new trunk: see `polytask.trunks.register_trunk` and `polytask.trunks.testing.check_trunk`.

    **Shape** (B, D) -> T of (B, out_features).

    >>> import torch
    >>> from polytask.trunks import SharedBottom
    >>> trunk, x_BD = SharedBottom(5, 2, hidden=(8,)), torch.randn(7, 5)
    >>> (z_BH,) = trunk.share(x_BD)
    >>> torch.equal(trunk.split((z_BH,))[0], trunk(x_BD)[0])
    True
    """

    per_task_options: ClassVar[frozenset[str]] = frozenset()
    reads_x_by_products: bool = False
    """Whether `share` and `split` do nothing with x but hand it to layers of `polytask.products`."""
    reads_maps: bool = False
    """Whether x is pictures to it: its constructor takes their `form`, (channels, height, width)."""
    num_tasks: int
    out_features: int
    num_shared_features: int | None = None
    """How many features, the first of all, are the same for every task; None where none are so marked."""

    @final
    @classmethod
    def options_for(cls, options: Mapping[str, object], tasks: Sequence[int]) -> dict[str, object]:
        """The options of this trunk for some of its tasks, by position.

        A sequence under a name in `per_task_options` has an element a task; theirs are kept.
        """
        chosen = dict(options)
        for name in cls.per_task_options:
            values = options.get(name)
            if isinstance(values, Sequence):
                if max(tasks) >= len(values):
                    raise ValueError(f"{name} needs an element for each task, but {name}={values}")
                chosen[name] = [values[task] for task in tasks]
        return chosen

    @abstractmethod
    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        """What several tasks compute together: the seam."""

    @abstractmethod
    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        """What each task computes for itself: T tensors of (B, out_features)."""

    @abstractmethod
    def input_weights(self) -> Iterable[Tensor]:
        """The parameters whose last dimension counts the entries of x: each layer that reads x."""

    def task_blocks(self) -> Iterable[tuple[Tensor, TaskBlocks]]:
        """The parameters that hold a block for each task in one tensor, with the blocks."""
        return ()

    def penalty(self) -> Tensor | None:
        """A cost on the parameters, added once to the total loss and never weighed."""
        return None

    def explain(self, x_BD: Tensor) -> Explanation:
        """How each task uses the trunk on these rows; a trunk without gates has nothing to say."""
        return Explanation()

    @final
    def owners(self) -> dict[str, int | None]:
        """Each parameter's name -> the position of the task whose own it is, None if it is shared.

        What lies in a `PerTask` list is its task's. Other losses may reach it, as they reach the
        own experts of PLE's lower levels.
        """
        return {name: role.task for name, role in self.roles().items()}

    @final
    def roles(self) -> dict[str, Role]:
        """Each parameter's name -> what it is to the tasks and to x."""
        inputs = {id(parameter) for parameter in self.input_weights()}
        blocks: dict[int, tuple[TaskBlocks, ...]] = {}
        for parameter, found in self.task_blocks():
            blocks[id(parameter)] = (*blocks.get(id(parameter), ()), found)
        ids = {name: id(parameter) for name, parameter in self.named_parameters()}
        return {
            name: Role(owner, role, ids[name] in inputs, blocks.get(ids[name], ()))
            for name, owner, role in owned_names(self)
        }

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        """T tensors of (B, out_features) from (B, D)."""
        return self.split(self.share(x_BD))


def require_counts(**counts: int) -> None:
    """ValueError for the first count below one, by its name."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but {name}={value}")
