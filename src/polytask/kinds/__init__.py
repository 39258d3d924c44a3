"""What a label is: one file a kind. How it is read, its loss, its prediction, its metrics.

A kind of your own is a frozen dataclass derived from `Kind`; `register` makes its name known.
"""

from polytask.kinds.binary import Binary
from polytask.kinds.count import Count
from polytask.kinds.inference import infer_kind
from polytask.kinds.kind import Kind, Labels, fitted
from polytask.kinds.multiclass import Multiclass
from polytask.kinds.noise import Noise
from polytask.kinds.quantile import Quantile
from polytask.kinds.registry import (
    KINDS,
    describe_kind,
    kind_from_record,
    kind_to_record,
    make_kind,
    register,
    require_registered,
)
from polytask.kinds.regression import Regression

__all__ = [
    "KINDS",
    "Binary",
    "Count",
    "Kind",
    "Labels",
    "Multiclass",
    "Noise",
    "Quantile",
    "Regression",
    "describe_kind",
    "fitted",
    "infer_kind",
    "kind_from_record",
    "kind_to_record",
    "make_kind",
    "register",
    "require_registered",
]
