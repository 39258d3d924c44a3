"""MultiTaskModel: an encoder, a trunk, and a tower and head of its own for each task."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from polytask.model.outputs import Outputs
from polytask.model.reduction import Counts, labelled_rows, reduce
from polytask.streams import Batch
from polytask.task import Task, check_tasks, joint_logit
from polytask.trunks import Trunk, mlp


class MultiTaskModel(nn.Module):
    """encoder(inputs) -> x (B, D); trunk -> T of (B, H); towers and heads -> T of (B, O).

    Any module that makes one vector per example of the named inputs is an encoder. Towers are
    perceptrons of the widths `tower_hidden`; heads are linear. Both are above the seam and never
    shared.
    """

    def __init__(
        self,
        encoder: nn.Module,
        trunk: Trunk,
        tasks: Sequence[Task],
        *,
        tower_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        check_tasks(self.tasks)
        if trunk.num_tasks != len(self.tasks):
            raise ValueError(
                f"the trunk was built for {trunk.num_tasks} tasks, but there are {len(self.tasks)}"
            )
        self.encoder = encoder
        self.trunk = trunk
        width = tower_hidden[-1] if tower_hidden else trunk.out_features
        self.towers = nn.ModuleList(
            mlp(trunk.out_features, tower_hidden, dropout=dropout) for _ in self.tasks
        )
        self.heads = nn.ModuleList(nn.Linear(width, task.kind.num_outputs) for task in self.tasks)
        self._positions = {task.name: t for t, task in enumerate(self.tasks)}

    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        x_BD = self.encoder(inputs)
        seam = tuple(tensor.view_as(tensor) for tensor in self.trunk.share(x_BD))
        features = self.trunk.split(seam)
        own = [head(tower(h_BH)) for head, tower, h_BH in zip(self.heads, self.towers, features)]
        joint: dict[int, Tensor] = {}
        outputs = [self._joint(t, own, joint) for t in range(len(own))]
        return Outputs(outputs, own, features, seam, x_BD)

    def counts(self, batch: Batch) -> Counts:
        """What the batch's rows count in each task's loss: their weights, 0 without a label."""
        return Counts.of([labelled_rows(task.name, batch) for task in self.tasks], batch)

    def losses(
        self, result: Outputs, batch: Batch, counts: Counts | None = None
    ) -> list[Tensor | None]:
        """T scalar losses: each the (weighted) mean over the task's labelled rows.

        A task without a labelled row of positive weight is absent: its loss is None. `counts` are
        others than the batch's own where it is a part of a larger one.
        """
        counts = counts or self.counts(batch)
        return [
            reduce(self._row_losses(t, result, batch), row_B, total) if total > 0 else None
            for t, (row_B, total) in enumerate(zip(counts.rows, counts.totals))
        ]

    def penalty(self) -> Tensor | None:
        """The trunk's own cost on its parameters: added once, never weighed."""
        return self.trunk.penalty()

    def _row_losses(self, t: int, result: Outputs, batch: Batch) -> Tensor:
        task = self.tasks[t]
        # Rows without a label take part with a stand-in label, and count 0.
        return task.kind.loss(result.outputs[t], batch.labels[task.name].nan_to_num(nan=0.0))

    def _joint(self, t: int, own: list[Tensor], joint: dict[int, Tensor]) -> Tensor:
        given = self.tasks[t].given
        if given is None:
            return own[t]
        if t not in joint:
            parent = self._joint(self._positions[given], own, joint)
            joint[t] = joint_logit(parent, own[t])
        return joint[t]
