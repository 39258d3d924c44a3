"""One input alone as the encoder's vector."""

from collections.abc import Mapping

from torch import Tensor, nn


class SingleInput(nn.Module):
    """x is what `module` makes of one input; without a module x is that input.

    **Shape** inputs[name] (B, ...) -> (B, D).

    >>> import torch
    >>> SingleInput("image", nn.Flatten())({"image": torch.zeros(5, 2, 3)}).shape
    torch.Size([5, 6])
    """

    def __init__(self, name: str, module: nn.Module | None = None) -> None:
        super().__init__()
        self.name = name
        self.module = module or nn.Identity()

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        x_BD: Tensor = self.module(inputs[self.name])
        return x_BD
