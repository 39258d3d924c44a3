"""The scales of `ScoreFigures`: values to where they lie on the axis, and back. Arrays of any shape."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from polytask.records.figures import Scale

Floats = NDArray[np.float64]
Map = Callable[[Floats], Floats]

_CERTAIN = 1e-7
"""A rate of 0 or 1 has no logit: it stands as near as this."""


def _logit(rate: Floats) -> Floats:
    rate = rate.clip(_CERTAIN, 1 - _CERTAIN)
    logit: Floats = np.log(rate) - np.log1p(-rate)
    return logit


def _rate(logit: Floats) -> Floats:
    rate: Floats = 1 / (1 + np.exp(-logit))
    return rate


def _same(values: Floats) -> Floats:
    return values


def _log1p(values: Floats) -> Floats:
    logarithm: Floats = np.log1p(np.maximum(values, 0))
    return logarithm


def _expm1(values: Floats) -> Floats:
    power: Floats = np.expm1(values)
    return power


FORWARD: Mapping[Scale, Map] = MappingProxyType({"logit": _logit, "linear": _same, "log1p": _log1p})
BACKWARD: Mapping[Scale, Map] = MappingProxyType({"logit": _rate, "linear": _same, "log1p": _expm1})
