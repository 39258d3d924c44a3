"""Gradient accumulation: exact with an Accumulator; micro-batch by micro-batch without."""

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import MGDA, Accumulator, Equal, NashMTL, balanced_backward
from polytask.balancing.balancer import Balancer

NUM_TASKS, NUM_ROWS = 3, 24
SPLITS = [(0, 10), (10, 12), (12, 24)]


class Model(nn.Module):
    """A table and a trunk that all tasks share, a layer that two share, a head a task."""

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3, sparse=sparse)
        self.trunk = nn.Linear(5, 4)
        self.pair = nn.Linear(4, 4)
        self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(NUM_TASKS))

    def losses(self, rows: slice) -> tuple[list[Tensor | None], list[int]]:
        """The mean over the labelled rows, None without any; and how many rows are labelled."""
        generator = torch.Generator().manual_seed(3)
        ids_B = torch.randint(7, (NUM_ROWS,), generator=generator)[rows]
        numbers_BN = torch.randn(NUM_ROWS, 2, generator=generator).to(self.trunk.weight)[rows]
        labels_BT = torch.randn(NUM_ROWS, NUM_TASKS, generator=generator).to(numbers_BN)
        labels_BT = labels_BT * torch.tensor([1.0, 4.0, 0.3]).to(numbers_BN)
        labels_BT[11:20, 1] = torch.nan
        labels_BT[10:12, 2] = torch.nan  # all rows of the second micro-batch
        labels_BT = labels_BT[rows]
        z_BH = self.trunk(torch.cat([self.table(ids_B), numbers_BN], dim=1)).tanh()
        features = [z_BH, self.pair(z_BH).tanh(), self.pair(z_BH)]
        losses: list[Tensor | None] = []
        counts = []
        for task, (head, h_BH) in enumerate(zip(self.heads, features)):
            present_B = ~labels_BT[:, task].isnan()
            error_B = (head(h_BH).squeeze(1) - labels_BT[:, task])[present_B]
            counts.append(int(present_B.sum()))
            losses.append(error_B.square().mean() if counts[-1] else None)
        return losses, counts

    def penalty(self) -> Tensor:
        return 0.01 * self.trunk.weight.square().sum()


def make_model(*, sparse: bool = False) -> Model:
    torch.manual_seed(0)
    return Model(sparse=sparse).double()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: p.grad.to_dense() if p.grad.is_sparse else p.grad
        for name, p in model.named_parameters()
    }


def take(accumulator: Accumulator, model: Model) -> None:
    for first, last in SPLITS:
        losses, counts = model.losses(slice(first, last))
        accumulator.add(losses, counts=counts)


@pytest.mark.parametrize("sparse", [False, True])
def test_micro_batches_equal_the_whole_batch_under_every_rule(member, sparse: bool) -> None:
    whole, parts = make_model(sparse=sparse), make_model(sparse=sparse)
    at_once, gathered = member.make(NUM_TASKS), member.make(NUM_TASKS)
    accumulator = Accumulator(gathered)
    for epoch in range(2):
        for model in (whole, parts):
            model.zero_grad()
        mine = balanced_backward(
            whole.losses(slice(None))[0], at_once, penalty=whole.penalty(), epoch=epoch
        )
        take(accumulator, parts)
        assert all(p.grad is None for p in parts.parameters())
        theirs = accumulator.finish(penalty=parts.penalty(), epoch=epoch)
        torch.testing.assert_close(tuple(mine.weights), tuple(theirs.weights), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(mine.losses_T, theirs.losses_T)
        torch.testing.assert_close(mine.gram_TT, theirs.gram_TT)
        torch.testing.assert_close(gradients(whole), gradients(parts), rtol=1e-9, atol=1e-9)
        for balancer in (at_once, gathered):
            balancer.after_step([torch.tensor(1.0), torch.tensor(0.5), torch.tensor(2.0)])
    assert parts.table.weight.grad.is_sparse == sparse


def test_a_task_that_is_absent_from_all_micro_batches_has_weight_zero() -> None:
    model, accumulator = make_model(), Accumulator(NashMTL(NUM_TASKS))
    for _ in range(2):
        (first, second, _), counts = model.losses(slice(0, 10))
        accumulator.add([first, second, None], counts=counts)
    step = accumulator.finish()
    assert step.weights.shared_T[2] == 0 and step.losses_T.isnan().tolist() == [False, False, True]
    assert model.heads[2].weight.grad is None


def test_narrowed_parameters_are_all_that_is_measured() -> None:
    grams = []
    for accumulates in (False, True):
        model = make_model()
        measured = list(model.trunk.parameters())
        if accumulates:
            accumulator = Accumulator(MGDA(NUM_TASKS), parameters=measured)
            take(accumulator, model)
            grams.append(accumulator.finish().gram_TT)
        else:
            losses, _ = model.losses(slice(None))
            grams.append(balanced_backward(losses, MGDA(NUM_TASKS), parameters=measured).gram_TT)
    torch.testing.assert_close(*grams)


def test_16_bit_gradients_are_added_up_in_32_bits() -> None:
    weight = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    accumulator = Accumulator(Equal(2))
    for _ in range(512):
        accumulator.add([weight.sum(), weight.sum() * 0.5])
    accumulator.finish()
    assert weight.grad.dtype == torch.bfloat16 and weight.grad.item() == 1.5


def test_a_wrong_number_of_counts_is_refused() -> None:
    losses, _ = make_model().losses(slice(0, 10))
    with pytest.raises(ValueError, match="for each of the 3 tasks"):
        Accumulator(Equal(3)).add(losses, counts=[1, 2])


def step_by_step(model: Model, balancer: Balancer) -> None:
    for first, last in SPLITS:
        losses, _ = model.losses(slice(first, last))
        balanced_backward(losses, balancer)


def test_without_an_accumulator_each_micro_batch_is_balanced_by_itself() -> None:
    model, balancer = make_model(), MGDA(NUM_TASKS)
    expected: dict[str, Tensor] = {}
    for first, last in SPLITS:
        alone = make_model()
        balanced_backward(alone.losses(slice(first, last))[0], MGDA(NUM_TASKS))
        for name, parameter in alone.named_parameters():
            if parameter.grad is not None:
                expected[name] = expected.get(name, 0) + parameter.grad
    step_by_step(model, balancer)
    torch.testing.assert_close(gradients(model), expected)
    assert int(balancer.num_steps) == 3
