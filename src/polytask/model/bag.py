"""Several networks for one: each was trained by itself, and their outputs are averaged."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from polytask.model.multi_task import MultiTaskModel
from polytask.model.outputs import Outputs
from polytask.trunks import Explanation


class Bag(nn.Module):
    """The mean of the outputs of K networks for the same tasks, before the link: logits are averaged.

    It predicts, and is not trained: there is no seam. `explain` shows the first network's trunk.

    Source: Breiman, Bagging predictors, Machine Learning 1996.
    DIFF: networks are drawn anew and may be held out other rows, where Breiman draws rows with
    replacement; a mean of logits, where he averages predictions.

    **Shape** named inputs, each (B, ...) -> Outputs.

    >>> from polytask.inputs import SingleInput
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> tasks = [binary("click")]
    >>> bag = Bag([MultiTaskModel(SingleInput("x"), SharedBottom(4, 1), tasks) for _ in range(3)])
    >>> bag({"x": torch.zeros(8, 4)}).outputs[0].shape
    torch.Size([8, 1])
    """

    def __init__(self, networks: Sequence[MultiTaskModel]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.tasks = networks[0].tasks

    @property
    def first(self) -> MultiTaskModel:
        network = self.networks[0]
        assert isinstance(network, MultiTaskModel)
        return network

    def forward(self, inputs: Mapping[str, Tensor], *, needs_seam: bool = False) -> Outputs:
        """The networks' mean outputs; neither features nor a seam, whoever asks."""
        results: list[Outputs] = [network(inputs, needs_seam=False) for network in self.networks]
        outputs = _means([result.outputs for result in results])
        own = _means([result.own for result in results])
        first = results[0]
        return Outputs(outputs, own, [], (), first.x, num_words=first.num_words)

    def explain(self, inputs: Mapping[str, Tensor]) -> Explanation:
        """What the first network's trunk does with its parts on these rows."""
        return self.first.explain(inputs)


Network: TypeAlias = MultiTaskModel | Bag
"""What predicts: one network, or the mean of several."""


def first_of(network: Network) -> MultiTaskModel:
    """The network itself, or the first one of a bag: what another model may begin with."""
    return network.first if isinstance(network, Bag) else network


def _means(of_networks: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.stack(tensors).mean(dim=0) for tensors in zip(*of_networks, strict=True)]
