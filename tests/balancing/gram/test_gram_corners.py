"""Zero gradients, one task, and options outside their range."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from polytask.balancing import gram

Draw = Callable[..., Tensor]


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gram_of(jacobian_TP: Tensor) -> Tensor:
    return jacobian_TP @ jacobian_TP.T


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the length of the whole vector."""
    assert float((actual - expected).norm()) <= tolerance * float(expected.norm())


def test_zero_gradients_leave_the_others_as_they_are(draw: Draw) -> None:
    """A task at its optimum is present: what that means, rule by rule."""
    jacobian_TP = draw(4, spread=1e2)
    more_TP = torch.cat([jacobian_TP, torch.zeros(1, 60).double()])
    gram_TT, more_TT = gram_of(jacobian_TP), gram_of(more_TP)
    for rule in (gram.nash_mtl, gram.imtl_g, gram.config, gram.aligned_mtl):
        assert_close(rule(more_TT), torch.cat([rule(gram_TT), torch.zeros(1).double()]), 1e-12)
    one = torch.ones(1).double()
    order = [[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]
    inner_order = [row[:-1] for row in order[:-1]]
    assert_close(
        gram.pcgrad(more_TT, order=order),
        torch.cat([gram.pcgrad(gram_TT, order=inner_order), one]),
        1e-12,
    )
    preference = [0.2, 0.4, 0.1, 0.3]
    for rule in (gram.upgrad, gram.dual_proj):
        expected_T = torch.cat([rule(gram_TT, preference=preference), 0.7 * one])
        assert_close(rule(more_TT, preference=[*preference, 0.7]), expected_T, 1e-12)
    assert torch.equal(gram.mgda(more_TT), doubles([0.0, 0.0, 0.0, 0.0, 1.0]))
    # CAGrad: no step helps the worst task; the projection of the mean on the dual cone is left.
    conflicting_TP = torch.cat([draw(2, 2, seed=1), torch.zeros(1, 2).double()])
    direction_P = gram.cagrad(gram_of(conflicting_TP), c=0.9) @ conflicting_TP
    expected_P = gram.dual_proj(gram_of(conflicting_TP)) @ conflicting_TP
    assert_close(direction_P, expected_P, 1e-10)


def test_one_task() -> None:
    gram_TT = doubles([[4.0]])
    for rule in (gram.mgda, gram.pareto_efficient, gram.pcgrad, gram.imtl_g, gram.config,
                 gram.aligned_mtl, gram.upgrad, gram.dual_proj):  # fmt: skip
        assert_close(rule(gram_TT), torch.ones(1).double(), 1e-14)
    assert_close(gram.nash_mtl(gram_TT), doubles([0.5]), 1e-14)
    assert_close(gram.cagrad(gram_TT, c=0.5), doubles([1.5]), 1e-14)


def test_options_outside_their_range_are_refused() -> None:
    gram_TT = torch.eye(2)
    with pytest.raises(ValueError, match="normalisation must be one of"):
        gram.mgda(gram_TT, normalisation="l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs losses_T"):
        gram.mgda(gram_TT, normalisation="loss+")
    with pytest.raises(ValueError, match="solver must be"):
        gram.pareto_efficient(gram_TT, solver="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction must be"):
        gram.pcgrad(gram_TT, reduction="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay must be"):
        gram.gradvac(gram_TT, target_TT=torch.zeros(2, 2), decay=1.5)
    with pytest.raises(ValueError, match="target_TT must be"):
        gram.gradvac(gram_TT, target_TT=torch.zeros(3, 3))
    with pytest.raises(ValueError, match="c must be"):
        gram.cagrad(gram_TT, c=-0.1)
    with pytest.raises(ValueError, match="reduction must be"):
        gram.cagrad(gram_TT, reduction="max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rescale must be"):
        gram.cagrad(gram_TT, rescale=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale must be"):
        gram.aligned_mtl(gram_TT, scale="max")  # type: ignore[arg-type]
