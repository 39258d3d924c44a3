"""What tasks share: the network between one vector per example and the heads."""

from collections.abc import Mapping
from types import MappingProxyType

from polytask.trunks.blocks import Experts, Gate, mix, mlp
from polytask.trunks.mixtures import MMoE
from polytask.trunks.sharing import SharedBottom, SingleTask
from polytask.trunks.trunk import Explanation, GateWeights, Mask, Stitch, Trunk

TRUNKS: Mapping[str, type[Trunk]] = MappingProxyType(
    {"single_task": SingleTask, "shared_bottom": SharedBottom, "mmoe": MMoE}
)

__all__ = [
    "TRUNKS",
    "Experts",
    "Explanation",
    "Gate",
    "GateWeights",
    "MMoE",
    "Mask",
    "SharedBottom",
    "SingleTask",
    "Stitch",
    "Trunk",
    "mix",
    "mlp",
]
