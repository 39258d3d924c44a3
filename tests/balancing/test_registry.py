"""A rule from outside of the package: one class, one line."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    BALANCERS,
    WRAPPERS,
    Balancer,
    GramRule,
    Measurement,
    Scalarization,
    SVDReweighting,
    Weights,
    Wrapper,
    balanced_backward,
    register,
)


def test_a_rule_of_ones_own_by_name() -> None:
    @register("longest")
    class Longest(GramRule):
        """All weight on the task with the longest gradient."""

        def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
            is_longest_A = gram_AA.diagonal() == gram_AA.diagonal().max()
            return is_longest_A.double()

    x = torch.ones(2, requires_grad=True)
    step = balanced_backward([x[0], 3.0 * x[1]], BALANCERS["longest"](2))
    assert step.weights.shared_T.tolist() == [0.0, 1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 3.0]


def test_a_wrapper_of_ones_own_is_a_wrapper() -> None:
    @register("halved")
    class Halved(Wrapper):
        def weigh(self, measured: Measurement, tasks_A: Tensor) -> Weights:
            shared_A, private_A = self.inner.weigh(measured, tasks_A)
            return Weights(0.5 * shared_A, private_A)

    assert WRAPPERS["halved"] is Halved
    assert "halved" not in BALANCERS
    x = torch.ones(2, requires_grad=True)
    step = balanced_backward([x[0], 3.0 * x[1]], Halved(BALANCERS["upgrad"](2)))
    assert step.weights.shared_T.tolist() == [0.25, 0.25]


def test_names_are_given_once() -> None:
    with pytest.raises(ValueError, match="'mgda' is the name of MGDA"):

        @register("mgda")
        class Mine(Scalarization):
            def derivative(
                self, losses_A: Tensor, tasks_A: Tensor, measured: Measurement
            ) -> Tensor:
                return losses_A

    with pytest.raises(TypeError, match="is no rule"):
        register("function")(lambda num_tasks: None)
    assert "function" not in BALANCERS


def test_all_that_is_not_abstract_in_the_room_is_registered_and_final() -> None:
    """A rule that was written but never named could not be chosen."""

    def below(kind: type[Balancer]) -> Iterator[type[Balancer]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    # Its features are observed by the caller, so that no option could make one work.
    named = {*BALANCERS.values(), *WRAPPERS.values(), SVDReweighting}
    ours = {rule for rule in below(Balancer) if rule.__module__.startswith("polytask.")}
    assert {rule for rule in ours if not rule.__abstractmethods__} == named
    # A rule is changed by wrapping it, never by deriving from it.
    assert not any(rule.__subclasses__() for rule in named)
