"""Trunks with a network for each task, whose features are mixed after every layer."""

from abc import ABC
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from polytask.trunks.blocks import Experts
from polytask.trunks.ownership import PerTaskParameters, TaskBlocks
from polytask.trunks.registry import register_trunk
from polytask.trunks.stitches import Stitches, leaning, leaning_in_each, stitch
from polytask.trunks.trunk import Explanation, Stitch, Trunk, require_counts


class _Stitched(Trunk, ABC):
    """A network a task, all of them in one product a layer: stitches let every loss reach every network."""

    stitches: Stitches

    def __init__(
        self, in_features: int, num_tasks: int, *, hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        require_counts(in_features=in_features, num_tasks=num_tasks, layers=len(hidden))
        self.num_tasks = num_tasks
        self.out_features = hidden[-1]
        self.networks = Experts(in_features, num_tasks, hidden=hidden, dropout=dropout)

    def input_weights(self) -> Iterable[Tensor]:
        return [self.networks.first.weight]

    def task_blocks(self) -> Iterator[tuple[Tensor, TaskBlocks]]:
        width = self.networks.first.out_features // self.num_tasks
        for parameter in self.networks.first.parameters():
            yield parameter, TaskBlocks(0, (width,) * self.num_tasks)
        for parameter in (*self.networks.weights, *self.networks.biases):
            yield parameter, TaskBlocks(0, (1,) * self.num_tasks)
        yield from self.stitches.task_blocks()

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The stitches: decay would pull them to 0, not to where they start."""
        return self.stitches.parameters()


@register_trunk("cross_stitch")
class CrossStitch(_Stitched):
    """Misra et al., CVPR 2016, eq. 1: after every layer, task t goes on with sum_s alpha_ts h_s.

    alpha starts at `own` for the task's own network and splits 1 - own evenly among the others; it
    is free to be negative. `per_channel` gives each hidden unit an alpha of its own. With the
    identity for alpha it is `SingleTask`.
    Seam: the features (T, B, H) before the last stitch. All losses reach all that lies below; each
    row of the last stitch belongs to its task.

    DIFF: one alpha a layer unless `per_channel`, which the paper has; networks start at random, not
    trained for their tasks; alpha learns at the same rate as the rest, not at a multiple.

    Paper: https://arxiv.org/abs/1604.03539

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = CrossStitch(5, 2, hidden=(16, 8), own=0.8)
    >>> trunk.explain(torch.randn(7, 5)).stitches[0].weights_RS
    tensor([[0.8000, 0.2000],
            [0.2000, 0.8000]])
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (128, 64),
        own: float = 0.9,
        per_channel: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_features, num_tasks, hidden=hidden, dropout=dropout)
        start = leaning_in_each(num_tasks, hidden, own=own, per_channel=per_channel)
        self.stitches = Stitches(start)

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        hidden_TBH = self.networks.begin(x_BD)
        for layer in range(1, self.networks.num_layers):
            stitched_TBH = stitch(self.stitches.stacked(layer - 1), hidden_TBH)
            hidden_TBH = self.networks.layer(layer, stitched_TBH)
        return (hidden_TBH,)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        (hidden_TBH,) = seam
        rows = self.stitches.rows(self.networks.num_layers - 1)
        return [stitch(row.unsqueeze(0), hidden_TBH).squeeze(0) for row in rows]

    def explain(self, x_BD: Tensor) -> Explanation:
        """The stitch of every layer; per channel, its mean over the channels."""
        return Explanation(stitches=self.stitches.explained())


@register_trunk("sluice")
class Sluice(_Stitched):
    """Ruder et al., AAAI 2019 (Sluice networks, 2017): cross-stitch of halves of layers, and of layers.

    Each layer of a task's network is two subspaces. After every layer each of the 2T subspaces
    goes on as sum alpha h over all 2T; the tower of task t reads sum_l beta_tl h_t^l, the sum over its
    stitched layers. penalty = orthogonality * sum |G_1^T G_2|_F^2 over tasks and layers, with
    the weights of the units of a subspace as columns of G. alpha starts at `own` for the same
    subspace with the rest spread evenly, beta at 1 / L: "imbalanced" and "balanced" of the paper.
    Seam: each task's stitched features of every layer but the last (T times L - 1 tensors, of which
    a tower reads its task's), and the subspaces (2T, B, H / 2) before the last stitch.

    The widths must be even, for the two halves, and equal, for beta adds layers.

    DIFF: dense layers in the place of LSTMs. G_1^T G_2 compares units with units; the authors' code
    multiplies the halves the other way round, inputs with inputs, which pairs the first unit of one
    half with the first of the other and is no angle between subspaces.

    Paper: https://arxiv.org/abs/1705.08142

    **Shape** (B, in_features) -> T of (B, hidden[-1]).

    >>> import torch
    >>> trunk = Sluice(5, 2, hidden=(8, 8))
    >>> [tuple(output.shape) for output in trunk(torch.randn(7, 5))]
    [(7, 8), (7, 8)]
    >>> trunk.explain(torch.randn(7, 5)).stitches[0].rows[:2]
    ('task 1 half 1', 'task 1 half 2')
    """

    def __init__(
        self,
        in_features: int,
        num_tasks: int,
        *,
        hidden: Sequence[int] = (64, 64),
        own: float = 0.9,
        orthogonality: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_features, num_tasks, hidden=hidden, dropout=dropout)
        if len(set(hidden)) > 1 or hidden[0] % 2:
            raise ValueError(
                f"the layers of a sluice network need one even width, but {tuple(hidden)=}: beta adds "
                "the layers, and each is two halves"
            )
        if not orthogonality >= 0:
            raise ValueError(f"orthogonality must be at least 0, but {orthogonality=}")
        self.orthogonality = orthogonality
        start_SS = leaning(2 * num_tasks, own=own)
        starts = [start_SS.view(num_tasks, 2, -1)] * len(hidden)
        self.stitches = Stitches(starts, stitched_dim=1)
        self.betas = PerTaskParameters(
            torch.full((len(hidden),), 1 / len(hidden)) for _ in range(num_tasks)
        )

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        seam: list[Tensor] = []
        halves_SBK = _halves(self.networks.begin(x_BD))
        for layer in range(1, self.networks.num_layers):
            alpha_SS = torch.cat(self.stitches.rows(layer - 1))
            stitched_TBH = _joined(stitch(alpha_SS, halves_SBK))
            seam += stitched_TBH.unbind()
            halves_SBK = _halves(self.networks.layer(layer, stitched_TBH))
        return (*seam, halves_SBK)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        *stitched, halves_SBK = seam
        rows = self.stitches.rows(self.networks.num_layers - 1)
        outputs = []
        for task, (row_GS, beta_L) in enumerate(zip(rows, self.betas)):
            last_BH = _joined(stitch(row_GS, halves_SBK)).squeeze(0)
            layers_LBH = torch.stack([*stitched[task :: self.num_tasks], last_BH])
            outputs.append(stitch(beta_L.unsqueeze(0), layers_LBH).squeeze(0))
        return outputs

    def penalty(self) -> Tensor | None:
        if self.orthogonality == 0:
            return None
        first_THD = torch.unflatten(self.networks.first.weight, 0, (self.num_tasks, -1))
        by_layer = [first_THD.transpose(1, 2), *self.networks.weights]
        overlaps = [squared_overlap(*weight_TIH.chunk(2, dim=-1)) for weight_TIH in by_layer]
        return self.orthogonality * torch.stack(overlaps).sum()

    def explain(self, x_BD: Tensor) -> Explanation:
        """alpha (2T, 2T) of every layer, its rows in the order of its sources; last, beta (T, L)."""
        tasks, num_layers = range(1, self.num_tasks + 1), self.networks.num_layers
        halves = tuple(f"task {task} half {half}" for task in tasks for half in (1, 2))
        alphas = [
            Stitch(layer + 1, halves, halves, torch.cat(self.stitches.rows(layer)).detach())
            for layer in range(num_layers)
        ]
        layers = tuple(f"layer {layer}" for layer in range(1, num_layers + 1))
        names = tuple(f"task {task}" for task in tasks)
        betas_TL = torch.stack(tuple(self.betas)).detach()
        return Explanation(stitches=(*alphas, Stitch(num_layers, names, layers, betas_TL)))


def squared_overlap(first_IK: Tensor, second_IK: Tensor) -> Tensor:
    """|first^T second|_F^2: zero if every column of the one is orthogonal to every one of the other.

    **Shape** twice (..., I, K) -> ().
    """
    return (first_IK.transpose(-1, -2) @ second_IK).square().sum()


def _halves(hidden_TBH: Tensor) -> Tensor:
    """(T, B, H) -> (2T, B, H/2), the halves of a task next to each other."""
    num_tasks, num_rows, width = hidden_TBH.shape
    halves_TGBK = hidden_TBH.reshape(num_tasks, num_rows, 2, width // 2).transpose(1, 2)
    return halves_TGBK.reshape(2 * num_tasks, num_rows, width // 2)


def _joined(halves_SBK: Tensor) -> Tensor:
    """(2R, B, H/2) -> (R, B, H): undoes `_halves`."""
    num_halves, num_rows, width = halves_SBK.shape
    halves_RBGK = halves_SBK.view(num_halves // 2, 2, num_rows, width).transpose(1, 2)
    return halves_RBGK.reshape(num_halves // 2, num_rows, 2 * width)
