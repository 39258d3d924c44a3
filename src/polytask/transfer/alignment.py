"""Covariance alignment of a trained model: what is shared stays, each task's input is made to fit it."""

import copy

from torch import nn

from polytask.model import MultiTaskModel
from polytask.trunks import Aligned


def aligned(
    model: MultiTaskModel, *, in_features: int, freeze_shared: bool = True
) -> MultiTaskModel:
    """The second phase of Algorithm 1 of Wu, Zhang and Re (ICLR 2020): B is fixed, {R_i, A_i} are learned.

    A copy of the model with a matrix R_i, the identity at first, for each task between encoder and
    trunk; its outputs are the same until it is trained on. `freeze_shared`: of encoder and trunk only
    what is one task's own learns on, beside the R_i, the towers and the heads. Whether the paper's runs
    on text froze B is not stated, so that it is an option.

    Paper: https://openreview.net/forum?id=SylzhkBtDB

    >>> import torch
    >>> from polytask.inputs import SingleInput
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> tasks = [binary("click"), binary("like")]
    >>> model = MultiTaskModel(SingleInput("x"), SharedBottom(4, 2), tasks)
    >>> second, inputs = aligned(model, in_features=4), {"x": torch.randn(8, 4)}
    >>> torch.equal(second(inputs).outputs[0], model(inputs).outputs[0])
    True
    """
    if isinstance(model.trunk, Aligned):
        raise ValueError("the model is aligned already")
    second = copy.deepcopy(model)
    owners = second.trunk.owners()
    if freeze_shared:
        _freeze(second.encoder)
        for name, parameter in second.trunk.named_parameters():
            parameter.requires_grad_(owners[name] is not None)
    second.trunk = Aligned(second.trunk, in_features=in_features)
    return second


def _freeze(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(False)
