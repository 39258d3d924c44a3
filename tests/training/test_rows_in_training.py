"""Tables stepped row by row take the steps of tables stepped whole, all through training."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed

from polytask.balancing import MGDA, Balancer, Equal, Ranks
from polytask.inputs import SingleInput
from polytask.inputs.embeddings import FusedEmbedding
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Settings, TrainingRun, train
from polytask.trunks import MMoE

NUM_VALUES = 300


def table(num_rows: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids_BC = (torch.rand(num_rows, 2, generator=generator) ** 3 * NUM_VALUES).long()
    labels = {"a": (ids_BC[:, 0] % 3 == 0).float(), "b": (ids_BC[:, 1] % 5 == 0).float()}
    return Batch({"ids": ids_BC}, labels)


def make_run(
    sparse: bool, rule: Callable[[int], Balancer], clip_norm: float | None = None
) -> TrainingRun:
    torch.manual_seed(0)
    tasks = [binary("a"), binary("b")]
    embedding = FusedEmbedding([NUM_VALUES] * 2, 4, sparse=sparse)
    trunk = MMoE(8, 2, num_experts=2, expert_hidden=(8,))
    model = MultiTaskModel(SingleInput("ids", embedding), trunk, tasks).double()
    chosen = Settings(epochs=4, learning_rate=1e-2, patience=0, clip_norm=clip_norm)
    return TrainingRun.start(model, rule(2), settings=chosen)


def trained(run: TrainingRun) -> tuple[Tensor, list[float], Tensor]:
    """All losses, all validation scores, and the table in the end."""
    losses, scores = list[Tensor](), list[float]()
    stream = InMemoryStream(table(2000), batch_size=32)
    for step in train(run, stream, valid=table(300, seed=1)):
        losses.append(step.balancing.losses_T)
        if step.validation is not None:
            scores += step.validation.losses.values()
    return torch.stack(losses), scores, embedding_of(run).weight.detach()


def embedding_of(run: TrainingRun) -> FusedEmbedding:
    assert isinstance(run.model.encoder, SingleInput)
    assert isinstance(run.model.encoder.module, FusedEmbedding)
    return run.model.encoder.module


@pytest.mark.parametrize("rule", [Equal, MGDA])
@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_the_steps_are_those_of_dense_tables(
    rule: Callable[[int], Balancer], clip_norm: float | None
) -> None:
    rows, whole = (trained(make_run(sparse, rule, clip_norm)) for sparse in (True, False))
    assert len(rows[0]) == 4 * 63
    # After a validation the best weights were put back, so that the tables are the kept ones.
    torch.testing.assert_close(rows, whole, rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_table_does_not_write_to_the_first_one() -> None:
    run = make_run(True, Equal)
    next(train(run, InMemoryStream(table(100), batch_size=50)))
    module = embedding_of(run)
    twin = copy.deepcopy(module)
    assert module.before_lookup is not None and twin.before_lookup is None
    assert torch.equal(twin.weight, module.weight)


def test_a_group_of_one_takes_the_same_steps(tmp_path: Path) -> None:
    """Averaged gradients name the rows of all ranks: others than those that this one has read."""
    store = (tmp_path / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        alone, grouped = make_run(True, Equal), make_run(True, Equal)
        grouped.ranks = Ranks()
        torch.testing.assert_close(trained(grouped), trained(alone), rtol=1e-9, atol=1e-9)
    finally:
        distributed.destroy_process_group()
