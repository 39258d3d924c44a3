"""The gradient of each task at each place, their Gram matrix and their weighted sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from polytask import kernels
from polytask.balancing.measurement import Losses

# Blocks that stay in a CPU's cache; on an accelerator large ones, for few launches.
_BLOCK_ON_HOST = 1 << 15
_BLOCK_ON_DEVICE = 1 << 22
# From so many rows on NumPy is faster than torch: it computes half of a symmetric product.
_FEWEST_FOR_NUMPY = 6


def block_size(device: torch.device) -> int:
    """How many columns of a Jacobian to work on at once."""
    return _BLOCK_ON_HOST if device.type == "cpu" else _BLOCK_ON_DEVICE


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where gradients are taken: a leaf, or (`leaf` is None) a tensor inside the graph."""

    edge: GradientEdge
    tasks: frozenset[int]
    leaf: Tensor | None = None

    @classmethod
    def at(cls, leaf: Tensor, tasks: frozenset[int]) -> "Place":
        return cls(get_gradient_edge(leaf), tasks, leaf)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The gradients of the tasks at one place; None where a task does not reach it."""

    place: Place
    by_task: list[Tensor | None]

    def example(self) -> Tensor | None:
        """Any one of the gradients, for its shape and dtype."""
        return next((row for row in self.by_task if row is not None), None)

    def weighted_sum(self, weights: Sequence[float]) -> Tensor | None:
        """sum_i w_i g_i, a new tensor; 16-bit gradients are summed in float32. None if there is none."""
        present = [(row, w) for row, w in zip(self.by_task, weights) if row is not None]
        if len(present) > 1 and _suits_kernels([row for row, _ in present]):
            return kernels.weighted(*zip(*present))
        total: Tensor | None = None
        for row, weight in present:
            wide = row.float() if row.element_size() < 4 else row
            total = wide * weight if total is None else total.add_(wide, alpha=weight)
        example = self.example()
        return None if total is None or example is None else total.to(example.dtype)


def take_gradients(losses: Losses, places: Sequence[Place], *, keep_graph: bool) -> list[Rows]:
    """One backward pass a loss, to the given places only; the last pass frees the graph."""
    rows = [Rows(place, [None] * len(losses)) for place in places]
    present = [(task, loss) for task, loss in enumerate(losses) if loss is not None]
    for task, loss in present:
        mine = [row for row in rows if task in row.place.tasks]
        if not mine:
            continue
        gradients = torch.autograd.grad(
            [loss],
            [row.place.edge for row in mine],
            retain_graph=keep_graph or task != present[-1][0],
            allow_unused=True,
        )
        for row, gradient in zip(mine, gradients):
            row.by_task[task] = gradient
    return rows


def gram_of(rows: Sequence[Rows], num_tasks: int) -> Tensor:
    """J J^T over all places (T, T), float64 on the host: products and sums are made in float64.

    Nothing is concatenated: each place is read block by block. Sparse gradients stay sparse.
    """
    gram_TT = torch.zeros(num_tasks, num_tasks, dtype=torch.float64)
    for row in rows:
        gradients = [gradient for gradient in row.by_task if gradient is not None]
        if not gradients:
            continue
        product = _sparse_gram if any(g.is_sparse for g in gradients) else _dense_gram
        gram_AA = product(gradients)
        if len(gradients) == num_tasks:
            gram_TT += gram_AA
            continue
        tasks_A = torch.tensor(
            [t for t, gradient in enumerate(row.by_task) if gradient is not None]
        )
        gram_TT[tasks_A[:, None], tasks_A] += gram_AA
    return gram_TT


def jacobian_of(rows: Sequence[Rows], tasks: Sequence[int]) -> Tensor:
    """The gradients of these tasks at all places as the rows of one new buffer (A, P)."""
    examples = [row.example() for row in rows]
    present = [example for example in examples if example is not None]
    if any(example.is_sparse for example in present):
        raise ValueError("a rule per coordinate cannot measure sparse embedding gradients")
    sizes = [0 if example is None else example.numel() for example in examples]
    dtype = reduce(torch.promote_types, [example.dtype for example in present])
    jacobian_AP = torch.empty(len(tasks), sum(sizes), dtype=dtype, device=present[0].device)
    for row, columns_AN in zip(rows, torch.split(jacobian_AP, sizes, dim=1)):
        for task, place_N in zip(tasks, columns_AN):
            gradient = row.by_task[task]
            place_N.zero_() if gradient is None else place_N.copy_(gradient.reshape(-1))
    return jacobian_AP


def added_by(leaves: Sequence[Tensor], run: Callable[[], None]) -> list[Tensor | None]:
    """What `run` adds to each leaf's `.grad`, which is afterwards what it was before."""
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        run()
        return [leaf.grad for leaf in leaves]
    finally:
        for leaf, gradient in zip(leaves, before):
            leaf.grad = gradient


def accumulate(leaf: Tensor, gradient: Tensor | None) -> None:
    """What backward() does at a leaf."""
    if gradient is None:
        return
    if leaf.grad is None:
        leaf.grad = gradient
    elif leaf.grad.is_sparse:
        leaf.grad = leaf.grad + gradient
    else:
        leaf.grad.add_(gradient)


def _dense_gram(gradients: Sequence[Tensor]) -> Tensor:
    flat = [gradient.reshape(-1) for gradient in gradients]
    if _suits_kernels(flat):
        return kernels.gram(flat)
    device = flat[0].device
    dtype = torch.float32 if device.type == "mps" else torch.float64
    size = min(block_size(device), max(1, len(flat[0])))
    block_AN = torch.empty(len(flat), size, dtype=dtype, device=device)
    gram_AA = torch.zeros(len(flat), len(flat), dtype=dtype, device=device)
    by_numpy = device.type == "cpu" and len(flat) >= _FEWEST_FOR_NUMPY
    for start in range(0, len(flat[0]), size):
        part_AN = block_AN[:, : len(flat[0]) - start]
        for place, vector in zip(part_AN, flat):
            place.copy_(vector[start : start + size])
        if by_numpy:
            gram_AA += torch.from_numpy(part_AN.numpy() @ part_AN.numpy().T)
        else:
            gram_AA.addmm_(part_AN, part_AN.T)
    return gram_AA.cpu().double()


def _suits_kernels(vectors: Sequence[Tensor]) -> bool:
    """Whether these are long, dense and without gaps, as kernels take them."""
    return not any(v.is_sparse or not v.is_contiguous() for v in vectors) and (
        kernels.suits(vectors[0].numel(), *vectors)
    )


def _sparse_gram(gradients: Sequence[Tensor]) -> Tensor:
    wide = [gradient.coalesce().double() for gradient in gradients]
    products = [[(mine * theirs).coalesce().values().sum() for theirs in wide] for mine in wide]
    return torch.stack([torch.stack(line) for line in products]).cpu()
