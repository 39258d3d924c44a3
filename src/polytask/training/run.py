"""Everything that a training run knows: the model, how it is trained, and how far it has come."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from polytask.balancing import Balancer, Ranks
from polytask.choices import EmbeddingOptimizer
from polytask.model import MultiTaskModel
from polytask.training.monitor import Monitor
from polytask.training.optimizer import Optimizers, Schedule

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is trained.

    `patience` counts validations without a better score (0: train all epochs, still keep the
    best weights); `validations_per_epoch` above one suits
    id-heavy data, which overfits within an epoch. `measure_at` is where gradient rules look:
    at the seam (cheap) or at the shared parameters (exact). `embedding_rate` is that of the
    embedding optimizer "rowwise_adagrad" at its highest.

    >>> Settings(epochs=10, clip_norm=1.0).schedule
    'cosine'
    """

    epochs: int = 6
    learning_rate: float = 3e-3
    embedding_optimizer: EmbeddingOptimizer = "adam"
    embedding_rate: float | None = None
    weight_decay: float = 1e-5
    warmup_fraction: float = 0.05
    schedule: Schedule = "cosine"
    clip_norm: float | None = None
    precision: Precision = "fp32"
    patience: int = 3
    validations_per_epoch: int = 1
    measure_at: Literal["seam", "parameters"] = "seam"
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """How far a run has come; counts of what is done, never of what is to come."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    rows: int = 0
    train_seconds: float = 0.0
    best_score: float = -math.inf
    best_step: int = 0
    validations_since_best: int = 0
    best_weights: dict[str, Tensor] | None = None


@dataclass(slots=True, eq=False)
class TrainingRun:
    """A model, its balancer and optimizers, the settings, and the progress so far.

    Construct it with `start`; then `for step in train(run, stream)`. With `ranks` several processes
    train it: each has a part of every batch, and all take the steps of one process.
    """

    model: MultiTaskModel
    balancer: Balancer
    optimizers: Optimizers
    settings: Settings
    monitor: Monitor
    progress: Progress = field(default_factory=Progress)
    ranks: Ranks | None = None

    @classmethod
    def start(
        cls,
        model: MultiTaskModel,
        balancer: Balancer,
        *,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
        ranks: Ranks | None = None,
    ) -> "TrainingRun":
        """A run at step 0. The default monitor is the mean of each goal's main metric."""
        settings = settings or Settings()
        if balancer.num_tasks != model.num_losses:
            raise ValueError(
                f"the balancer was made for {balancer.num_tasks} losses, but the model has "
                f"{model.num_losses} to weigh: {', '.join(model.loss_names)}"
            )
        optimizers = Optimizers(
            model,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            embedding_optimizer=settings.embedding_optimizer,
            embedding_rate=settings.embedding_rate,
        )
        monitor = monitor or Monitor.default(model.tasks)
        return cls(model, balancer, optimizers, settings, monitor, ranks=ranks)

    def out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience > 0 and self.progress.validations_since_best >= patience

    def keep_if_best(self, score: float) -> bool:
        """Copy the weights where no `score` so far is higher; count the validation unless it is.

        Of equal scores the later weights are kept, for few validation rows tie long before training
        is done; they earn no more patience. A score that is NaN says nothing: the newest weights are
        kept, and training does not end early.
        """
        progress = self.progress
        if math.isnan(score):
            score, progress.validations_since_best = progress.best_score, -1
        is_first = progress.best_weights is None
        progress.validations_since_best += 1
        if score > progress.best_score or is_first:
            progress.validations_since_best = 0
        if score < progress.best_score and not is_first:
            return False
        progress.best_score, progress.best_step = score, progress.step
        # Nothing follows that could change them: tables of gigabytes need no copy then.
        is_last = progress.epoch == self.settings.epochs
        weights = {} if is_last else self.model.state_dict()
        progress.best_weights = {name: value.clone() for name, value in weights.items()}
        return True

    def restore_best(self) -> None:
        """Put the best validated weights back, if any validation took place; the newest ones have no copy."""
        if self.progress.best_weights:
            self.model.load_state_dict(self.progress.best_weights)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 where asked for; a context that does nothing otherwise."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def device_of(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device
