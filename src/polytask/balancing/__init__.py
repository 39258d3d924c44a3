"""How tasks are weighed: rules on the losses and on the tasks' gradients, and the backward pass.

    balancer = NashMTL(num_tasks=3)
    balanced_backward([loss_a, loss_b, loss_c], balancer)      # in the place of sum(losses).backward()

The room stands alone: it has never heard of a model, and needs only torch and scipy.
"""

from polytask.balancing.accumulation import Accumulator
from polytask.balancing.backward import balanced_backward
from polytask.balancing.balancer import Balancer, CoordinateRule, GramRule, Scalarization
from polytask.balancing.conflict_rules import CAGrad, CosineGate, GradVac, PCGrad
from polytask.balancing.coordinate import GradDrop
from polytask.balancing.gradient_rules import (
    IMTLG,
    MGDA,
    AlignedMTL,
    ConFIG,
    DualProj,
    FairGrad,
    NashMTL,
    ParetoEfficient,
    UPGrad,
)
from polytask.balancing.gradnorm import GradNorm
from polytask.balancing.grouping import grouped_backward
from polytask.balancing.histories import DWA, STCH
from polytask.balancing.laws import Law
from polytask.balancing.learned import FAMO, IMTLL, Uncertainty
from polytask.balancing.measurement import Measurement, Need, Step, Weights
from polytask.balancing.parallel import Ranks
from polytask.balancing.reach import Reach, last_shared_layer, reach
from polytask.balancing.registry import BALANCERS, WRAPPERS, register
from polytask.balancing.scalarization import (
    GLS,
    RLW,
    Decayed,
    Equal,
    Relative,
    ScaleInvariant,
    Static,
)
from polytask.balancing.svd_reweighting import SVDReweighting
from polytask.balancing.wrappers import Combined, EveryNthStep, NormClipped, Smoothed, Wrapper

__all__ = [
    "BALANCERS",
    "DWA",
    "FAMO",
    "GLS",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "RLW",
    "STCH",
    "WRAPPERS",
    "Accumulator",
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "Combined",
    "ConFIG",
    "CoordinateRule",
    "CosineGate",
    "Decayed",
    "DualProj",
    "Equal",
    "EveryNthStep",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GramRule",
    "Law",
    "Measurement",
    "NashMTL",
    "Need",
    "NormClipped",
    "PCGrad",
    "ParetoEfficient",
    "Ranks",
    "Reach",
    "Relative",
    "SVDReweighting",
    "Scalarization",
    "ScaleInvariant",
    "Smoothed",
    "Static",
    "Step",
    "UPGrad",
    "Uncertainty",
    "Weights",
    "Wrapper",
    "balanced_backward",
    "grouped_backward",
    "last_shared_layer",
    "reach",
    "register",
]
