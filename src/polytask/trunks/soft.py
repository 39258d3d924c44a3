"""A trunk of networks that share nothing, but are held together by a penalty."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from polytask.trunks.blocks import first_weights, mlp
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.sharing import chosen_layers
from polytask.trunks.trunk import Trunk, require_counts


@register_trunk("soft_sharing")
class SoftSharing(Trunk):
    """Networks of their own, tied by L2 distance (Duong et al., ACL 2015; Ma et al., KDD 2018).

    penalty = strength * sum_{i<j} |theta_i - theta_j|^2 over the weights and biases of the first
    `num_tied_layers` layers (None: all); `distance="mean"` is sum_i |theta_i - mean|^2 instead,
    smaller by the factor T. Strength 0 is `SingleTask`; the larger it is, the more nearly
    the tied layers are one. Seam: x.

    The penalty is the only tie: no loss reaches another task's network, and balancing, which
    reads the losses, sees nothing shared but the encoder.

    The default strength is a place to start a search: two independent draws of the default
    widths lie about 770 apart, three quarters of a unit of loss.

    DIFF: tied layers start as one draw. Swapping two hidden units of one network leaves its
    function and changes the distance, so units correspond only if they start as the same.

    Paper: https://aclanthology.org/P15-2139

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = SoftSharing(5, 2, hidden=(4,), strength=0.1)
    >>> trunk.penalty().item()  # tied layers start as one draw
    0.0
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        strength: float = 1e-3,
        num_tied_layers: int | None = None,
        distance: Literal["pairs", "mean"] = "pairs",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks)
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, but {strength=}")
        if distance not in ("pairs", "mean"):
            raise ValueError(f"distance must be 'pairs' or 'mean', but {distance=}")
        self.num_tasks = num_tasks
        self.out_features = hidden[-1] if hidden else in_features
        self.strength = strength
        self.distance = distance
        self.num_tied_layers = chosen_layers(hidden, num_tied_layers=num_tied_layers)
        self.bottoms = PerTask(mlp(in_features, hidden, dropout=dropout) for _ in range(num_tasks))
        with torch.no_grad():
            for parameters in self._tied():
                for parameter in parameters[1:]:
                    parameter.copy_(parameters[0])

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD,)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (x_BD,) = seam
        return [bottom(x_BD) for bottom in self.bottoms]

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights(self.bottoms)

    def penalty(self) -> Tensor | None:
        if self.strength == 0 or self.num_tied_layers == 0 or self.num_tasks == 1:
            return None
        to_mean = torch.stack([_squared_distance_to_mean(tied) for tied in self._tied()]).sum()
        # sum_{i<j} |a_i - a_j|^2 = T sum_i |a_i - mean|^2
        factor = self.num_tasks if self.distance == "pairs" else 1
        return self.strength * factor * to_mean

    def _tied(self) -> Iterator[tuple[Tensor, ...]]:
        """The T tensors that correspond, for each weight and bias of the tied layers."""
        return zip(*(_parameters(bottom, self.num_tied_layers) for bottom in self.bottoms))


def _parameters(network: nn.Module, num_layers: int) -> list[Tensor]:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return [parameter for layer in layers[:num_layers] for parameter in layer.parameters()]


def _squared_distance_to_mean(tied: Sequence[Tensor]) -> Tensor:
    stacked = torch.stack(tuple(tied))
    return (stacked - stacked.mean(dim=0)).square().sum()
