"""What a forward pass yields."""

from typing import NamedTuple

import torch
from torch import Tensor


class Outputs(NamedTuple):
    """What the model made of a batch, in the order of the tasks.

    `outputs` are T tensors (B, O), or (B * K, O) of an ensemble of K in training: a task with `given` has its joint logit there and, in `own`, the
    conditional one. `features` are the trunk's T tensors (B, H), the mean of an ensemble's, `x` is the encoder's (B, D).
    The first `num_shared` of the features are the same for every task, where the trunk says so.
    `seam` is where what is shared ends (see Trunk). Of an encoder of words all tensors have a row a word, row
    after row of the batch, whose words `num_words` (B,) counts.
    """

    outputs: list[Tensor]
    own: list[Tensor]
    features: list[Tensor]
    seam: tuple[Tensor, ...]
    x: Tensor
    num_shared: int | None = None
    num_words: Tensor | None = None

    @property
    def shared(self) -> Tensor:
        """What all tasks share of the features (B, H): the part so marked, else their mean over the tasks."""
        if self.num_shared is not None:
            return self.features[0][:, : self.num_shared]
        return torch.stack(self.features).mean(dim=0)
