"""What both ways to fold share: the products of what is not looked up, and what a backward pass finds."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from polytask.inputs.fold_layout import FoldedLayout
from polytask.products import product, weight_gradient


class FoldGradients(NamedTuple):
    """Gradients of y = max(0, x W^T + b): below the ReLU, if asked for; of W; of b; of the tables."""

    below_BH: Tensor | None
    weight_HD: Tensor
    bias_H: Tensor | None
    tables: Sequence[Tensor | None]


def rest_product(
    layout: FoldedLayout, rest_BR: Tensor, weight_HD: Tensor, bias_H: Tensor | None
) -> Tensor:
    """The rest of x times its columns of W, and the bias."""
    return product(rest_BR, weight_HD.index_select(1, layout.rest_R), bias_H)


def add_rest(layout: FoldedLayout, rest_BR: Tensor, below_BH: Tensor, dweight_HD: Tensor) -> None:
    """The gradient of these columns of W into its place."""
    dweight_HD.index_copy_(1, layout.rest_R, weight_gradient(below_BH, rest_BR))
