"""Our embedding's gradient is torch's, bit for bit."""

import pytest
import torch
from torch.nn import functional

from polytask.inputs.lookup import embedding


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (257, 5)])
def test_value_and_gradient_are_torch_s(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    rows_BC = torch.randint(0, 11, shape)
    weight_VK = torch.randn(12, 3, dtype=dtype)
    seed_BCK = torch.randn(*shape, 3, dtype=dtype)
    found = []
    for look_up in (embedding, functional.embedding):
        leaf = weight_VK.clone().requires_grad_()
        vectors_BCK = look_up(rows_BC, leaf)
        vectors_BCK.backward(seed_BCK)
        found.append((vectors_BCK, leaf.grad))
    (ours, our_gradient), (theirs, their_gradient) = found
    assert torch.equal(ours, theirs)
    assert our_gradient.dtype == dtype and torch.equal(our_gradient, their_gradient)


def test_gradients_of_several_losses_may_be_taken_one_after_another() -> None:
    leaf = torch.randn(4, 2, requires_grad=True)
    vectors = embedding(torch.tensor([[0, 1], [1, 1]]), leaf)
    first, second = vectors[0].sum(), vectors[1].sum()
    (one,) = torch.autograd.grad(first, leaf, retain_graph=True)
    (two,) = torch.autograd.grad(second, leaf)
    assert one.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    assert two.tolist() == [[0, 0], [2, 2], [0, 0], [0, 0]]


def test_an_id_beyond_the_table_is_refused() -> None:
    with pytest.raises(IndexError):
        embedding(torch.tensor([[4]]), torch.randn(4, 2, requires_grad=True))
