"""Training by ranks: their parts of a batch are the batch, and a group of one takes the same steps.

Two processes are compared with one in tests/balancing/test_data_parallel.py, rule by rule, and in
tests/fitting/test_torchrun.py, as a whole.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from polytask.balancing import FAMO, MGDA, Balancer, Equal, Ranks
from polytask.errors import UserError
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, multiclass
from polytask.training import Settings, TrainingRun, evaluation, train
from polytask.training.evaluation import predict, predict_together, validate
from polytask.training.run_state import share_state
from polytask.training.shares import predicting_ranks
from polytask.trunks import MMoE

NUM_ROWS = 130


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    """A group of this process alone."""
    store = (tmp_path / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield Ranks()
    distributed.destroy_process_group()


@pytest.fixture
def table() -> Batch:
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.randn(NUM_ROWS, 4, generator=generator)
    labels_BT = torch.stack([(x_BD[:, 0] > 0).float(), x_BD[:, 1].sign() + 1], dim=1)
    labels_BT[torch.rand(NUM_ROWS, 2, generator=generator) < 0.3] = torch.nan
    weights_BT = torch.rand(NUM_ROWS, 2, generator=generator)
    return Batch(
        {"x": x_BD},
        {"a": labels_BT[:, 0], "b": labels_BT[:, 1]},
        {"a": weights_BT[:, 0], "b": weights_BT[:, 1]},
    )


def make_run(balancer: Balancer, ranks: Ranks | None, **settings: object) -> TrainingRun:
    torch.manual_seed(0)
    tasks = [binary("a"), multiclass("b", num_classes=3)]
    model = MultiTaskModel(SingleInput("x"), MMoE(4, 2, num_experts=2, expert_hidden=(8,)), tasks)
    return TrainingRun.start(model, balancer, settings=Settings(epochs=2, **settings), ranks=ranks)


def test_the_ranks_losses_have_the_mean_of_the_whole_batch(table: Batch) -> None:
    """Also where a rank has no label: its share is a zero that has a gradient."""
    model = make_run(Equal(2), None).model
    table.labels["b"][:100] = torch.nan
    table.labels["a"][:1] = torch.nan
    whole = model.losses(model(table.inputs), table)
    parts = [table[:1], table[1:100], table[100:]]
    counts = [model.counts(part) for part in parts]
    means = tuple(sum(each) / 3 for each in zip(*(count.totals for count in counts)))
    shares = [
        model.losses(model(part.inputs), part, dataclasses.replace(count, totals=means))
        for part, count in zip(parts, counts)
    ]
    assert [share.item() for share in shares[0]] == [0.0, 0.0]
    assert shares[1][1].item() == 0.0 and shares[1][1].requires_grad
    for task, loss in enumerate(whole):
        torch.testing.assert_close(sum(share[task] for share in shares) / 3, loss)
    nowhere = dataclasses.replace(counts[1], totals=(0.0, 0.0))
    assert model.losses(model(parts[1].inputs), parts[1], nowhere) == [None, None]


@pytest.mark.parametrize("rule", [Equal, MGDA, FAMO])
@pytest.mark.parametrize("measure_at", ["seam", "parameters"])
def test_a_group_of_one_trains_as_no_group(
    rule: type[Balancer], measure_at: str, ranks: Ranks, table: Batch
) -> None:
    weights, steps = [], []
    for group in (None, ranks):
        run = make_run(rule(2), group, measure_at=measure_at, validations_per_epoch=2)
        steps.append(list(train(run, InMemoryStream(table, 32), valid=table)))
        weights.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)
    for alone, grouped in zip(*steps, strict=True):
        assert (alone.step, alone.rows) == (grouped.step, grouped.rows)
        assert (alone.validation is None) == (grouped.validation is None)


def test_a_loss_that_is_not_finite_is_named(ranks: Ranks, table: Batch) -> None:
    table.labels["b"][:] = torch.nan
    table.inputs["x"][table.labels["a"].isnan().logical_not().nonzero()[0]] = torch.inf
    with pytest.raises(UserError, match="the loss of a is not finite at step"):
        list(train(make_run(Equal(2), ranks), InMemoryStream(table, 32)))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class OneOf(Ranks):
    """A rank of several, which are asked one after another, the first one last."""

    place: int = 0
    number: int = 1
    sent: list[list[object]] = dataclasses.field(default_factory=list)

    @property
    def rank(self) -> int:
        return self.place

    @property
    def world(self) -> int:
        return self.number

    def collect(self, value: object) -> list[object] | None:
        if self.place:
            self.sent.append(value)
            return None
        return [value, *reversed(self.sent)]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("num_rows", [NUM_ROWS, 20, 0])
def test_ranks_predict_what_one_process_predicts(
    world: int, num_rows: int, table: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, as each piece of rows is predicted as a whole; also with fewer pieces than ranks."""
    monkeypatch.setattr(evaluation, "PREDICTION_BATCH", 32)
    model, rows = make_run(Equal(2), None).model, table[:num_rows]
    whole = predict(model, rows, batch_size=32)
    sent: list[object] = []
    found = [predict_together(model, rows, OneOf(None, p, world, sent)) for p in range(world)[::-1]]
    assert found[:-1] == [None] * (world - 1)
    for name, values in whole.values.items():
        assert np.array_equal(found[-1].values[name], values)


def test_ranks_score_what_one_process_scores(table: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The score to the bit; the mean losses up to the order of the sums."""
    monkeypatch.setattr(evaluation, "PREDICTION_BATCH", 32)
    alone = validate(make_run(Equal(2), None), table)
    sent: list[object] = []
    runs = [make_run(Equal(2), OneOf(None, place, 2, sent)) for place in (1, 0)]
    others, first = [evaluation._scored(run, table, run.ranks) for run in runs]
    assert others is None
    assert (first.score, first.metrics) == (alone.score, alone.metrics)
    assert first.losses == pytest.approx(alone.losses, rel=1e-12)


def test_statistics_of_each_ranks_own_rows_leave_predicting_to_the_first(table: Batch) -> None:
    model = make_run(Equal(2), None).model
    assert predicting_ranks(model, OneOf()) is not None
    model.add_module("norm", torch.nn.BatchNorm1d(4))
    assert predicting_ranks(model, OneOf()) is None
    assert predict_together(model, table, OneOf(None, 1, 2)) is None
    assert predict_together(model, table, OneOf(None, 0, 2)) is not None


class Second(Ranks):
    """The second of two, which hears what the first one shared."""

    heard: list[object]

    @property
    def rank(self) -> int:
        return 1

    def collect(self, value: object) -> None:
        return None

    def share(self, value: object) -> object:
        assert value is None
        return self.heard.pop(0)


class First(Ranks):
    def share(self, value: object) -> object:
        self.heard.append(value)
        return value


First.heard = Second.heard = []


def test_the_others_follow_the_first_rank(ranks: Ranks, table: Batch) -> None:
    first, second = make_run(MGDA(2), First()), make_run(MGDA(2), Second())
    for step in train(first, InMemoryStream(table, 32)):
        if step.step == 3:
            break
    First.heard.clear()
    share_state(first)
    share_state(second)
    assert second.progress == first.progress
    for mine, theirs in zip(first.model.parameters(), second.model.parameters()):
        assert torch.equal(mine, theirs)
    told = validate(first, table)
    assert validate(second, table) is told
    assert second.progress.best_score == first.progress.best_score == told.score
    # The same score again: the later weights are kept, and patience is counted.
    assert validate(first, table).is_best
    validate(second, table)
    assert second.progress.validations_since_best == first.progress.validations_since_best == 1
