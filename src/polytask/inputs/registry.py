"""Inputs by name: the word of the schema, of the options and of a batch."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.history import KeyHistory
from polytask.inputs.image import Image
from polytask.inputs.input import Input
from polytask.inputs.numbers import Numbers
from polytask.inputs.sequence import Sequences
from polytask.inputs.text import Text
from polytask.inputs.text_pretrained import PretrainedText
from polytask.inputs.time import Time
from polytask.inputs.word_vectors import WordInput
from polytask.registry import enter

Kind = TypeVar("Kind", bound=type[Input])

# The order in which inputs fill x.
INPUTS: dict[str, type[Input]] = {
    "categorical": Categories,
    "numeric": Numbers,
    "time": Time,
    "frequent_values": FrequentValues,
    "history": KeyHistory,
    "image": Image,
    "text": Text,
    "pretrained": PretrainedText,
    "sequence": Sequences,
    "words": WordInput,
}


def register(name: str) -> Callable[[Kind], Kind]:
    """A decorator that makes an input of one's own known by name, after those that are known.

    ValueError for a name that is taken or not lower case, or "ignored".
    """
    if name == "ignored" or hasattr(nn.ModuleDict(), name):
        raise ValueError(f"an input cannot be named {name!r}: choose another word")

    def add(kind: Kind) -> Kind:
        enter(INPUTS, name, kind)
        return kind

    return add
