"""A trunk of networks that share nothing, but are held together by a penalty."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from polytask.trunks.registry import register_trunk
from polytask.trunks.sharing import OwnNetworks, chosen_layers


@register_trunk("soft_sharing")
class SoftSharing(OwnNetworks):
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
        super().__init__(in_features, num_tasks, hidden=hidden, dropout=dropout)
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, but {strength=}")
        if distance not in ("pairs", "mean"):
            raise ValueError(f"distance must be 'pairs' or 'mean', but {distance=}")
        self.strength, self.distance = strength, distance
        self.num_tied_layers = chosen_layers(hidden, num_tied_layers=num_tied_layers)
        with torch.no_grad():
            for parameters in self._tied():
                for parameter in parameters[1:]:
                    parameter.copy_(parameters[0])

    def penalty(self) -> Tensor | None:
        if self.strength == 0 or self.num_tied_layers == 0 or self.num_tasks == 1:
            return None
        stacked = [torch.stack(tied) for tied in self._tied()]
        squares = [(tied - tied.mean(dim=0)).square().sum() for tied in stacked]
        # sum_{i<j} |a_i - a_j|^2 = T sum_i |a_i - mean|^2
        factor = self.num_tasks if self.distance == "pairs" else 1
        return self.strength * factor * torch.stack(squares).sum()

    def _tied(self) -> Iterator[tuple[Tensor, ...]]:
        """The T tensors that correspond, for each weight and bias of the tied layers."""
        # A layer has a weight and a bias.
        return zip(*([*net.parameters()][: 2 * self.num_tied_layers] for net in self.bottoms))
