"""A matrix of its own for each task between x and a shared trunk, so that inputs can be made to fit."""

from collections.abc import Iterable

from torch import Tensor, nn

from polytask.products import Linear
from polytask.trunks.ownership import PerTask, TaskBlocks
from polytask.trunks.trunk import Explanation, Trunk


class Aligned(Trunk):
    """Any trunk that reads x R_t for task t (Wu, Zhang and Re, ICLR 2020, Algorithm 1).

    Every R_t begins as the identity: at first the trunk does exactly what it did without. Weight decay
    leaves the R_t alone, since it would draw them to 0. The trunk runs once a task, on another input
    each time; its seam is that of all runs together.

    Paper: https://openreview.net/forum?id=SylzhkBtDB

    **Shape** (B, in_features) -> T of (B, trunk.out_features).

    >>> import torch
    >>> from polytask.trunks import MMoE
    >>> trunk, x_BD = MMoE(5, 2), torch.randn(7, 5)
    >>> torch.equal(Aligned(trunk, in_features=5)(x_BD)[1], trunk(x_BD)[1])
    True
    """

    def __init__(self, trunk: Trunk, *, in_features: int) -> None:
        super().__init__()
        self.num_tasks, self.out_features = trunk.num_tasks, trunk.out_features
        self.trunk, self.reads_maps = trunk, trunk.reads_maps
        self.alignments = PerTask(
            Linear(in_features, in_features, bias=False) for _ in range(trunk.num_tasks)
        )
        for alignment in self.alignments:
            assert isinstance(alignment, nn.Linear)
            nn.init.eye_(alignment.weight)

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        """The seams of the trunk's T runs, one after another."""
        seams = [self.trunk.share(alignment(x_BD)) for alignment in self.alignments]
        return tuple(tensor for seam in seams for tensor in seam)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        each = len(seam) // self.num_tasks
        runs = [seam[each * task : each * (task + 1)] for task in range(self.num_tasks)]
        return [self.trunk.split(run)[task] for task, run in enumerate(runs)]

    def input_weights(self) -> Iterable[Tensor]:
        """The R_t alone: what lies above reads x R_t."""
        return list(self.alignments.parameters())

    def task_blocks(self) -> Iterable[tuple[Tensor, TaskBlocks]]:
        return self.trunk.task_blocks()

    def undecayed(self) -> Iterable[nn.Parameter]:
        return self.alignments.parameters()

    def penalty(self) -> Tensor | None:
        return self.trunk.penalty()

    def explain(self, x_BD: Tensor) -> Explanation:
        """How each task uses the trunk on its own input: its gates, and the experts that they read."""
        runs = [self.trunk.explain(alignment(x_BD)) for alignment in self.alignments]
        return Explanation(
            gates=tuple(g for t, run in enumerate(runs) for g in run.gates if g.task == t),
            masks=tuple(m for t, run in enumerate(runs) for m in run.masks if m.task == t),
            stitches=runs[0].stitches,
        )
