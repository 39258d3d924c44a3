"""Row-wise Adagrad: its formula, Adagrad itself where a row is one number, and rows that are left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

from polytask.balancing import Equal, Ranks
from polytask.inputs import SingleInput
from polytask.inputs.embeddings import FusedEmbedding
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Checkpoints, Settings, TrainingRun, train
from polytask.training.optimizer import Optimizers
from polytask.training.rowwise_adagrad import RowwiseAdagrad
from polytask.trunks import SharedBottom

NUM_ROWS = 9


def gradients_at(step: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows of a step, some of them twice, and their gradients; the last row has none at any step."""
    drawn = torch.Generator().manual_seed(step)
    rows_N = torch.randint(0, NUM_ROWS - 1, (5,), generator=drawn)
    size = 10.0 ** (step % 7 - 3)
    return rows_N, size * torch.randn(5, width, generator=drawn, dtype=torch.float64)


def stepped(width: int, *, sparse: bool, steps: int = 60) -> tuple[Tensor, Tensor]:
    """A table and its sums after some steps at falling rates."""
    table = torch.zeros(NUM_ROWS, width, dtype=torch.float64).requires_grad_()
    optimizer = RowwiseAdagrad([table], learning_rate=0.1)
    for step in range(steps):
        rows_N, values_NK = gradients_at(step, width)
        gradient = torch.sparse_coo_tensor(
            rows_N[None], values_NK, table.shape, check_invariants=False
        )
        table.grad = gradient if sparse else gradient.to_dense()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        optimizer.step()
    return table.detach(), optimizer.state_dict()["state"][0]["sum"]


@pytest.mark.parametrize("sparse", [True, False])
def test_the_formula_row_by_row(sparse: bool) -> None:
    weights, sums = np.zeros((NUM_ROWS, 3)), np.zeros(NUM_ROWS)
    for step in range(60):
        rows_N, values_NK = gradients_at(step, 3)
        for row in set(rows_N.tolist()):
            g = values_NK[rows_N == row].sum(0).numpy()
            sums[row] += np.mean(g**2)
            weights[row] -= 0.1 / (1 + step) * g / (np.sqrt(sums[row]) + 1e-8)
    table, sum_V = stepped(3, sparse=sparse)
    np.testing.assert_allclose(table.numpy(), weights, rtol=1e-12)
    np.testing.assert_allclose(sum_V.numpy(), sums, rtol=1e-12)
    assert (table[-1] == 0).all() and sum_V[-1] == 0


def test_of_rows_of_one_number_it_is_adagrad() -> None:
    theirs = torch.zeros(NUM_ROWS, 1, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adagrad([theirs], lr=0.1, eps=1e-8)
    for step in range(60):
        rows_N, values_NK = gradients_at(step, 1)
        theirs.grad = torch.zeros_like(theirs).index_add_(0, rows_N, values_NK)
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        optimizer.step()
    torch.testing.assert_close(stepped(1, sparse=True)[0], theirs.detach(), rtol=1e-12, atol=0)


def table(num_rows: int, seed: int = 0) -> Batch:
    drawn = torch.Generator().manual_seed(seed)
    ids_BC = (torch.rand(num_rows, 2, generator=drawn) ** 3 * 300).long()
    labels = {"a": (ids_BC[:, 0] % 3 == 0).float(), "b": (ids_BC[:, 1] % 5 == 0).float()}
    return Batch({"ids": ids_BC}, labels)


def make_run(sparse: bool, **settings: object) -> TrainingRun:
    torch.manual_seed(0)
    embedding = FusedEmbedding([300, 300], 4, sparse=sparse)
    trunk = SharedBottom(8, 2, hidden=(8,))
    model = MultiTaskModel(SingleInput("ids", embedding), trunk, [binary("a"), binary("b")])
    chosen = {"epochs": 3, "learning_rate": 1e-2, "patience": 0, "embedding_rate": 0.1}
    chosen |= {"embedding_optimizer": "rowwise_adagrad", **settings}
    return TrainingRun.start(model.double(), Equal(2), settings=Settings(**chosen))  # type: ignore[arg-type]


def trained(run: TrainingRun, stop: int | None = None) -> dict[str, Tensor]:
    stream = InMemoryStream(table(2000), batch_size=64)
    for step in train(run, stream, valid=table(300, seed=1)):
        if step.step == stop:
            break
    return {name: value.clone() for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("clip_norm", [None, 0.02])
def test_a_training_is_the_same_whether_gradients_are_sparse_or_dense(
    clip_norm: float | None,
) -> None:
    sparse, dense = (trained(make_run(kind, clip_norm=clip_norm)) for kind in (True, False))
    assert sparse.keys() == dense.keys()
    for name, value in sparse.items():
        torch.testing.assert_close(value, dense[name], rtol=1e-9, atol=1e-12)
    free = trained(make_run(True))
    name = "encoder.module.weight"
    assert torch.equal(free[name], sparse[name]) == (clip_norm is None)


@pytest.mark.parametrize("stop", [17, 64])
def test_a_run_that_is_resumed_has_the_same_bits(tmp_path: Path, stop: int) -> None:
    due = trained(make_run(True))
    broken = make_run(True)
    trained(broken, stop)
    Checkpoints(tmp_path).save(broken)
    resumed = make_run(True)
    assert Checkpoints(tmp_path).restore(resumed).log_bytes is not None
    for name, value in trained(resumed).items():
        assert torch.equal(value, due[name]), name


def test_a_group_of_one_takes_the_same_steps(tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        grouped = make_run(True)
        grouped.ranks = Ranks()
        torch.testing.assert_close(trained(grouped), trained(make_run(True)), rtol=1e-9, atol=1e-9)
    finally:
        distributed.destroy_process_group()


def test_tables_of_ids_are_its_own_and_nothing_else_is() -> None:
    frozen, sparse = FusedEmbedding([4], 2), FusedEmbedding([8], 2, sparse=True)
    frozen.weight.requires_grad_(False)
    words = nn.Embedding(5, 2)
    model = nn.ModuleList([sparse, FusedEmbedding([3], 2), words, nn.Linear(2, 2), frozen])
    optimizers = Optimizers(
        model, learning_rate=1e-3, weight_decay=0.1, embedding_optimizer="rowwise_adagrad"
    )
    assert optimizers.adagrad is not None and len(optimizers.all) == 2
    assert [id(p) for p in optimizers.adagrad.param_groups[0]["params"]] == [
        id(model[0].weight),
        id(model[1].weight),
    ]
    weights = {id(p) for p in [words.weight, *model[3].parameters()]}
    assert {id(p) for p in optimizers.dense_parameters} == weights
    decayed = optimizers.all[0].param_groups[0]["params"]
    assert [id(p) for p in decayed] == [id(model[3].weight)]
    state = optimizers.adagrad.state_dict()["state"]
    assert [t.numel() for slots in state.values() for t in slots.values()] == [8, 3]
    assert sparse.before_lookup is None
