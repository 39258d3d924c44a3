"""The kernels of C against torch's own operators, and what happens where they cannot be had."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from polytask import kernels
from polytask.kernels import compiled
from polytask.kernels.fold import Columns, FoldKernel

needs_kernels = pytest.mark.skipif(kernels.state().startswith("no"), reason=kernels.state())


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 300),
    experts=st.integers(1, 5),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_layer_of_experts(
    batch: int, experts: int, widths: tuple[int, int], threads: int, seed: int
) -> None:
    inputs, outputs = (16 * width for width in widths)
    x = drawn(seed, batch, experts, inputs).requires_grad_()
    weight = (drawn(seed + 1, experts, inputs, outputs) * inputs**-0.5).requires_grad_()
    bias = drawn(seed + 2, experts, 1, outputs).requires_grad_()
    dy = drawn(seed + 3, batch, experts, outputs)
    leaves = (x, weight, bias)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = kernels.experts_forward(*(leaf.detach() for leaf in leaves))
        found = kernels.experts_backward(x.detach(), weight.detach(), y, dy)
    finally:
        torch.set_num_threads(before)
    expected = torch.baddbmm(bias, x.transpose(0, 1), weight).transpose(0, 1)
    torch.testing.assert_close(y, expected.relu(), rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(expected, leaves, dy * (y > 0))
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-4)


@needs_kernels
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_a_mixture(batch: int, experts: int, width: int, seed: int) -> None:
    gate = drawn(seed, batch, experts).requires_grad_()
    x = drawn(seed + 1, batch, experts, 16 * width).requires_grad_()
    dy = drawn(seed + 2, batch, 16 * width)
    expected = (gate.unsqueeze(-1) * x).sum(1)
    found = kernels.mix_forward(gate.detach(), x.detach())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(expected, (gate, x), dy)
    by_kernel = kernels.mix_backward(gate.detach(), x.detach(), dy)
    torch.testing.assert_close(by_kernel, gradients, rtol=1e-4, atol=1e-4)


def folded(
    threads: int, seed: int, outputs: int, *, shares: bool, rectified: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and gradients of a fold by the kernel, and by products of rows that were looked up."""
    generator = torch.Generator().manual_seed(seed)
    sizes, batch, inputs = (1, 4, 30), 57, 12
    tables = [drawn(seed, 5, 3).requires_grad_(), drawn(seed + 1, 30, 2)]
    share = 0 if shares else -1
    columns = [[1, 0, 9, 3, 0, 0, -1], [4, 1, 2, 3, 0, 1, -1], [30, 5, 5, 2, 1, 0, share]]
    ids = torch.stack([torch.randint(n, (batch,), generator=generator) for n in sizes], dim=1)
    of_rows = drawn(seed + 2, batch, 1).relu() if shares else None
    rest = drawn(seed + 3, batch, 2)
    weight, bias = drawn(seed + 4, outputs, inputs), drawn(seed + 5, outputs)
    dy = drawn(seed + 6, batch, outputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        kernel = FoldKernel(Columns(columns, torch.tensor([0, 7])), tables, ids, of_rows, rest)
        y = kernel.forward(weight, bias, None, is_rectified=rectified)
        below, dweight, dbias = torch.empty_like(dy), torch.empty_like(weight), torch.empty(outputs)
        dtables = kernel.backward(
            weight,
            y if rectified else None,
            dy,
            dz_BH=below,
            dweight_HD=dweight,
            dbias_H=dbias,
        )
    finally:
        torch.set_num_threads(before)
    assert dtables[1] is None
    x = torch.zeros(batch, inputs)
    x[:, [0, 7]] = rest
    x[:, 9:12], x[:, 2:5] = tables[0][0].expand(batch, 3), tables[0][1 + ids[:, 1]]
    x[:, 5:7] = tables[1][ids[:, 2]] * (1 if of_rows is None else of_rows)
    leaves = [tables[0], weight.requires_grad_(), bias.requires_grad_()]
    expected = functional.linear(x, weight, bias)
    expected_below = torch.where(y > 0, dy, 0) if rectified else dy
    gradients = torch.autograd.grad(expected, leaves, expected_below)
    expected = expected.relu() if rectified else expected
    assert isinstance(dtables[0], Tensor)
    return [y, below, dtables[0], dweight, dbias], [expected, expected_below, *gradients]


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 99), st.sampled_from([1, 8, 16, 17, 64, 100, 130]), st.booleans(), st.booleans()
)
def test_a_fold(seed: int, outputs: int, shares: bool, rectified: bool) -> None:
    found, expected = folded(1, seed, outputs, shares=shares, rectified=rectified)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    again, _ = folded(2, seed, outputs, shares=shares, rectified=rectified)
    assert all(map(torch.equal, found, again)), "the number of threads changes no bit"


@needs_kernels
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 11), st.integers(1, 1300), st.integers(0, 99))
def test_a_gram_matrix(count: int, length: int, seed: int) -> None:
    vectors = [10.0**t * drawn(seed + t, length) for t in range(count)]
    whole = torch.stack(vectors).double()
    # Sums round by the lengths of the vectors, whatever their products cancel to.
    lengths = whole.norm(dim=1)
    scale = lengths[:, None] * lengths
    torch.testing.assert_close(
        kernels.gram(vectors) / scale, whole @ whole.T / scale, rtol=0, atol=1e-13
    )


@needs_kernels
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3000), st.integers(0, 99))
def test_sums_over_tasks(count: int, length: int, seed: int) -> None:
    vectors = [drawn(seed + t, length) for t in range(count)]
    weights = drawn(seed + 9, count).tolist()
    expected = sum(weight * vector for weight, vector in zip(weights, vectors))
    torch.testing.assert_close(kernels.weighted(vectors, weights), expected, rtol=1e-4, atol=1e-5)


@needs_kernels
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3000), st.integers(0, 99))
def test_one_sign_a_coordinate(count: int, length: int, seed: int) -> None:
    jacobian = drawn(seed, count, length)
    jacobian[:, ::7] = 0.0
    uniform, leak = drawn(seed + 1, length).sigmoid(), drawn(seed + 2, count).sigmoid()
    rising, falling = jacobian.clamp(min=0).double(), jacobian.clamp(max=0).double()
    up, down = rising.sum(0), falling.sum(0)
    kept = torch.where(
        up > uniform * (up - down),
        up + (leak[:, None] * falling).sum(0),
        down + (leak[:, None] * rising).sum(0),
    )
    found = kernels.one_sign([*jacobian], uniform, leak)
    torch.testing.assert_close(found, kept.float(), rtol=1e-4, atol=1e-4)


@needs_kernels
def test_what_is_not_a_number_stays_so() -> None:
    """Training stops at it: a ReLU must not make a zero of it."""
    x = torch.full((3, 1, 16), torch.nan)
    y = kernels.experts_forward(x, torch.ones(1, 16, 16), torch.zeros(1, 1, 16))
    assert y.isnan().all()


@needs_kernels
@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_id_beyond_its_column_is_refused(wrong: int) -> None:
    columns = Columns([[3, 0, 0, 1, 0, 0, -1]], torch.tensor([], dtype=torch.int64))
    with pytest.raises(IndexError, match="beyond"):
        FoldKernel(columns, [torch.ones(9, 1)], torch.tensor([[wrong]]), None, None)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Nothing is compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled._found.cache_clear()
    yield tmp_path
    compiled._found.cache_clear()


def test_without_a_compiler_there_are_none(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compiled._found() == (
        None,
        "no kernels of C: there is no C compiler (cc, or what CC names)",
    )


def test_a_compiler_that_fails(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = anew / "cc"
    compiler.write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    found, words = compiled._found()
    assert found is None and "it is broken" in words
    assert not list((anew / "polytask" / "kernels").iterdir())


def test_they_can_be_switched_off(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTASK_KERNELS", "off")
    assert compiled._found() == (None, "no kernels of C: the environment says POLYTASK_KERNELS=off")


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_folder_that_others_write_to_is_not_trusted(anew: Path, mode: int) -> None:
    folder = anew / "polytask" / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    assert "others may write" in compiled._found()[1]


@needs_kernels
def test_kernels_of_old_versions_are_removed(anew: Path) -> None:
    """The newest eight stay, this one among them."""
    folder = anew / "polytask" / "kernels"
    folder.mkdir(parents=True, mode=0o700)
    for number in range(12):
        old = folder / f"kernels-{number:024}.so"
        old.touch()
        os.utime(old, (number, number))
    assert compiled._found()[0] is not None
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 8 and kept[:7] == [f"kernels-{number:024}.so" for number in range(5, 12)]
