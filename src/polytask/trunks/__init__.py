"""What tasks share: the network between one vector per example and the heads."""

from polytask.trunks.alignment import Aligned
from polytask.trunks.attention import MTAN
from polytask.trunks.attention_gate import AttentionMoE
from polytask.trunks.blocks import Experts, Gate, Routing, mix, mlp
from polytask.trunks.convolution import ConvSharedBottom
from polytask.trunks.convolution_masks import ConvMTAN
from polytask.trunks.convolution_stitching import ConvCrossStitch
from polytask.trunks.extraction import CGC, PLE
from polytask.trunks.inheritance import inherit
from polytask.trunks.inspection import ExpertUse, collapse_warning, expert_uses
from polytask.trunks.mixtures import MMoE, OMoE
from polytask.trunks.ownership import PerTask, PerTaskParameters, Role, TaskBlocks
from polytask.trunks.registry import TRUNKS, register_trunk
from polytask.trunks.shared_private import SharedPrivate
from polytask.trunks.sharing import SharedBottom, SingleTask
from polytask.trunks.shortcuts import WithShortcuts
from polytask.trunks.sizes import num_parameters, parameter_matched
from polytask.trunks.soft import SoftSharing
from polytask.trunks.stitching import CrossStitch, Sluice
from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights, Mask, Stitch, Trunk

__all__ = [
    "CGC",
    "MTAN",
    "PLE",
    "TRUNKS",
    "Aligned",
    "AttentionMoE",
    "ConvCrossStitch",
    "ConvMTAN",
    "ConvSharedBottom",
    "CrossStitch",
    "ExpertOutputs",
    "ExpertUse",
    "Experts",
    "Explanation",
    "Gate",
    "GateWeights",
    "MMoE",
    "Mask",
    "OMoE",
    "PerTask",
    "PerTaskParameters",
    "Role",
    "Routing",
    "SharedBottom",
    "SharedPrivate",
    "SingleTask",
    "Sluice",
    "SoftSharing",
    "Stitch",
    "TaskBlocks",
    "Trunk",
    "WithShortcuts",
    "collapse_warning",
    "expert_uses",
    "inherit",
    "mix",
    "mlp",
    "num_parameters",
    "parameter_matched",
    "register_trunk",
]
