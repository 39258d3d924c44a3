"""How a step for one task moves the loss of another, measured while all are trained together."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress

import torch
from torch import Tensor, nn

from polytask.model import MultiTaskModel
from polytask.streams import Batch, Stream
from polytask.training.loop import TrainStep, train
from polytask.training.run import TrainingRun, device_of


@dataclass(frozen=True, slots=True, eq=False)
class Lookahead:
    """What one batch says of each pair: NaN where a task is absent or the model shares nothing.

    `affinity_TT`[i, j] is Z_{i->j}, `cosine_TT`[i, j] the cosine of the tasks' gradients at the
    parameters that two or more losses reach.
    """

    affinity_TT: Tensor
    cosine_TT: Tensor


@dataclass(slots=True)
class AffinityMeter:
    """Means of lookaheads: `affinity_TT`, `cosine_TT`, and how often each pair's gradients conflict."""

    lookaheads: list[Lookahead] = field(default_factory=list)

    @property
    def affinity_TT(self) -> Tensor:
        """The mean of Z over all lookaheads (T, T)."""
        return torch.stack([each.affinity_TT for each in self.lookaheads]).nanmean(0)

    @property
    def cosine_TT(self) -> Tensor:
        """The mean cosine of the tasks' gradients (T, T)."""
        return torch.stack([each.cosine_TT for each in self.lookaheads]).nanmean(0)

    @property
    def conflict_TT(self) -> Tensor:
        """The share of lookaheads in which a pair's cosine is below 0 (T, T)."""
        cosines = torch.stack([each.cosine_TT for each in self.lookaheads])
        return torch.where(cosines.isnan(), torch.nan, (cosines < 0).double()).nanmean(0)


def lookahead(model: MultiTaskModel, batch: Batch, *, learning_rate: float) -> Lookahead:
    """Task affinity on one batch (Fifty et al., NeurIPS 2021): Z_{i->j} = 1 - L_j(theta_i) / L_j(theta).

    theta_i are the shared parameters after a step of plain SGD on L_i alone; heads and what else is
    one task's own stay. Z above 0: the step for i lowered j's loss. A task's Z on itself is no affinity.
    The model is in evaluation mode meanwhile, so that nothing is dropped out, and is the same
    afterwards. NaN where a loss is not above 0, which a ratio of losses cannot be taken of.

    Paper: https://arxiv.org/abs/2109.04617

    >>> from polytask.inputs import SingleInput
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> tasks = [binary("click"), binary("like")]
    >>> model = MultiTaskModel(SingleInput("x"), SharedBottom(3, 2), tasks)
    >>> x_BD = torch.randn(64, 3)
    >>> is_yes_B = (x_BD[:, 0] > 0).float()
    >>> batch = Batch({"x": x_BD}, {"click": is_yes_B, "like": is_yes_B})
    >>> bool(lookahead(model, batch, learning_rate=0.01).affinity_TT.diagonal().gt(0).all())
    True
    """
    was_training = model.training
    model.eval()
    try:
        return _lookahead(model, batch.to(device_of(model)), learning_rate)
    finally:
        model.train(was_training)


def trained_with_affinity(
    run: TrainingRun,
    stream: Stream,
    meter: AffinityMeter,
    *,
    valid: Batch | None = None,
    every: int = 10,
    learning_rate: float | None = None,
) -> Iterator[TrainStep]:
    """`train`, with a lookahead on the step's own batch after every `every`-th step.

    The lookahead's rate is the run's highest, whatever the schedule says, so that all count alike.
    """
    rate = run.settings.learning_rate if learning_rate is None else learning_rate
    for step in train(run, stream, valid=valid):
        if step.step % every == 0:
            meter.lookaheads.append(lookahead(run.model, step.batch, learning_rate=rate))
        yield step


def _lookahead(model: MultiTaskModel, batch: Batch, learning_rate: float) -> Lookahead:
    before = model.losses(model(batch.inputs), batch)
    parameters = [each for each in model.parameters() if each.requires_grad]
    rows = [_gradients(loss, parameters) for loss in before]
    is_shared = [sum(row[p] is not None for row in rows) > 1 for p in range(len(parameters))]
    shared = list(compress(parameters, is_shared))
    steps = [list(compress(row, is_shared)) for row in rows]
    num_tasks = len(before)
    affinity_TT = torch.full((num_tasks, num_tasks), torch.nan, dtype=torch.float64)
    for i, loss in enumerate(before):
        if loss is not None and shared:
            with _moved(shared, steps[i], learning_rate):
                after = model.losses(model(batch.inputs), batch)
            affinity_TT[i] = torch.tensor([_affinity(b, a) for b, a in zip(before, after)])
    return Lookahead(affinity_TT, _cosines(steps))


def _gradients(loss: Tensor | None, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    if loss is None:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)


def _affinity(before: Tensor | None, after: Tensor | None) -> float:
    if before is None or after is None or before.item() <= 0:
        return math.nan
    return 1.0 - after.item() / before.item()


@contextmanager
def _moved(
    shared: Sequence[nn.Parameter], gradients: Sequence[Tensor | None], rate: float
) -> Iterator[None]:
    """The shared parameters one step of SGD further, and exactly where they were afterwards."""
    with torch.no_grad():
        kept = [parameter.clone() for parameter in shared]
        for parameter, gradient in zip(shared, gradients):
            if gradient is not None:
                parameter.add_(gradient, alpha=-rate)
        try:
            yield
        finally:
            for parameter, value in zip(shared, kept):
                parameter.copy_(value)


def _cosines(rows: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Cosines (T, T) of gradients in pieces; those of sparse embeddings are left out."""
    gram_TT = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for place in range(len(rows[0])):
        column = [row[place] for row in rows]
        known = [(t, each) for t, each in enumerate(column) if each is not None]
        if known and not known[0][1].is_sparse:
            tasks = [t for t, _ in known]
            piece_KP = torch.stack([each.flatten() for _, each in known])
            gram_TT[torch.tensor(tasks)[:, None], tasks] += (piece_KP @ piece_KP.T).double().cpu()
    lengths_T = gram_TT.diagonal().sqrt()
    return gram_TT / torch.outer(lengths_T, lengths_T)
