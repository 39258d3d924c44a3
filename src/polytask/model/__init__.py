"""The model: an encoder, a trunk, and a tower and head of its own for each task."""

from polytask.model.bag import Bag, Network, first_of
from polytask.model.linear_part import LinearPart
from polytask.model.multi_task import Added, MultiTaskModel
from polytask.model.objective import Objective, reverse_gradient
from polytask.model.outputs import Outputs
from polytask.model.reduction import Counts, few_enough, labelled_rows, without_idle_rows

__all__ = [
    "Added",
    "Bag",
    "Counts",
    "LinearPart",
    "MultiTaskModel",
    "Network",
    "Objective",
    "Outputs",
    "few_enough",
    "first_of",
    "labelled_rows",
    "reverse_gradient",
    "without_idle_rows",
]
