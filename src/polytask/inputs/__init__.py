"""What columns are to a model: numbers, categories, times; raw values -> one vector per example."""

from polytask.inputs.categories import Categories
from polytask.inputs.fitted import FittedInputs
from polytask.inputs.input import Feature, Input
from polytask.inputs.joined import JoinedEncoder, SingleInput
from polytask.inputs.numbers import Numbers
from polytask.inputs.registry import INPUTS, register
from polytask.inputs.time import Time

__all__ = [
    "INPUTS",
    "Categories",
    "Feature",
    "FittedInputs",
    "Input",
    "JoinedEncoder",
    "Numbers",
    "SingleInput",
    "Time",
    "register",
]
