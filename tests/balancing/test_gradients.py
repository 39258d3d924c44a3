"""The Gram matrix block by block, and rules per coordinate block by block."""

import pytest
import torch
from torch import Tensor

from polytask.balancing.coordinate import grad_drop
from polytask.balancing.gradients import Place, Rows, gram_of, jacobian_of


def rows_of(gradients: list[Tensor | None]) -> Rows:
    leaf = torch.zeros(1, requires_grad=True)
    tasks = frozenset(t for t, gradient in enumerate(gradients) if gradient is not None)
    return Rows(Place.at(leaf, tasks), gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("num_tasks", [2, 5, 6, 11])
def test_the_gram_matrix_is_exact_in_every_dtype(num_tasks: int, dtype: torch.dtype) -> None:
    """Few and many tasks take different products; 70,000 columns are two blocks and a part."""
    generator = torch.Generator().manual_seed(num_tasks)
    whole_TN = torch.randn(num_tasks, 70_000, generator=generator).to(dtype)
    part_TN = torch.randn(num_tasks, 3, 5, generator=generator).to(dtype)
    rows = [rows_of(list(whole_TN)), rows_of([None, *part_TN[1:]])]
    part_TN[0] = 0
    expected_TT = sum(x.flatten(1).double() @ x.flatten(1).double().T for x in (whole_TN, part_TN))
    gram_TT = gram_of(rows, num_tasks)
    torch.testing.assert_close(gram_TT, expected_TT, rtol=1e-12, atol=1e-9)
    jacobian_AP = jacobian_of(rows, [0, 1])
    assert torch.equal(jacobian_AP, torch.cat([whole_TN, part_TN.flatten(1)], dim=1)[:2])


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_blocks_of_coordinates_are_decided_about_as_the_whole(leak: float) -> None:
    generator = torch.Generator().manual_seed(1)
    jacobian_TP = torch.randn(3, 40_000, generator=generator, dtype=torch.float64)
    uniform_P = torch.rand(40_000, generator=generator, dtype=torch.float64)
    leak_T = torch.tensor([leak, 0.0, 1.0])
    found_P = grad_drop(jacobian_TP, uniform_P, leak_T)
    share_P = (1 + jacobian_TP.sum(0) / jacobian_TP.abs().sum(0)) / 2
    kept_TP = jacobian_TP.where((jacobian_TP > 0) == (share_P > uniform_P), 0)
    leak_T1 = leak_T.double()[:, None]
    expected_P = (leak_T1 * jacobian_TP + (1 - leak_T1) * kept_TP).sum(0)
    torch.testing.assert_close(found_P, expected_P)
