"""Trunks that share whole layers, or nothing."""

from abc import ABC
from collections.abc import Iterable, Sequence

from torch import Tensor

from polytask.trunks.blocks import first_weights, mlp
from polytask.trunks.ownership import PerTask
from polytask.trunks.registry import register_trunk
from polytask.trunks.trunk import Trunk, require_counts


class OwnNetworks(Trunk, ABC):
    """A trunk whose tasks meet in x alone, as far as losses go."""

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks)
        self.num_tasks = num_tasks
        self.out_features = hidden[-1] if hidden else in_features
        self.bottoms = PerTask(mlp(in_features, hidden, dropout=dropout) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD,)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (x_BD,) = seam
        return [bottom(x_BD) for bottom in self.bottoms]

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights(self.bottoms)


@register_trunk("single_task")
class SingleTask(OwnNetworks):
    """A network of its own for each task; only the encoder is shared. Seam: x.

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> SingleTask(5, 2, hidden=(4,)).owners()["bottoms.1.0.weight"]
    1
    """


@register_trunk("shared_bottom")
class SharedBottom(Trunk):
    """The first `num_shared_layers` layers for all tasks, the rest for each (Caruana, ML 1997).

    None shares every layer of `hidden`; with 0 it is `SingleTask`. Seam: the output z of the last
    shared layer.

    Paper: https://doi.org/10.1023/A:1007379606734

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = SharedBottom(5, 2, hidden=(16, 8), num_shared_layers=1)
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 8), (7, 8)]
    >>> trunk.owners()["bottom.0.weight"] is None, trunk.owners()["tops.1.0.weight"]
    (True, 1)
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        num_shared_layers: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks)
        num_shared = chosen_layers(hidden, num_shared_layers=num_shared_layers)
        self.num_tasks = num_tasks
        self.out_features = hidden[-1] if hidden else in_features
        self.bottom = mlp(in_features, hidden[:num_shared], dropout=dropout)
        width = hidden[num_shared - 1] if num_shared else in_features
        self.tops = PerTask(
            mlp(width, hidden[num_shared:], dropout=dropout) for _ in range(num_tasks)
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (self.bottom(x_BD),)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (z_BH,) = seam
        return [top(z_BH) for top in self.tops]

    def input_weights(self) -> Iterable[Tensor]:
        return first_weights([self.bottom]) or first_weights(self.tops)


def chosen_layers(hidden: Sequence[int], **count: int | None) -> int:
    """How many of the layers are meant by the one named count; None means all of them."""
    ((name, value),) = count.items()
    if value is None:
        return len(hidden)
    if not 0 <= value <= len(hidden):
        raise ValueError(
            f"{name} must be between 0 and the {len(hidden)} layers of hidden, but {name}={value}"
        )
    return value
