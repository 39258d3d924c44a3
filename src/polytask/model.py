"""MultiTaskModel: an encoder, a trunk, and a tower and head of its own for each task."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from polytask.task import Task, check_tasks, joint_logit
from polytask.trunks import Trunk, mlp


class Outputs(NamedTuple):
    """What a forward pass yields, in the order of the tasks.

    `outputs` holds T tensors (B, O): a task with `given` has its joint logit there and, in
    `own`, the conditional one. `seam` is where what is shared ends (see Trunk).
    """

    outputs: list[Tensor]
    own: list[Tensor]
    seam: tuple[Tensor, ...]


class MultiTaskModel(nn.Module):
    """encoder(*inputs) -> x (B, D); trunk -> T of (B, H); towers and heads -> T of (B, O).

    Any module that returns one vector per example is an encoder. Towers are perceptrons of the
    widths `tower_hidden`; heads are linear. Both are above the seam and never shared.
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
        self.heads = nn.ModuleList(_head(width, task) for task in self.tasks)
        self._positions = {task.name: t for t, task in enumerate(self.tasks)}

    def forward(self, *inputs: Tensor) -> Outputs:
        x_BD = self.encoder(*inputs)
        seam = tuple(tensor.view_as(tensor) for tensor in self.trunk.share(x_BD))
        features = self.trunk.split(seam)
        own = [head(tower(h_BH)) for head, tower, h_BH in zip(self.heads, self.towers, features)]
        joint: dict[int, Tensor] = {}
        outputs = [self._joint(t, own, joint) for t in range(len(own))]
        return Outputs(outputs, own, seam)

    def losses(
        self,
        outputs: Sequence[Tensor],
        labels_BT: Tensor,
        weights_BT: Tensor | None = None,
        *,
        totals_T: Tensor | None = None,
    ) -> list[Tensor | None]:
        """T scalar losses: each the (weighted) mean over the task's labelled rows.

        A task without a labelled row of positive weight is absent: its loss is None. `totals_T` are
        other numbers to divide the sums by than the `label_totals` of these rows, 0 for absent tasks.
        """
        labelled_BT = self.labelled(labels_BT)
        all_labelled_T = labelled_BT.all(dim=0).tolist()
        are_alike = weights_BT is None and totals_T is None and len(labels_BT) > 0
        present_BT = labelled_BT.to(torch.float32)
        if weights_BT is not None:
            present_BT = present_BT * weights_BT
        if totals_T is None:
            totals_T = present_BT.sum(dim=0)
        return [
            task.kind.loss(outputs[t], labels_BT[:, t]).mean()
            if are_alike and all_labelled_T[t]
            else _weighted_mean(task, outputs[t], labels_BT[:, t], present_BT[:, t], totals_T[t])
            for t, task in enumerate(self.tasks)
        ]

    def labelled(self, labels_BT: Tensor) -> Tensor:
        """Whether each row enters the loss of each task (B, T)."""
        return torch.stack(
            [task.kind.is_labelled(labels_BT[:, t]) for t, task in enumerate(self.tasks)], dim=1
        )

    def label_totals(self, labels_BT: Tensor, weights_BT: Tensor | None = None) -> Tensor:
        """The number (T,) of labelled rows a task, or the sum of their weights; float64."""
        present_BT = self.labelled(labels_BT).double()
        return (present_BT if weights_BT is None else present_BT * weights_BT).sum(dim=0)

    def penalty(self) -> Tensor | None:
        """The trunk's own cost on its parameters: added once, never weighed."""
        return self.trunk.penalty()

    def _joint(self, t: int, own: list[Tensor], joint: dict[int, Tensor]) -> Tensor:
        given = self.tasks[t].given
        if given is None:
            return own[t]
        if t not in joint:
            parent = self._joint(self._positions[given], own, joint)
            joint[t] = joint_logit(parent, own[t])
        return joint[t]


def _head(width: int, task: Task) -> nn.Linear:
    """A linear map that starts at the mean of the training labels."""
    head = nn.Linear(width, task.kind.num_outputs)
    with torch.no_grad():
        head.bias.copy_(task.kind.initial_bias())
    return head


def _weighted_mean(
    task: Task, output_BO: Tensor, labels_B: Tensor, weights_B: Tensor, total: Tensor
) -> Tensor | None:
    """The sum of the weighted losses over `total`; None where that is 0."""
    if total <= 0:
        return None
    # Rows without a label take part with a stand-in label and weight zero.
    stand_in_B = torch.where(task.kind.is_labelled(labels_B), labels_B, 0.0)
    losses_B = task.kind.loss(output_BO, stand_in_B)
    return (losses_B * weights_B).sum() / total.to(weights_B.dtype)
