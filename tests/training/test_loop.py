"""Training: repeatable, stops when told to, puts the best weights back, and says what went wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import MGDA, Equal
from polytask.errors import UserError
from polytask.inputs import SingleInput
from polytask.metrics import quick_metric
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream, Mixture, Stream, with_generated
from polytask.task import Task, binary, regression
from polytask.training import Monitor, Settings, Term, TrainingRun, predict, train
from polytask.training.optimizer import Optimizers, learning_rate_at
from polytask.training.run_state import state_of
from polytask.trunks import MMoE, SharedBottom

NUM_ROWS = 300
MakeRun = Callable[..., TrainingRun]


def final_weights(run: TrainingRun) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_it_learns_and_counts_steps_rows_and_epochs(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    run = make_run(epochs=30)
    steps = list(train(run, stream))
    assert [step.step for step in steps] == list(range(1, 151))
    assert [step.epoch for step in steps[:6]] == [0, 0, 0, 0, 0, 1]
    assert run.progress.rows == 30 * NUM_ROWS
    assert run.progress.train_seconds > 0
    first, last = steps[0].balancing.losses_T, steps[-1].balancing.losses_T
    assert (last < 0.5 * first).all()


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    results = []
    for seed in (0, 0, 1):
        run = make_run(dropout=0.2, seed=seed)
        for _ in train(run, stream):
            pass
        results.append(final_weights(run))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_an_interrupted_epoch_goes_on_where_it_stopped(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    """The order of rows and the rate depend on counts alone, so a new loop finds its place."""
    whole = make_run()
    for _ in train(whole, stream):
        pass
    halves = make_run()
    for step in train(halves, stream):
        if step.step == 7:
            break
    for _ in train(halves, stream):
        pass
    assert halves.progress.step == whole.progress.step
    assert torch.equal(final_weights(whole), final_weights(halves))


def test_validation_comes_as_often_as_asked_and_the_best_weights_come_back(
    make_run: MakeRun, stream: InMemoryStream, valid: Batch
) -> None:
    run = make_run(epochs=4, validations_per_epoch=2, learning_rate=0.3)
    validations = [s.validation for s in train(run, stream, valid=valid) if s.validation]
    assert [v.step for v in validations][:4] == [2, 5, 7, 10]
    best = max(validations, key=lambda v: v.score)
    assert run.progress.best_step == best.step
    values = predict(run.model, valid).values
    again = Monitor.default(run.model.tasks)
    assert {(t.task, t.metric) for t in again.terms} == {("a", "auc"), ("b", "r2")}
    auc = quick_metric("auc", run.model.tasks[0].kind, values["a"], valid.labels["a"].numpy())
    assert auc == pytest.approx(best.metrics["a"]["auc"], abs=1e-12)


def test_it_stops_when_patience_is_out(
    make_run: MakeRun, stream: InMemoryStream, valid: Batch
) -> None:
    run = make_run(epochs=50, patience=2)
    run.monitor = Monitor((Term("a", "log_loss", weight=-1.0),))  # the worse, the better
    steps = list(train(run, stream, valid=valid))
    assert steps[-1].epoch < 49
    assert run.progress.validations_since_best == 2


def test_a_falling_metric_is_better() -> None:
    monitor = Monitor((Term("a", "log_loss"), Term("b", "rmse", weight=2.0)))
    found = monitor.score(
        {"a": {"log_loss": 0.5}, "b": {"rmse": 1.0}}, [binary("a"), regression("b")]
    )
    assert found == pytest.approx(-2.5)


def test_an_undefined_metric_is_left_out_and_the_others_weigh_as_much() -> None:
    monitor = Monitor((Term("a", "log_loss"), Term("b", "rmse", weight=3.0)))
    tasks = [binary("a"), regression("b")]
    found = monitor.score({"a": {"log_loss": math.nan}, "b": {"rmse": 1.0}}, tasks)
    assert found == pytest.approx(-4.0)
    values = {"a": {"log_loss": math.nan}, "b": {"rmse": math.nan}}
    assert math.isnan(monitor.score(values, tasks))


def test_without_any_metric_training_goes_to_its_end(
    make_run: MakeRun, stream: InMemoryStream, valid: Batch
) -> None:
    run = make_run(epochs=8, patience=2)
    run.monitor = Monitor((Term("a", "auc"),))
    labels = {"a": torch.ones(len(valid)), "b": valid.labels["b"]}
    steps = list(train(run, stream, valid=Batch(valid.inputs, labels)))
    assert steps[-1].epoch == 7
    assert run.progress.best_step == run.progress.step


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_names_step_task_batch_and_rows(
    bad: float, make_run: MakeRun, table: Batch
) -> None:
    """And nothing is moved by it: not the weights, not the optimizers, not the balancer."""
    stream = InMemoryStream(table, batch_size=64)
    rows = stream.batch(0, 1, 2).rows
    run = make_run()
    batches = iter(train(run, stream))
    for _ in range(7):
        next(batches)
    table.inputs["x"][rows[9], 0] = bad
    before = {k: v.clone() for k, v in state_of(run).tensors.items()}
    with pytest.raises(UserError) as raised:
        next(batches)
    first = ", ".join(str(int(row)) for row in rows[:5])
    assert "the loss of a, b is not finite at step 8 (epoch 2, batch 3;" in str(raised.value)
    assert f"64 training rows, the first {first})" in str(raised.value)
    for name, value in state_of(run).tensors.items():
        assert torch.equal(value, before[name]), name
    assert run.progress.step == 7


def test_only_the_task_that_is_not_finite_is_named(make_run: MakeRun, table: Batch) -> None:
    table.labels["b"][17] = math.inf
    with pytest.raises(UserError, match=r"the loss of b is not finite at step 1 .*300 training"):
        list(train(make_run(), InMemoryStream(table, 300)))


def test_a_step_carries_its_batch(make_run: MakeRun, stream: InMemoryStream, table: Batch) -> None:
    for step in train(make_run(epochs=2), stream):
        place = (0, step.epoch, (step.step - 1) % 5)
        assert torch.equal(step.batch.rows, stream.batch(*place).rows)
        assert torch.equal(step.batch.inputs["x"], table.inputs["x"][step.batch.rows])
        assert step.rows == len(step.batch)


class Scripted(Monitor):
    """A monitor that says what it was given to say."""

    scores: ClassVar[list[float]] = []

    def score(self, values: Mapping[str, Mapping[str, float]], tasks: Sequence[Task]) -> float:
        return self.scores.pop(0)


@pytest.mark.parametrize(
    ("patience", "scores", "num_validations", "best"),
    [
        (2, [1.0, 0.0, 2.0, 0.0, 1.0, 9.0], 5, 3),
        (1, [1.0, 2.0, 3.0, 3.0, 9.0], 4, 4),
        (2, [1.0, 2.0, 2.0, 1.0, 9.0], 4, 3),
        (3, [5.0, 4.0, 3.0, 2.0, 9.0], 4, 1),
        (0, [5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 9.0, 1.0], 8, 7),
    ],
)
def test_patience_counts_validations_since_the_best(
    patience: int,
    scores: list[float],
    num_validations: int,
    best: int,
    make_run: MakeRun,
    stream: InMemoryStream,
    valid: Batch,
) -> None:
    """A better score begins the count anew, an equal one does not; the last of the best is kept."""
    run = make_run(epochs=8, patience=patience)
    run.monitor = Scripted(())
    Scripted.scores = list(scores)
    weights, found = [], []
    for step in train(run, stream, valid=valid):
        if step.validation is not None:
            found.append(step.validation)
            weights.append(final_weights(run))
    assert len(found) == num_validations
    assert [v.is_best for v in found][best - 1] and not any(v.is_best for v in found[best:])
    assert run.progress.best_step == 5 * best
    assert torch.equal(final_weights(run), weights[best - 1])


def test_clipping_bounds_the_joint_length_of_the_gradients(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    lengths: dict[float | None, list[float]] = {}
    for clip_norm in (None, 1e6, 0.05):
        run = make_run(epochs=1, clip_norm=clip_norm)
        lengths[clip_norm] = [
            torch.cat([p.grad.flatten() for p in run.model.parameters()]).norm().item()
            for _ in train(run, stream)
        ]
    assert lengths[0.05] == pytest.approx([0.05] * 5, rel=1e-3)
    assert lengths[1e6] == lengths[None]
    assert min(lengths[None]) > 0.1


@pytest.mark.parametrize("measure_at", ["seam", "parameters"])
def test_gradients_are_measured_where_the_settings_say(
    measure_at: str, make_run: MakeRun, stream: InMemoryStream
) -> None:
    """The first step's Gram matrix, against autograd at the place itself."""
    run = make_run(MGDA(2), measure_at=measure_at)
    batch = stream.batch(0, 0, 0)
    result = run.model(batch.inputs)
    shared = list(run.model.trunk.experts.parameters())
    places = shared if measure_at == "parameters" else list(result.seam)
    rows = []
    for loss in run.model.losses(result, batch):
        gradients = torch.autograd.grad(
            loss, [p for p in places if p.requires_grad], retain_graph=True, allow_unused=True
        )
        rows.append(torch.cat([g.flatten() for g in gradients if g is not None]).double())
    expected = torch.stack(rows) @ torch.stack(rows).T
    gram_TT = next(train(run, stream)).balancing.gram_TT
    torch.testing.assert_close(gram_TT, expected, rtol=1e-4, atol=1e-9)


def test_the_balancer_is_told_the_epoch(make_run: MakeRun, stream: InMemoryStream) -> None:
    """`Decayed` and DWA count in epochs."""
    run = make_run()
    epochs: list[int | None] = []
    run.balancer.register_forward_pre_hook(lambda _, measured: epochs.append(measured[0].epoch))
    list(train(run, stream))
    assert epochs == [0] * 5 + [1] * 5 + [2] * 5


def test_rules_on_losses_measure_nothing(make_run: MakeRun, stream: InMemoryStream) -> None:
    assert next(train(make_run(), stream)).balancing.gram_TT is None


def streams_to_resume(table: Batch) -> dict[str, Stream]:
    halves = [
        Batch({"x": table.inputs["x"][:150]}, {"a": table.labels["a"][:150]}),
        Batch({"x": table.inputs["x"][150:]}, {"b": table.labels["b"][150:]}),
    ]
    mixture = Mixture([InMemoryStream(half, 40) for half in halves])

    def noisy(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"b": batch.labels["a"] + torch.randn(len(batch), generator=generator)}

    return {"mixture": mixture, "generated": with_generated(InMemoryStream(table, 40), noisy)}


@pytest.mark.parametrize("name", ["mixture", "generated"])
def test_any_stream_is_resumed_to_the_same_bits(name: str, make_run: MakeRun, table: Batch) -> None:
    runs = []
    for stops in ((), (1, 11, 12)):
        run = make_run(dropout=0.3)
        for stop in (*stops, math.inf):
            for step in train(run, streams_to_resume(table)[name]):
                if step.step == stop:
                    break
        runs.append(run)
    assert runs[0].progress.step == runs[1].progress.step == 24
    assert torch.equal(final_weights(runs[0]), final_weights(runs[1]))


def test_a_batch_of_one_data_set_leaves_the_other_tasks_alone(
    make_run: MakeRun, table: Batch
) -> None:
    for step in train(make_run(epochs=1), streams_to_resume(table)["mixture"]):
        assert step.balancing.active_T.tolist() == [
            "a" in step.batch.labels,
            "b" in step.batch.labels,
        ]


def test_bf16_trains_and_keeps_float32_parameters(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    run = make_run(precision="bf16")
    steps = list(train(run, stream))
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


def test_sparse_tables_are_trained_where_the_batch_has_their_rows() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(50, 4, sparse=True)
    model = MultiTaskModel(
        SingleInput("ids", table), SharedBottom(4, 1, hidden=(4,)), [binary("a")]
    )
    run = TrainingRun.start(model, Equal(1), settings=Settings(epochs=1))
    before = table.weight.detach().clone()
    ids = torch.arange(40)
    list(train(run, InMemoryStream(Batch({"ids": ids}, {"a": (ids % 2).float()}), 1024)))
    changed = (table.weight.detach() != before).any(dim=1)
    # A row whose hidden units are all dead gets a zero gradient; rows not in the batch none.
    assert changed[:40].sum() > 20 and not changed[40:].any()
    assert table.weight.grad is not None and table.weight.grad.is_sparse
