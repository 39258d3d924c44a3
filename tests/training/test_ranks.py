"""Training by ranks: their parts of a batch are the batch, and a group of one takes the same steps.

Two processes are compared with one in tests/balancing/test_data_parallel.py, rule by rule, and in
tests/fitting/test_torchrun.py, as a whole.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from polytask.balancing import FAMO, MGDA, Balancer, Equal, Ranks
from polytask.data.examples import Examples, batches
from polytask.errors import UserError
from polytask.model import MultiTaskModel
from polytask.task import binary, multiclass
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import validate
from polytask.training.run_state import share_state
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
def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.randn(NUM_ROWS, 4, generator=generator)
    labels_BT = torch.stack([(x_BD[:, 0] > 0).float(), x_BD[:, 1].sign() + 1], dim=1)
    labels_BT[torch.rand(NUM_ROWS, 2, generator=generator) < 0.3] = torch.nan
    weights_BT = torch.rand(NUM_ROWS, 2, generator=generator)
    return Examples(inputs=(x_BD,), labels_BT=labels_BT, weights_BT=weights_BT)


def make_run(balancer: Balancer, ranks: Ranks | None, **settings: object) -> TrainingRun:
    torch.manual_seed(0)
    tasks = [binary("a"), multiclass("b", num_classes=3)]
    model = MultiTaskModel(nn.Identity(), MMoE(4, 2, num_experts=2, expert_hidden=(8,)), tasks)
    return TrainingRun.start(
        model, balancer, settings=Settings(epochs=2, batch_size=32, **settings), ranks=ranks
    )


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_the_parts_of_a_batch_are_the_batch(count: int, examples: Examples) -> None:
    examples.labels_BT[:] = 1.0
    order_B = torch.randperm(NUM_ROWS)
    whole = list(batches(examples, 32, order_B=order_B))
    parts = [list(batches(examples, 32, order_B=order_B, part=(k, count))) for k in range(count)]
    for number, batch in enumerate(whole):
        mine = [part[number] for part in parts]
        lengths = [int((~part.labels_BT[:, 0].isnan()).sum()) for part in mine]
        assert max(lengths) - min(lengths) <= 1
        # A rank without a row reads one that counts in no loss.
        assert [len(part) for part in mine] == [max(1, length) for length in lengths]
        joined = torch.cat([part.inputs[0] for part, length in zip(mine, lengths) if length])
        assert torch.equal(joined, batch.inputs[0])


def test_the_ranks_losses_have_the_mean_of_the_whole_batch(examples: Examples) -> None:
    """Also where a rank has no label: its share is a zero that has a gradient."""
    model = make_run(Equal(2), None).model
    examples.labels_BT[:100, 1] = examples.labels_BT[:1] = torch.nan
    whole = model.losses(model(*examples.inputs).outputs, examples.labels_BT, examples.weights_BT)
    parts = [examples[:1], examples[1:100], examples[100:]]
    totals = [model.label_totals(part.labels_BT, part.weights_BT) for part in parts]
    mean_T = sum(totals) / 3
    shares = [
        model.losses(model(*part.inputs).outputs, part.labels_BT, part.weights_BT, totals_T=mean_T)
        for part in parts
    ]
    assert [share.item() for share in shares[0]] == [0.0, 0.0]
    assert shares[1][1].item() == 0.0 and shares[1][1].requires_grad
    for task, loss in enumerate(whole):
        torch.testing.assert_close(sum(share[task] for share in shares) / 3, loss)
    absent = model.losses(
        model(*parts[1].inputs).outputs, parts[1].labels_BT, totals_T=torch.zeros(2)
    )
    assert absent == [None, None]


@pytest.mark.parametrize("rule", [Equal, MGDA, FAMO])
@pytest.mark.parametrize("measure_at", ["seam", "parameters"])
def test_a_group_of_one_trains_as_no_group(
    rule: type[Balancer], measure_at: str, ranks: Ranks, examples: Examples
) -> None:
    weights, steps = [], []
    for group in (None, ranks):
        run = make_run(rule(2), group, measure_at=measure_at, validations_per_epoch=2)
        steps.append(list(train(run, examples, valid=examples)))
        weights.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)
    for alone, grouped in zip(*steps, strict=True):
        assert (alone.step, alone.rows) == (grouped.step, grouped.rows)
        assert (alone.validation is None) == (grouped.validation is None)


def test_a_loss_that_is_not_finite_is_named(ranks: Ranks, examples: Examples) -> None:
    examples.inputs[0][7] = torch.inf
    with pytest.raises(UserError, match="the loss of a is not finite at step"):
        list(train(make_run(Equal(2), ranks), examples))


class Second(Ranks):
    """The second of two, which hears what the first one shared."""

    heard: list[object]

    @property
    def rank(self) -> int:
        return 1

    def share(self, value: object) -> object:
        assert value is None
        return self.heard.pop(0)


class First(Ranks):
    def share(self, value: object) -> object:
        self.heard.append(value)
        return value


First.heard = Second.heard = []


def test_the_others_follow_the_first_rank(ranks: Ranks, examples: Examples) -> None:
    first, second = make_run(MGDA(2), First()), make_run(MGDA(2), Second())
    for step in train(first, examples):
        if step.step == 3:
            break
    First.heard.clear()
    share_state(first)
    share_state(second)
    assert second.progress == first.progress
    for mine, theirs in zip(first.model.parameters(), second.model.parameters()):
        assert torch.equal(mine, theirs)
    told = validate(first, examples)
    assert validate(second, examples) is told
    assert second.progress.best_score == first.progress.best_score == told.score
    assert validate(first, examples).is_best is False
    validate(second, examples)
    assert second.progress.validations_since_best == first.progress.validations_since_best == 1
