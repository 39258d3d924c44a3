"""The words that options take, apart from what reads them.

A leaf without torch, so that the command line can list them at once. Tests compare the names of kinds,
trunks and rules with their registries.
"""

from typing import Literal, get_args

NumericEncoding = Literal["standard", "quantile", "piecewise"]
GivenConflict = Literal["stop", "drop", "keep-child", "ignore-relation"]
OnBadRow = Literal["stop", "drop"]
OnBadFile = Literal["stop", "skip"]
Shares = Literal["proportional", "sqrt", "uniform"]
BatchBy = Literal["length", "chance"]
Schedule = Literal["cosine", "constant"]
EmbeddingOptimizer = Literal["adam", "rowwise_adagrad"]
Preset = Literal["fast", "default", "best"]
DateOrder = Literal["dmy", "mdy", "ymd"]
OnDisk = Literal["auto", "always", "never"]

DATE_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
KIND_NAMES = ("binary", "multiclass", "regression", "count", "quantile", "tags")
TRUNK_NAMES = (
    *("single_task", "shared_bottom", "shared_private", "soft_sharing", "cross_stitch", "sluice"),
    *("mtan", "omoe", "mmoe", "attention_moe", "cgc", "ple"),
    *("conv_shared_bottom", "conv_cross_stitch", "conv_mtan"),
)
RULE_NAMES = (
    *("equal", "relative", "static", "decayed", "rlw", "uncertainty", "dwa", "gls"),
    *("scale_invariant", "imtl_l", "famo", "stch", "gradnorm", "mgda", "pareto_efficient"),
    *("pcgrad", "gradvac", "cagrad", "imtl_g", "nash_mtl", "fair_grad", "aligned_mtl", "upgrad"),
    *("dual_proj", "config", "graddrop", "cosine_gate"),
)
WRAPPER_NAMES = ("smoothed", "norm_clipped", "every_nth_step", "combined")
AUXILIARY_NAMES = (
    *("replaced_values", "masked_columns", "frequency", "adversarial", "orthogonality"),
    *("replaced_tokens", "swapped_order", "histogram"),
)
