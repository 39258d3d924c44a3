"""The trunks by name, and how a trunk of your own gets one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from polytask.trunks.attention import MTAN
from polytask.trunks.attention_gate import AttentionMoE
from polytask.trunks.extraction import CGC, PLE
from polytask.trunks.mixtures import MMoE, OMoE
from polytask.trunks.sharing import SharedBottom, SingleTask
from polytask.trunks.soft import SoftSharing
from polytask.trunks.stitching import CrossStitch, Sluice
from polytask.trunks.trunk import Trunk

Kind = TypeVar("Kind", bound=type[Trunk])

_TRUNKS: dict[str, type[Trunk]] = {
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "soft_sharing": SoftSharing,
    "cross_stitch": CrossStitch,
    "sluice": Sluice,
    "mtan": MTAN,
    "omoe": OMoE,
    "mmoe": MMoE,
    "attention_moe": AttentionMoE,
    "cgc": CGC,
    "ple": PLE,
}
_OURS = frozenset(_TRUNKS)
TRUNKS: Mapping[str, type[Trunk]] = MappingProxyType(_TRUNKS)


def register_trunk(name: str) -> Callable[[Kind], Kind]:
    """Give a trunk of your own a name, which `trunk=` and `--trunk` then know.

    Its constructor takes in_features, num_tasks and, keyword-only, its options. A name may be
    registered again, as a notebook does. Check the trunk with `polytask.trunks.testing.check_trunk`.

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
    if name != name.lower() or not name.isidentifier():
        raise ValueError(f"a trunk's name is lower case, of letters, digits and _, but {name=}")
    if name in _OURS:
        raise ValueError(f"{name!r} is a trunk of polytask's own; choose another name")

    def register(kind: Kind) -> Kind:
        _TRUNKS[name] = kind
        return kind

    return register
