"""What a forward pass yields."""

from typing import NamedTuple

from torch import Tensor


class Outputs(NamedTuple):
    """What the model made of a batch, in the order of the tasks.

    `outputs` are T tensors (B, O), or (B * K, O) of an ensemble of K in training: a task with `given` has its joint logit there and, in `own`, the
    conditional one. `features` are the trunk's T tensors (B, H), the mean of an ensemble's, `x` is the encoder's (B, D).
    `seam` is where what is shared ends (see Trunk).
    """

    outputs: list[Tensor]
    own: list[Tensor]
    features: list[Tensor]
    seam: tuple[Tensor, ...]
    x: Tensor
