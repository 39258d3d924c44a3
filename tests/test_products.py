"""Products by oneDNN are those of torch, to rounding, with their gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polytask import products

SHAPES = [(1024, 408, 528), (1024, 520, 32), (1024, 32, 400), (7, 5, 3), (0, 5, 3), (1, 3000, 1000)]


@pytest.fixture(params=["as it is", "oneDNN"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both, where torch has both; on the processor of the test only one is taken by itself."""
    if request.param == "oneDNN":
        if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            pytest.skip("this build of torch has no oneDNN")
        monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


def of(shape: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    num_rows, width, num_outputs = shape
    generator = torch.Generator().manual_seed(0)
    sizes = [(num_rows, width), (num_outputs, width), (num_outputs,)]
    return [torch.randn(size, generator=generator, dtype=dtype).requires_grad_() for size in sizes]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_values_and_gradients(shape: tuple[int, int, int], has_bias: bool) -> None:
    inputs = of(shape)[: 3 if has_bias else 2]
    seed_BH = torch.randn(shape[0], shape[2], generator=torch.Generator().manual_seed(1))
    found, exact = list[Tensor](), list[Tensor]()
    for results, function, dtype in (
        (found, products.linear, torch.float32),
        (exact, functional.linear, torch.float64),
    ):
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in inputs]
        y_BH = function(*leaves)
        results += [y_BH, *torch.autograd.grad(y_BH, leaves, seed_BH.to(dtype))]
    for ours, theirs, leaf in zip(found, exact, [found[0], *inputs]):
        size = theirs.abs().max().item() if theirs.numel() else 1.0
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=2e-6 * max(size, 1.0))
        assert ours.is_contiguous() and ours.shape == leaf.shape
    with torch.no_grad():
        assert torch.equal(products.linear(*inputs), found[0])


@pytest.mark.usefixtures("library")
def test_a_gradient_has_a_gradient() -> None:
    leaves = of((1024, 64, 64))
    y_BH = products.linear(*leaves)
    (gradient_HD,) = torch.autograd.grad(y_BH.square().sum(), leaves[1], create_graph=True)
    (second_HD,) = torch.autograd.grad(gradient_HD.sum(), leaves[1])
    x_BD = leaves[0].detach()
    torch.testing.assert_close(second_HD, (2 * x_BD.t() @ x_BD).sum(0).expand_as(second_HD))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_torch_s(dtype: torch.dtype) -> None:
    inputs = of((1024, 64, 64), dtype)
    assert torch.equal(products.linear(*inputs), functional.linear(*inputs))


@pytest.mark.usefixtures("library")
def test_under_autocast_products_are_rounded_as_torch_rounds_them() -> None:
    inputs = of((1024, 64, 64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.linear(*inputs).dtype == torch.bfloat16


@pytest.mark.usefixtures("library")
def test_a_layer_is_exported_as_torch_s_own() -> None:
    layer = products.Linear(64, 64)
    free = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(layer, (torch.randn(1024, 64),), dynamic_shapes=(free,))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["aten.linear.default"]
