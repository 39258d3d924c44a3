"""A table of two tasks that can be learnt, and runs on it."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from polytask.balancing import Balancer, Equal
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, regression
from polytask.training import Settings, TrainingRun
from polytask.trunks import MMoE

NUM_ROWS = 300


def make_table(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(NUM_ROWS, 4, generator=generator)
    noise = 0.1 * torch.randn(NUM_ROWS, generator=generator)
    labels = {"a": (x_BD[:, 0] + x_BD[:, 1] > 0).float(), "b": x_BD[:, 0] + noise}
    return Batch({"x": x_BD}, labels)


@pytest.fixture
def table() -> Batch:
    return make_table()


@pytest.fixture
def valid() -> Batch:
    return make_table(seed=1)


@pytest.fixture
def stream(table: Batch) -> InMemoryStream:
    """Five batches an epoch."""
    return InMemoryStream(table, batch_size=64)


@pytest.fixture
def make_run() -> Callable[..., TrainingRun]:
    def make(
        balancer: Balancer | None = None, *, dropout: float = 0.0, **changes: object
    ) -> TrainingRun:
        torch.manual_seed(0)
        trunk = MMoE(4, 2, num_experts=2, expert_hidden=(8,), dropout=dropout)
        model = MultiTaskModel(SingleInput("x"), trunk, [binary("a"), regression("b")])
        settings = dataclasses.replace(Settings(epochs=3, learning_rate=1e-2), **changes)
        return TrainingRun.start(model, balancer or Equal(2), settings=settings)

    return make
