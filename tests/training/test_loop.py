"""Training: repeatable, stops when told to, puts the best weights back, and says what went wrong."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from polytask.balancing import Equal
from polytask.encoders import SingleInput
from polytask.errors import UserError
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, regression
from polytask.training import Monitor, Settings, Term, TrainingRun, predict, train
from polytask.training.optimizer import Optimizers, learning_rate_at
from polytask.trunks import MMoE, SharedBottom

NUM_ROWS = 300


def make_table(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(NUM_ROWS, 4, generator=generator)
    noise = 0.1 * torch.randn(NUM_ROWS, generator=generator)
    labels = {"a": (x_BD[:, 0] + x_BD[:, 1] > 0).float(), "b": x_BD[:, 0] + noise}
    return Batch({"x": x_BD}, labels)


def make_stream() -> InMemoryStream:
    return InMemoryStream(make_table(), batch_size=64)


def make_run(dropout: float = 0.0, **changes: object) -> TrainingRun:
    torch.manual_seed(0)
    trunk = MMoE(4, 2, num_experts=2, expert_hidden=(8,), dropout=dropout)
    model = MultiTaskModel(SingleInput("x"), trunk, [binary("a"), regression("b")])
    settings = dataclasses.replace(Settings(epochs=3, learning_rate=1e-2), **changes)
    return TrainingRun.start(model, Equal(2), settings=settings)


def final_weights(run: TrainingRun) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_it_learns_and_counts_steps_rows_and_epochs() -> None:
    run = make_run(epochs=30)
    steps = list(train(run, make_stream()))
    assert [step.step for step in steps] == list(range(1, 151))
    assert [step.epoch for step in steps[:6]] == [0, 0, 0, 0, 0, 1]
    assert run.progress.rows == 30 * NUM_ROWS
    assert run.progress.train_seconds > 0
    first, last = steps[0].balancing.losses_T, steps[-1].balancing.losses_T
    assert (last < 0.5 * first).all()


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    results = []
    for seed in (0, 0, 1):
        run = make_run(dropout=0.2, seed=seed)
        for _ in train(run, make_stream()):
            pass
        results.append(final_weights(run))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_an_interrupted_epoch_goes_on_where_it_stopped() -> None:
    """The order of rows and the rate depend on counts alone, so a new loop finds its place."""
    whole = make_run()
    for _ in train(whole, make_stream()):
        pass
    halves = make_run()
    for step in train(halves, make_stream()):
        if step.step == 7:
            break
    for _ in train(halves, make_stream()):
        pass
    assert halves.progress.step == whole.progress.step
    assert torch.equal(final_weights(whole), final_weights(halves))


def test_validation_comes_as_often_as_asked_and_the_best_weights_come_back() -> None:
    run = make_run(epochs=4, validations_per_epoch=2, learning_rate=0.3)
    valid = make_table(seed=1)
    validations = [s.validation for s in train(run, make_stream(), valid=valid) if s.validation]
    assert [v.step for v in validations][:4] == [2, 5, 7, 10]
    best = max(validations, key=lambda v: v.score)
    assert run.progress.best_step == best.step
    values = predict(run.model, valid).values
    again = Monitor.default(run.model.tasks)
    assert {(t.task, t.metric) for t in again.terms} == {("a", "auc"), ("b", "r2")}
    from polytask.metrics import quick_metric

    auc = quick_metric("auc", "binary", values["a"], valid.labels["a"].numpy())
    assert auc == pytest.approx(best.metrics["a"]["auc"], abs=1e-12)


def test_it_stops_when_patience_is_out() -> None:
    run = make_run(epochs=50, patience=2)
    run.monitor = Monitor((Term("a", "log_loss", weight=-1.0),))  # the worse, the better
    steps = list(train(run, make_stream(), valid=make_table(seed=1)))
    assert steps[-1].epoch < 49
    assert run.progress.validations_since_best == 2


def test_a_falling_metric_is_better() -> None:
    monitor = Monitor((Term("a", "log_loss"), Term("b", "rmse", weight=2.0)))
    assert monitor.score({"a": {"log_loss": 0.5}, "b": {"rmse": 1.0}}) == pytest.approx(-2.5)


def test_a_loss_that_is_not_finite_names_step_task_and_rows() -> None:
    table = make_table()
    order = torch.randperm(NUM_ROWS, generator=torch.Generator().manual_seed(3))
    table.inputs["x"][order[10]] = math.inf
    run = make_run()
    with pytest.raises(UserError, match=r"loss of a, b is not finite at step \d+ .*the first \d+"):
        list(train(run, InMemoryStream(table, 64)))
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_bf16_trains_and_keeps_float32_parameters() -> None:
    run = make_run(precision="bf16")
    steps = list(train(run, make_stream()))
    assert steps[-1].balancing.losses_T.sum() < steps[0].balancing.losses_T.sum()
    assert all(p.dtype == torch.float32 for p in run.model.parameters())


def test_the_rate_rises_then_falls_to_zero() -> None:
    rates = [
        learning_rate_at(step, total_steps=100, peak=1.0, warmup_fraction=0.1)
        for step in range(100)
    ]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] < 0.001


def test_a_constant_rate_follows_the_same_warm_up() -> None:
    rates = [
        learning_rate_at(step, total_steps=100, peak=2.0, warmup_fraction=0.1, schedule="constant")
        for step in range(100)
    ]
    assert rates[0] == pytest.approx(0.2) and rates[:10] == sorted(rates[:10])
    assert set(rates[9:]) == {2.0}


def test_weight_decay_spares_embeddings_and_biases() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 4)

    encoder = Encoder()
    tasks = [binary("a"), binary("b")]
    trunk = MMoE(4, 2, num_experts=2, expert_hidden=(3, 2))
    model = MultiTaskModel(encoder, trunk, tasks)
    optimizers = Optimizers(model, learning_rate=1e-3, weight_decay=0.5)
    decayed = {
        id(p) for g in optimizers.all[0].param_groups if g["weight_decay"] for p in g["params"]
    }
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert names == {
        "trunk.experts.first.weight",
        "trunk.experts.weights.0",
        "trunk.gates.0.linear.weight",
        "trunk.gates.1.linear.weight",
        "heads.0.weight",
        "heads.1.weight",
    }


def test_sparse_tables_are_trained_and_clipping_works() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(50, 4, sparse=True)
    model = MultiTaskModel(
        SingleInput("ids", table), SharedBottom(4, 1, hidden=(4,)), [binary("a")]
    )
    run = TrainingRun.start(model, Equal(1), settings=Settings(epochs=1, clip_norm=1e-3))
    before = table.weight.detach().clone()
    ids = torch.arange(40)
    list(train(run, InMemoryStream(Batch({"ids": ids}, {"a": (ids % 2).float()}), 1024)))
    changed = (table.weight.detach() != before).any(dim=1)
    # A row whose hidden units are all dead gets a zero gradient; rows not in the batch none.
    assert changed[:40].sum() > 20 and not changed[40:].any()
    assert table.weight.grad is not None and table.weight.grad.is_sparse
