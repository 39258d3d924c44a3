"""Auxiliary losses by name."""

from collections.abc import Callable
from typing import TypeVar

from polytask.auxiliary.adversarial import Adversarial
from polytask.auxiliary.auxiliary import Auxiliary
from polytask.auxiliary.frequency import Frequency
from polytask.auxiliary.histogram import KeyHistogram
from polytask.auxiliary.masked_columns import MaskedColumns
from polytask.auxiliary.orthogonality import Orthogonality
from polytask.auxiliary.replaced_tokens import ReplacedTokens
from polytask.auxiliary.replaced_values import ReplacedValues
from polytask.auxiliary.swapped_order import SwappedOrder
from polytask.registry import enter

Kind = TypeVar("Kind", bound=type[Auxiliary])

AUXILIARIES: dict[str, type[Auxiliary]] = {
    kind.name: kind
    for kind in (
        *(ReplacedValues, MaskedColumns, Frequency, Adversarial, Orthogonality),
        *(ReplacedTokens, SwappedOrder, KeyHistogram),
    )
}


def register(name: str) -> Callable[[Kind], Kind]:
    """A decorator that makes an auxiliary of one's own known by name; ValueError if it is taken."""

    def add(kind: Kind) -> Kind:
        enter(AUXILIARIES, name, kind)
        return kind

    return add
