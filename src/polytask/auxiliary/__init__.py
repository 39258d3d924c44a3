"""Which extra objectives help: losses made of the data at hand, trained on for the goals' sake."""

from polytask.auxiliary.adversarial import Adversarial, reversal_at
from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows, mean_features
from polytask.auxiliary.frequency import Frequency
from polytask.auxiliary.masked_columns import MaskedColumns
from polytask.auxiliary.registry import AUXILIARIES, register
from polytask.auxiliary.replaced_values import ReplacedValues

__all__ = [
    "AUXILIARIES",
    "Adversarial",
    "Auxiliary",
    "Frequency",
    "MaskedColumns",
    "ReplacedValues",
    "TrainingRows",
    "mean_features",
    "register",
    "reversal_at",
]
