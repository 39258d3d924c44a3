"""The few kernels of C: where there is no compiler, torch's own operators do the same, and slower."""

from polytask.kernels.compiled import library, state
from polytask.kernels.experts import experts_backward, experts_forward, mix_backward, mix_forward
from polytask.kernels.fold import MOST_REST, Columns, FoldKernel
from polytask.kernels.gram import gram
from polytask.kernels.suited import LANES, suits
from polytask.kernels.weighing import one_sign, weighted

__all__ = [
    "LANES",
    "MOST_REST",
    "Columns",
    "FoldKernel",
    "experts_backward",
    "experts_forward",
    "gram",
    "library",
    "mix_backward",
    "mix_forward",
    "one_sign",
    "state",
    "suits",
    "weighted",
]
