"""AdamW for weights; for tables of ids Adam of rows where gradients are sparse, or row-wise Adagrad for all."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from polytask.choices import EmbeddingOptimizer
from polytask.choices import Schedule as Schedule
from polytask.training.adamw import AdamW, Group
from polytask.training.row_adam import RowAdam
from polytask.training.rowwise_adagrad import RowwiseAdagrad

EMBEDDING_RATE = 0.2
"""Row-wise Adagrad's rate at its highest, where none is given: see benchmarks/RESULTS.md."""

Stepped: TypeAlias = AdamW | RowAdam | RowwiseAdagrad | torch.optim.Optimizer


def learning_rate_at(
    step: int,
    *,
    total_steps: int,
    peak: float,
    warmup_fraction: float,
    schedule: Schedule = "cosine",
) -> float:
    """Linear warm-up to `peak`, then half a cosine to zero, or `peak` to the end.

    A function of (step, total) alone. `step` counts from 0; the first step already moves.

    >>> [learning_rate_at(step, total_steps=4, peak=1.0, warmup_fraction=0.5) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warmup = max(1, round(warmup_fraction * total_steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    progress = (step - warmup) / max(1, total_steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@runtime_checkable
class SparesParameters(Protocol):
    """A module that names parameters of its own which weight decay leaves alone."""

    def undecayed(self) -> Iterable[nn.Parameter]:
        """Parameters of two or more dimensions which are no weights of a layer."""


@runtime_checkable
class LooksUpRows(Protocol):
    """A table of ids that says before it reads rows, so that they can be brought up to date.

    Where its gradients are sparse it calls `before_lookup`, where there is one, with the rows that it is about to read, each once.
    """

    weight: nn.Parameter
    sparse: bool
    before_lookup: Callable[[Tensor], None] | None


class Optimizers:
    """The optimizers of one model, stepped together at one learning rate.

    Tables of ids (`LooksUpRows`) are stepped by RowAdam where their gradients are sparse, by AdamW where
    not; with `embedding_optimizer` "rowwise_adagrad" all of them by that, at `embedding_rate` in the place of
    `learning_rate`. Other sparse embeddings are stepped by torch's SparseAdam, which leaves untouched rows
    where they are; embeddings of words and of a pretrained encoder are weights like others.

    Weight decay (decoupled, AdamW) applies to matrices only: never to vectors, nor to what a module
    names in `undecayed()`, nor to embeddings, whose rows would shrink while their value is absent
    from the batch.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float,
        embedding_optimizer: EmbeddingOptimizer = "adam",
        embedding_rate: float | None = None,
    ) -> None:
        readers = [m for m in model.modules() if isinstance(m, LooksUpRows)]
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        is_adagrad = embedding_optimizer == "rowwise_adagrad"
        stepped = [m for m in readers if m.weight.requires_grad and (is_adagrad or m.sparse)]
        tables = {id(m.weight): m.weight for m in stepped}
        others_sparse = [m.weight for m in embeddings if m.sparse and id(m.weight) not in tables]
        for module in readers:
            module.before_lookup = None
        apart = tables.keys() | {id(table) for table in others_sparse}
        plain = {id(m.weight) for m in embeddings} | _spared_ids(model)
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in apart]
        matrices = [p for p in rest if id(p) not in plain]
        others = [p for p in rest if id(p) in plain]
        self.dense_parameters = rest
        self.rows: RowAdam | None = None
        self.adagrad: RowwiseAdagrad | None = None
        self._scale = (embedding_rate or EMBEDDING_RATE) / learning_rate
        self.all: list[Stepped] = [
            AdamW(
                [
                    Group(params=matrices, lr=learning_rate, weight_decay=weight_decay),
                    Group(params=others, lr=learning_rate, weight_decay=0.0),
                ]
            )
        ]
        if tables and is_adagrad:
            self.adagrad = RowwiseAdagrad([*tables.values()], learning_rate=learning_rate)
            self.all.append(self.adagrad)
        elif tables:
            self.rows = RowAdam([*tables.values()], learning_rate=learning_rate)
            self.all.append(self.rows)
            for module in stepped:
                module.before_lookup = partial(self.rows.catch_up, module.weight)
        if others_sparse:
            self.all.append(torch.optim.SparseAdam(others_sparse, lr=learning_rate))

    def step(self, learning_rate: float) -> None:
        """One step of each; embeddings whose rate is their own follow the same schedule."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                is_scaled = optimizer is self.adagrad
                group["lr"] = learning_rate * self._scale if is_scaled else learning_rate
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self.all:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def settle(self) -> None:
        """Bring rows up to date that no batch has read lately: before the model is read as a whole."""
        if self.rows is not None:
            self.rows.settle()

    def clip(self, max_norm: float) -> None:
        """Scale gradients so that their joint length is at most `max_norm`; SparseAdam's are left out."""
        by_rows = [each for each in (self.rows, self.adagrad) if each is not None]
        tables = [table for each in by_rows for table in each.param_groups[0]["params"]]
        clipped = [*self.dense_parameters, *tables]
        found = [p.grad for p in clipped if p.grad is not None]
        values = [grad.coalesce().values() if grad.is_sparse else grad for grad in found]
        if len(values) == len(found) and not any(grad.is_sparse for grad in found):
            nn.utils.clip_grad_norm_(clipped, max_norm)
            return
        length = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(v) for v in values])
        )
        share = (max_norm / (length + 1e-6)).clamp(max=1.0)
        for grad in found:
            grad.mul_(share)


def _spared_ids(model: nn.Module) -> set[int]:
    vectors = {id(parameter) for parameter in model.parameters() if parameter.ndim <= 1}
    named = [
        module.undecayed() for module in model.modules() if isinstance(module, SparesParameters)
    ]
    return vectors | {id(parameter) for parameters in named for parameter in parameters}
