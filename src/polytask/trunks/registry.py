"""The trunks by name, and how a trunk gets one."""

from collections.abc import Callable
from typing import TypeVar

from polytask.registry import enter
from polytask.trunks.trunk import Trunk

Kind = TypeVar("Kind", bound=type[Trunk])

TRUNKS: dict[str, type[Trunk]] = {}


def register_trunk(name: str) -> Callable[[Kind], Kind]:
    """A decorator that gives a trunk a name, which `trunk=` and `--trunk` then know.

    Its constructor takes in_features, num_tasks and, keyword-only, its options. ValueError for a name
    that another trunk has. Check the trunk with `polytask.trunks.testing.check_trunk`.

    >>> @register_trunk("nothing")
    ... class Nothing(Trunk):
    ...     def __init__(self, in_features, num_tasks):
    ...         super().__init__()
    ...         self.num_tasks, self.out_features = num_tasks, in_features
    ...     def share(self, x_BD):
    ...         return (x_BD,)
    ...     def split(self, seam):
    ...         return [seam[0]] * self.num_tasks
    ...     def input_weights(self):
    ...         return ()
    >>> TRUNKS["nothing"](10, 2).out_features
    10
    """

    def add(kind: Kind) -> Kind:
        enter(TRUNKS, name, kind)
        return kind

    return add
