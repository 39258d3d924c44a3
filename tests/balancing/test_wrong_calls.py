"""What people hand over in the place of losses and of a balancer: one error each, saying what to pass."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import (
    Accumulator,
    Combined,
    Equal,
    Smoothed,
    UPGrad,
    balanced_backward,
    grouped_backward,
)


@pytest.fixture
def losses() -> list[Tensor]:
    torch.manual_seed(0)
    trunk, heads = nn.Linear(4, 4), [nn.Linear(4, 1) for _ in range(3)]
    x_BD = torch.randn(8, 4)
    return [head(trunk(x_BD)).square().mean() for head in heads]


WRONG_LOSSES: list[tuple[str, Callable[[list[Tensor]], object], type[Exception], str]] = [
    ("stack", torch.stack, TypeError, r"one tensor of shape \(3,\).*list with one scalar a task"),
    ("sum", lambda found: found[0], TypeError, r"one tensor of shape \(\)"),
    ("unbind", lambda found: torch.stack(found).unbind(), ValueError, "losses were stacked"),
    ("iterated", lambda found: list(torch.stack(found)), ValueError, "losses were stacked"),
    ("dict", lambda found: dict(zip("abc", found)), TypeError, r"dict.*list\(losses.values\(\)\)"),
    ("generator", iter, TypeError, "list_iterator.*list with one scalar a task"),
    ("numbers", lambda found: [1.0, *found[1:]], TypeError, "the loss of task 0 is a float"),
    ("nothing", lambda _: [], ValueError, "there are no losses"),
]
ENTRANCES: dict[str, Callable[[object, object], object]] = {
    "balanced_backward": lambda losses, balancer: balanced_backward(losses, balancer),
    "Accumulator": lambda losses, balancer: Accumulator(balancer).add(losses),
    "grouped_backward": lambda losses, balancer: grouped_backward(losses, [balancer], [[]]),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [case[1:] for case in WRONG_LOSSES],
    ids=[case[0] for case in WRONG_LOSSES],
)
def test_what_are_no_losses(losses, entrance: str, wrong, error, message: str) -> None:
    with pytest.raises(error, match=message):
        ENTRANCES[entrance](wrong(losses), UPGrad(3))


def test_stacked_losses_are_refused_by_rules_on_the_losses_too(losses) -> None:
    with pytest.raises(ValueError, match="losses were stacked"):
        balanced_backward(torch.stack(losses).unbind(), Equal(3))


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (UPGrad, r"the class UPGrad.*UPGrad\(num_tasks=3\)"),
        ("upgrad", r"the name 'upgrad'.*BALANCERS\['upgrad'\]\(num_tasks=3\)"),
        (None, "NoneType"),
        (torch.ones(3), "Tensor"),
    ],
)
def test_what_is_no_balancer(losses, entrance: str, wrong: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ENTRANCES[entrance](losses, wrong)


@pytest.mark.parametrize(
    "wrap", [Smoothed, lambda rule: Combined(rule, UPGrad(3)), lambda r: Combined(Equal(3), r)]
)
def test_what_cannot_be_wrapped(wrap: Callable[[object], object]) -> None:
    for wrong in (UPGrad, "upgrad"):
        with pytest.raises(TypeError, match="must be a balancer"):
            wrap(wrong)
