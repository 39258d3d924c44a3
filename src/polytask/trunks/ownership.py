"""Whose each parameter of a trunk is: lists by task, and what a parameter is to tasks and to x."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


class PerTask(nn.ModuleList):
    """A list whose module t belongs to task t.

    This is how a trunk says what is a task's own: nothing is guessed from names or lengths.

    >>> trunk_part = PerTask(nn.Linear(4, 2) for task in range(3))
    >>> len(trunk_part)
    3
    """


class PerTaskParameters(nn.ParameterList):
    """A list whose parameter t belongs to task t.

    >>> import torch
    >>> tokens = PerTaskParameters(torch.zeros(4) for task in range(3))
    >>> len(tokens)
    3
    """


@dataclass(frozen=True, slots=True)
class TaskBlocks:
    """Blocks of a parameter along `dim`: sizes[t] entries for each task t in turn; the rest is shared.

    For parameters that hold something of every task in one tensor, such as the gate of PLE that
    mixes the experts of all tasks.

    >>> TaskBlocks(dim=0, sizes=(2, 4)).places(num_entries=7)
    [[0, 1], [2, 3, 4, 5], [6]]
    """

    dim: int
    sizes: tuple[int, ...]

    def places(self, num_entries: int) -> list[list[int]]:
        """The positions of each task's entries, those of the shared ones last."""
        entries = iter(range(num_entries))
        return [*([next(entries) for _ in range(size)] for size in self.sizes), list(entries)]


@dataclass(frozen=True, slots=True)
class Role:
    """What a parameter is to the tasks and to x.

    `task` is the position of the task that owns it, None if it is shared. `name` is the parameter's
    name with * for the owner's position: what does the same for two tasks has one name. `reads_x`:
    the last dimension counts the entries of x. `blocks`: see `TaskBlocks`.

    >>> from polytask.trunks import MMoE
    >>> MMoE(5, 2).roles()["gates.1.linear.weight"]
    Role(task=1, name='gates.*.linear.weight', reads_x=True, blocks=())
    """

    task: int | None
    name: str
    reads_x: bool = False
    blocks: tuple[TaskBlocks, ...] = ()


def owned_names(module: nn.Module) -> Iterator[tuple[str, int | None, str]]:
    """Every parameter's name, its owner, and its name with * for the owner's position."""
    by_task = (PerTask, PerTaskParameters)
    lists = {name for name, part in module.named_modules() if isinstance(part, by_task)}
    for name, _ in module.named_parameters():
        parts = name.split(".")
        depths = [d for d in range(len(parts)) if ".".join(parts[:d]) in lists]
        owner = int(parts[depths[0]]) if depths else None
        for depth in depths:
            parts[depth] = "*"
        yield name, owner, ".".join(parts)
