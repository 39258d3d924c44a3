"""Linear multi-task models in closed form: what theory says of them can be checked, not only trained.

The model is f(A_1 .. A_T; B) = sum_i alpha_i |X_i B A_i - y_i|^2 with B (D, R) shared and A_i (R,) each
task's own (Wu, Zhang and Re, ICLR 2020, section 2: https://openreview.net/forum?id=SylzhkBtDB).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """B (D, R), the columns A_i of `own_RT`, and the loss that they leave."""

    shared_DR: Tensor
    own_RT: Tensor
    loss: float

    @property
    def theta_DT(self) -> Tensor:
        """B A_i: each task's coefficients."""
        return self.shared_DR @ self.own_RT


def alone(x_BD: Tensor, y_B: Tensor) -> Tensor:
    """theta = (X^T X)^+ X^T y: least squares of smallest length.

    **Shape** (B, D), (B,) -> (D,).

    >>> alone(torch.tensor([[2.0, 0.0]]), torch.tensor([4.0]))
    tensor([2., 0.])
    """
    theta_D: Tensor = torch.linalg.pinv(x_BD) @ y_B
    return theta_D


def together(
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    rank: int,
    weights: Sequence[float] | None = None,
    start_DR: Tensor | None = None,
    most_rounds: int = 500,
    tolerance: float = 1e-10,
) -> LinearFit:
    """The weighted sum of squares at its minimum, by alternating least squares for the A_i and for B.

    B begins at `start_DR`, or at the leading directions of the tasks' own solutions. Each round lowers
    the loss; the rounds end when it falls by less than `tolerance` of itself.
    They are slow where inputs are ill-conditioned: see `best_pair` for two tasks that share one direction.

    >>> x_BD = torch.eye(3).double()
    >>> y = [torch.tensor([1.0, 0.0, 0.0]).double(), torch.tensor([2.0, 0.0, 0.0]).double()]
    >>> together([x_BD, x_BD], y, rank=1).loss < 1e-12
    True
    """
    alpha = [1.0] * len(inputs) if weights is None else list(weights)
    grams = [x_BD.T @ x_BD for x_BD in inputs]
    crosses = [x_BD.T @ y_B for x_BD, y_B in zip(inputs, labels)]
    if start_DR is None:
        own = torch.stack([alone(x_BD, y_B) for x_BD, y_B in zip(inputs, labels)], dim=1)
        start_DR = torch.linalg.svd(own, full_matrices=False).U[:, :rank]
    shared_DR, before = start_DR, float("inf")
    for _ in range(most_rounds):
        own_RT = _best_own(shared_DR, inputs, labels)
        shared_DR = _best_shared(own_RT, grams, crosses, alpha)
        theta_DT = shared_DR @ own_RT
        loss = sum(
            a * float((x_BD @ theta_D - y_B).square().sum())
            for a, x_BD, y_B, theta_D in zip(alpha, inputs, labels, theta_DT.T)
        )
        if before - loss <= tolerance * loss:
            break
        before = loss
    return LinearFit(shared_DR, own_RT, loss)


def best_pair(inputs: Sequence[Tensor], labels: Sequence[Tensor]) -> LinearFit:
    """Two tasks that share one direction, exactly: the global minimum of the sum of squares.

    For a ratio of the two A_i, written as an angle, B solves least squares; what is left is a search on a
    line, on a grid that is fine near both axes, where one of the tasks has B nearly to itself.

    >>> x_BD = torch.eye(2).double()
    >>> y = [torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 2.0]).double()]
    >>> round(best_pair([x_BD, x_BD], y).loss, 6)  # one direction serves the larger label alone
    1.0
    """
    grams = torch.stack([x_BD.T @ x_BD for x_BD in inputs])
    crosses = torch.stack([x_BD.T @ y_B for x_BD, y_B in zip(inputs, labels)])
    fine = torch.logspace(-6, -1.5, 40, dtype=torch.float64)
    coarse = torch.linspace(0, math.pi, 120, dtype=torch.float64)[1:-1]
    near = torch.cat([fine, math.pi / 2 - fine, math.pi / 2 + fine, math.pi - fine])
    angles = torch.cat([coarse, near]).sort().values
    explained = [float(_explained(angle, grams, crosses)[0]) for angle in angles]
    place = max(range(len(angles)), key=explained.__getitem__)
    low, high = (float(angles[min(max(p, 0), len(angles) - 1)]) for p in (place - 1, place + 1))
    found = minimize_scalar(
        lambda angle: -float(_explained(torch.tensor(angle), grams, crosses)[0]),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-12},
    )
    angle = torch.tensor(found.x, dtype=torch.float64)
    if -found.fun < explained[place]:
        angle = angles[place]
    gain, shared_D = _explained(angle, grams, crosses)
    own_RT = torch.stack([angle.cos(), angle.sin()])[None]
    squares = sum(float(y_B.square().sum()) for y_B in labels)
    return LinearFit(shared_D[:, None], own_RT, squares - float(gain))


def best_shared_space(
    x_BD: Tensor, labels_BT: Tensor, *, rank: int, weights_T: Tensor | None = None
) -> Tensor:
    """An orthonormal basis of the span of B* where all tasks have one X (Proposition 3).

    colspan(B*) = colspan((X^T X)^-1 V D Q_r), with X = U D V^T and Q_r Q_r^T the best approximation of
    rank r of sum_i alpha_i U^T y_i y_i^T U. Every local minimum is a global one.

    **Shape** (B, D), (B, T) -> (D, rank).

    >>> best_shared_space(torch.eye(2), torch.tensor([[3.0], [0.0]]), rank=1).abs().tolist()
    [[1.0], [0.0]]
    """
    left_BD, values_D, right_DD = torch.linalg.svd(x_BD, full_matrices=False)
    seen_DT = left_BD.T @ labels_BT
    if weights_T is not None:
        seen_DT = seen_DT * weights_T.sqrt()
    leading_DR = torch.linalg.svd(seen_DT, full_matrices=False).U[:, :rank]
    basis_DR: Tensor = torch.linalg.qr(right_DD.T @ (leading_DR / values_D[:, None])).Q
    return basis_DR


def _explained(angle: Tensor, grams: Tensor, crosses: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the labels' squares the best B explains at this ratio, and that B."""
    own_T = torch.stack([angle.cos(), angle.sin()]).double()
    system = (own_T.square()[:, None, None] * grams).sum(0)
    right_D = own_T @ crosses
    solution: Tensor = torch.linalg.lstsq(system, right_D[:, None], driver="gelsd").solution
    return right_D @ solution[:, 0], solution[:, 0]


def _best_own(shared_DR: Tensor, inputs: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    return torch.stack([alone(x_BD @ shared_DR, y_B) for x_BD, y_B in zip(inputs, labels)], dim=1)


def _best_shared(
    own_RT: Tensor, grams: Sequence[Tensor], crosses: Sequence[Tensor], alpha: Sequence[float]
) -> Tensor:
    """The normal equations of vec(B): sum_i alpha_i (A_i A_i^T kron Sigma_i) vec(B) = vec(sum ...)."""
    num_features, rank = len(crosses[0]), len(own_RT)
    system = sum(
        a * torch.kron(own_R.outer(own_R), gram)
        for a, own_R, gram in zip(alpha, own_RT.T.contiguous(), grams)
    )
    right = sum(
        a * own_R.outer(cross).flatten()
        for a, own_R, cross in zip(alpha, own_RT.T.contiguous(), crosses)
    )
    assert isinstance(system, Tensor) and isinstance(right, Tensor)
    solution: Tensor = torch.linalg.lstsq(system, right[:, None], driver="gelsd").solution
    return solution[:, 0].view(rank, num_features).T
