"""What is dropped out is a function of seed and step; two runs in one process are strangers."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import FAMO
from polytask.streams import InMemoryStream
from polytask.training import TrainingRun, train
from polytask.training.randomness import drawn_from

MakeRun = Callable[..., TrainingRun]


class Masks(nn.Module):
    """Drops x out, and remembers what it dropped."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__()
        self.inner, self.seen = run.model.encoder, []
        run.model.encoder = self

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x_BD = self.inner(inputs)
        mask_BD = nn.functional.dropout(torch.ones_like(x_BD), 0.5)
        self.seen.append(mask_BD)
        return x_BD * mask_BD


def weights_of(run: TrainingRun) -> Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_each_step_draws_anew_and_a_resumed_one_draws_the_same(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    run, resumed = make_run(), make_run()
    whole, rest = Masks(run), Masks(resumed)
    list(train(run, stream))
    for step in train(resumed, stream):
        if step.step == 6:
            break
    list(train(resumed, stream))
    assert (
        len({tuple(mask[:44].flatten().tolist()) for mask in whole.seen}) == len(whole.seen) == 15
    )
    assert all(map(torch.equal, whole.seen, rest.seen))


def test_seeds_drop_out_differently(make_run: MakeRun, stream: InMemoryStream) -> None:
    masks = []
    for seed in (0, 1):
        run = make_run(seed=seed)
        masks.append(Masks(run))
        next(train(run, stream))
    assert not torch.equal(masks[0].seen[0], masks[1].seen[0])


def test_the_losses_before_and_after_a_step_are_of_one_mask(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    """Else FAMO would take the luck of the draw for progress."""
    run = make_run(FAMO(2))
    masks = Masks(run)
    next(train(run, stream))
    assert len(masks.seen) == 2 and torch.equal(*masks.seen)


def test_what_the_caller_draws_changes_no_step_and_steps_change_no_draw(
    make_run: MakeRun, stream: InMemoryStream
) -> None:
    alone, disturbed = make_run(dropout=0.4), make_run(dropout=0.4)
    list(train(alone, stream))
    torch.manual_seed(5)
    expected = torch.rand(15)
    torch.manual_seed(5)
    drawn = torch.cat([torch.rand(1) for _ in train(disturbed, stream)])
    assert torch.equal(drawn, expected)
    assert torch.equal(weights_of(alone), weights_of(disturbed))


def test_two_runs_in_threads_train_as_each_alone(make_run: MakeRun, stream: InMemoryStream) -> None:
    def trained(seed: int) -> Tensor:
        run = runs[seed]
        for _ in train(run, InMemoryStream(stream.table, 16)):
            pass
        return weights_of(run)

    def fresh() -> list[TrainingRun]:
        return [make_run(dropout=0.5, seed=seed, epochs=6) for seed in (0, 1)]

    runs = fresh()
    expected = [trained(0), trained(1)]
    runs = fresh()
    found: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: trained(seed)}))
        for seed in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        assert torch.equal(found[seed], expected[seed])


def test_start_weights_are_of_the_seed_alone_also_in_threads() -> None:
    def made(seed: int) -> Tensor:
        with drawn_from(seed):
            return torch.cat([nn.Linear(30, 30).weight.flatten() for _ in range(20)])

    expected = [made(seed) for seed in range(4)]
    assert not torch.equal(expected[0], expected[1])
    found: dict[int, list[Tensor]] = {seed: [] for seed in range(4)}
    threads = [
        threading.Thread(target=lambda s=seed: found[s].extend(made(s) for _ in range(5)))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(each, expected[s]) for s in range(4) for each in found[s])


def test_the_state_is_put_back_when_something_fails() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="fails"), drawn_from(1):
        torch.rand(3)
        raise RuntimeError("it fails")
    assert torch.equal(torch.get_rng_state(), before)
