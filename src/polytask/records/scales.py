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


FORWARD: Mapping[Scale, Map] = MappingProxyType(
    {
        "logit": _logit,
        "linear": lambda values: values,
        "log1p": lambda values: np.log1p(np.maximum(values, 0)),
    }
)
BACKWARD: Mapping[Scale, Map] = MappingProxyType(
    {
        "logit": lambda logit: 1 / (1 + np.exp(-logit)),
        "linear": FORWARD["linear"],
        "log1p": np.expm1,
    }
)
