"""Objectives: losses beside the tasks' own, with parameters of their own."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from polytask.model.outputs import Outputs
from polytask.model.reduction import labelled_rows
from polytask.model.words import at_words, mean_of_rows
from polytask.streams import Batch
from polytask.task import Task


class Objective(nn.Module, ABC):
    """A loss, and what it reads of a forward pass: the outputs, the trunk's features, the seam, x.

    `is_weighed`: the balancer weighs it among the tasks' losses; else it is added as it is, like the
    trunk's penalty. A constant factor belongs into `forward`. All tensors of `Outputs` may be read
    together, through `reverse_gradient` or not: what balancers measure stays exact. Encoding the
    inputs once more does not: `balanced_backward` refuses a parameter reached around the seam.

    >>> class Reconstruction(Objective):
    ...     def __init__(self, num_numbers: int, num_features: int) -> None:
    ...         super().__init__("reconstruction", is_weighed=False)
    ...         self.decoder = nn.Linear(num_features, num_numbers)
    ...
    ...     def forward(self, result: Outputs, batch: Batch) -> Tensor:
    ...         errors_BN = self.decoder(result.x) - batch.inputs["numeric"].nan_to_num()
    ...         return 0.1 * errors_BN.square().mean(dim=1)
    """

    def __init__(self, name: str, *, is_weighed: bool = True) -> None:
        super().__init__()
        if not name:
            raise ValueError("an objective needs a name")
        self.name, self.is_weighed = name, is_weighed

    @abstractmethod
    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        """Losses (B,), one a row and unreduced; finite also where a row counts 0."""

    def row_weights(self, batch: Batch) -> Tensor | None:
        """What each row counts, (B,), 0 for none; None where all count alike."""
        return None

    def weight_now(self) -> float:
        """By what the loss is multiplied at this step where no balancer weighs it."""
        return 1.0

    def accuracy(self, result: Outputs, batch: Batch) -> Tensor | None:
        """The share of the batch's rows that it tells right, where that is what it is judged by."""
        return None

    def advance(self) -> None:
        """What follows an optimizer step, such as counting it; nothing by default."""


class TaskObjective(Objective):
    """A task's own loss, of the output in its place."""

    def __init__(self, place: int, task: Task) -> None:
        super().__init__(task.name)
        self.place, self.task = place, task

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        labels, kind = batch.labels[self.name], self.task.kind
        if self.task.per_word and result.num_words is not None:
            return self._of_words(result, at_words(labels, result.num_words), result.num_words)
        return self._of_rows(result, labels, kind.is_labelled(labels))

    def _of_words(self, result: Outputs, labels_W: Tensor, num_words_B: Tensor) -> Tensor:
        """The mean over each row's labelled words."""
        is_labelled_W = self.task.kind.is_labelled(labels_W)
        losses_W = self._of_rows(result, labels_W, is_labelled_W)
        return mean_of_rows(losses_W, is_labelled_W, num_words_B)

    def _of_rows(self, result: Outputs, labels: Tensor, is_labelled: Tensor) -> Tensor:
        """One loss a label; what has none takes part with a stand-in, and counts 0."""
        kind = self.task.kind
        stand_ins = torch.where(is_labelled, labels, 0)
        outputs_NO = result.outputs[self.place]
        if len(outputs_NO) == len(labels):
            return kind.loss(outputs_NO, stand_ins)
        # The members of an ensemble, side by side: each has its own loss.
        members = len(outputs_NO) // max(len(labels), 1)
        losses_N = kind.loss(outputs_NO, stand_ins.repeat_interleave(members, dim=0))
        return losses_N.view(-1, members).mean(dim=1)

    def row_weights(self, batch: Batch) -> Tensor | None:
        is_labelled = self.task.kind.is_labelled
        if not self.task.per_word or self.name not in batch.labels:
            return labelled_rows(self.name, batch, is_labelled=is_labelled)
        # A row counts as many times as it has labelled words: the loss is the mean over words.
        labels_BL, weights_B = batch.labels[self.name], batch.weights.get(self.name)
        number_B = is_labelled(labels_BL.flatten()).view_as(labels_BL).sum(dim=1).float()
        return number_B if weights_B is None else number_B * weights_B


class _ReversalContext(FunctionCtx):
    scale: float


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _ReversalContext, tensor: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: _ReversalContext, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(tensor: Tensor, scale: float = 1.0) -> Tensor:
    """The tensor itself, whose gradient comes back times -`scale`.

    Source: Ganin and Lempitsky, ICML 2015, eq. 10 (https://arxiv.org/abs/1409.7495): what lies below
    learns to make the objective's task impossible.

    **Shape** any -> the same.

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    reversed_: Tensor = _Reversed.apply(tensor, scale)  # type: ignore[no-untyped-call]
    return reversed_
