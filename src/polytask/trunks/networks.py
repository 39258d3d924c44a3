"""Perceptrons of all tasks side by side, whose features a trunk mixes after every layer."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.trunks.blocks import rectified, rectified_batches
from polytask.trunks.ownership import TaskBlocks


class Networks(nn.Module):
    """T perceptrons of one shape, a layer of all of them in one product.

    Not one parameter a task: stitches let every loss reach every network.

    **Shape** (B, in_features) -> `first` (T, B, hidden[0]) -> `later` (T, B, hidden[layer]).

    >>> networks = Networks(5, 3, hidden=(16, 8), dropout=0.0)
    >>> networks.later(1, networks.first(torch.randn(7, 5))).shape
    torch.Size([3, 7, 8])
    """

    def __init__(
        self, in_features: int, num_tasks: int, *, hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.num_tasks = num_tasks
        self.num_layers = len(hidden)
        self.dropout = dropout
        # The first layer reads the same x in every network, so it is one matrix.
        self.first_layer = rectified(in_features, num_tasks * hidden[0])
        self.weights, self.biases = rectified_batches(num_tasks, hidden)

    def first(self, x_BD: Tensor) -> Tensor:
        """(B, D) -> (T, B, H)."""
        hidden_BTH = self.first_layer(x_BD).unflatten(-1, (self.num_tasks, -1))
        return self._activate(hidden_BTH.transpose(0, 1))

    def later(self, layer: int, hidden_TBH: Tensor) -> Tensor:
        """(T, B, H) -> (T, B, K); `layer` counts from 0, the first."""
        weight_THK, bias_T1K = self.weights[layer - 1], self.biases[layer - 1]
        return self._activate(torch.baddbmm(bias_T1K.to(hidden_TBH.dtype), hidden_TBH, weight_THK))

    def task_blocks(self) -> Iterator[tuple[Tensor, TaskBlocks]]:
        width = self.first_layer.out_features // self.num_tasks
        for parameter in self.first_layer.parameters():
            yield parameter, TaskBlocks(0, (width,) * self.num_tasks)
        for parameter in (*self.weights, *self.biases):
            yield parameter, TaskBlocks(0, (1,) * self.num_tasks)

    def weights_by_layer(self) -> list[Tensor]:
        """The weights of each layer, (T, inputs, units)."""
        first = self.first_layer.weight
        first_TDH = first.view(self.num_tasks, -1, first.shape[1]).transpose(1, 2)
        return [first_TDH, *self.weights]

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The biases (T, 1, H), which are no vectors."""
        return self.biases

    def _activate(self, hidden_TBH: Tensor) -> Tensor:
        hidden_TBH = functional.relu(hidden_TBH)
        if self.dropout == 0:
            return hidden_TBH
        return functional.dropout(hidden_TBH, self.dropout, self.training)
