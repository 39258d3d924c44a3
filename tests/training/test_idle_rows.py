"""Rows that count in no loss are not computed, and nothing but the time says so."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.auxiliary import AUXILIARIES  # noqa: F401  (rules and losses are entered by their rooms)
from polytask.balancing import BALANCERS, Balancer
from polytask.inputs import SingleInput
from polytask.model import Counts, MultiTaskModel, few_enough, without_idle_rows
from polytask.streams import Batch, InMemoryStream
from polytask.task import Task, binary, regression
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import predict
from polytask.training.labelled import labelled_places, predict_labelled
from polytask.trunks import MMoE

NUM_ROWS = 120
RULES = ("equal", "uncertainty", "upgrad", "graddrop", "dwa")
TASKS = (binary("click"), regression("stars"))


class Counting(nn.Module):
    """Passes rows on, and says how many have come in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {True: 0, False: 0}

    def forward(self, x_BD: Tensor) -> Tensor:
        self.seen[self.training] += len(x_BD)
        return x_BD


def table(*, weights: bool = False) -> Batch:
    """Of three rows the first has a click, the second stars, the third nothing."""
    torch.manual_seed(1)
    x_BD = torch.randn(NUM_ROWS, 4)
    place_B = torch.arange(NUM_ROWS) % 3
    click_B = torch.where(place_B == 0, (x_BD[:, 0] > 0).float(), torch.nan)
    stars_B = torch.where(place_B == 1, x_BD[:, 1], torch.nan)
    given = {"stars": (torch.arange(NUM_ROWS) % 2).float()} if weights else {}
    return Batch({"x": x_BD}, {"click": click_B, "stars": stars_B}, given)


def model_of(tasks: tuple[Task, ...] = TASKS) -> MultiTaskModel:
    torch.manual_seed(0)
    trunk = MMoE(4, len(tasks), num_experts=2, expert_hidden=(6,))
    return MultiTaskModel(SingleInput("x", Counting()), trunk, tasks, tower_hidden=(4,))


def trained(model: MultiTaskModel, rule: str, whole: Batch) -> list[float]:
    """The losses of every step and validation."""
    balancer: Balancer = BALANCERS[rule](len(model.tasks))
    settings = Settings(epochs=3, learning_rate=1e-2, patience=0)
    run = TrainingRun.start(model, balancer, settings=settings)
    losses = []
    for step in train(run, InMemoryStream(whole[:90], 30), valid=whole[90:]):
        losses += step.balancing.losses_T.tolist()
        losses += step.validation.losses.values() if step.validation else ()
    return losses


@pytest.fixture
def all_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def compute_all() -> None:
        monkeypatch.setattr("polytask.model.reduction._MOST_USED", 0.0)

    return compute_all


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_training_is_the_same_without_rows_that_count_nowhere(
    rule: str, weights: bool, all_rows: Callable[[], None]
) -> None:
    spared, whole = model_of(), model_of()
    rows = table(weights=weights)
    ours = trained(spared, rule, rows)
    all_rows()
    theirs = trained(whole, rule, rows)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    for name, parameter in spared.named_parameters():
        torch.testing.assert_close(parameter, whole.get_parameter(name), rtol=1e-3, atol=1e-5)
    of_three = 2 if not weights else 1.5
    seen = spared.encoder.module.seen
    # A batch that has few idle rows by chance keeps them.
    assert 90 * of_three <= seen[True] < 100 * of_three and seen[False] == 60
    assert whole.encoder.module.seen == {True: 3 * 90, False: 3 * 30}


def test_a_task_alone_is_trained_and_scored_on_its_own_rows() -> None:
    model = model_of((binary("click"),))
    trained(model, "equal", table())
    assert model.encoder.module.seen == {True: 3 * 30, False: 3 * 10}
    predicted = predict_labelled(model, table()).values["click"]
    known_B = ~table().labels["click"].isnan().numpy()
    np.testing.assert_array_equal(np.isnan(predicted), ~known_B)
    whole = predict(model, table()).values["click"]
    np.testing.assert_allclose(predicted[known_B], whole[known_B], rtol=1e-6)


def test_calibration_reads_labelled_rows_alone(all_rows: Callable[[], None]) -> None:
    factors = []
    for is_spared in (True, False):
        if not is_spared:
            all_rows()
        rows = table()
        labels = {"stars": rows.labels["stars"].exp()}
        model = model_of((regression("stars", transform="log1p"),))
        trained(model, "equal", Batch(rows.inputs, labels))
        factors.append(model.tasks[0].kind)
    assert factors[0].smearing_factor == pytest.approx(factors[1].smearing_factor, rel=1e-4)
    assert factors[0].smearing_factor != 1


def test_where_all_count_or_none_does_nothing_is_left_out() -> None:
    batch = Batch({"x": torch.zeros(4)})
    everything = Counts((None, torch.tensor([1.0, 0, 0, 0])), (4.0, 1.0))
    nothing = Counts((torch.zeros(4),), (0.0,))
    words = Counts((torch.tensor([1.0, 0, 0]),), (1.0,))
    for counts in (everything, nothing, words):
        assert without_idle_rows(batch, counts) == (batch, counts)
    assert few_enough(torch.tensor([True, True, True, False])).tolist() == [0, 1, 2]
    assert few_enough(torch.tensor([True] * 4 + [False])) is None


def test_labels_of_words_leave_no_row_out() -> None:
    labels = {"click": torch.full((3, 5), torch.nan)}
    assert labelled_places([binary("click")], Batch({"x": torch.zeros(3)}, labels)) is None
    assert labelled_places([binary("click")], Batch({"x": torch.zeros(3)})) is None
