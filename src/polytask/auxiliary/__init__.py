"""Which extra objectives help: losses made of the data at hand, trained on for the goals' sake."""

from polytask.auxiliary.adversarial import Adversarial, reversal_at
from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows, mean_features
from polytask.auxiliary.frequency import Frequency
from polytask.auxiliary.histogram import KeyHistogram
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.masked_columns import MaskedColumns
from polytask.auxiliary.orthogonality import Orthogonality
from polytask.auxiliary.registry import AUXILIARIES, register
from polytask.auxiliary.replaced_tokens import ReplacedTokens
from polytask.auxiliary.replaced_values import ReplacedValues
from polytask.auxiliary.swapped_order import SwappedOrder
from polytask.auxiliary.weighing import Schedule, Weight

__all__ = [
    "AUXILIARIES",
    "Adversarial",
    "Auxiliary",
    "AuxiliaryLoss",
    "Frequency",
    "KeyHistogram",
    "MaskedColumns",
    "Orthogonality",
    "ReplacedTokens",
    "ReplacedValues",
    "Schedule",
    "SwappedOrder",
    "TrainingRows",
    "Weight",
    "mean_features",
    "register",
    "reversal_at",
]
