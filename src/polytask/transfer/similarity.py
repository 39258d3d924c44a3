"""How alike the inputs of tasks are: covariance similarity (Wu, Zhang and Re, ICLR 2020, eq. 5).

Paper: https://openreview.net/forum?id=SylzhkBtDB
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK = 16_384
"""Rows multiplied at a time: the sums of the pieces are kept in float64."""


def second_moment(x_BD: Tensor) -> Tensor:
    """Sigma = X^T X (D, D), float64: neither centred nor divided by the rows, as in the paper.

    **Shape** (B, D) -> (D, D).

    >>> second_moment(torch.tensor([[1.0, 0.0], [1.0, 2.0]])).tolist()
    [[2.0, 2.0], [2.0, 4.0]]
    """
    if x_BD.ndim != 2:
        raise ValueError(f"features must be (rows, features), but {x_BD.shape=}")
    total_DD = torch.zeros(x_BD.shape[1], x_BD.shape[1], dtype=torch.float64)
    for start in range(0, len(x_BD), _CHUNK):
        piece_BD = x_BD[start : start + _CHUNK].detach()
        total_DD += (piece_BD.T @ piece_BD).double().cpu()
    return total_DD


def truncated(moment_DD: Tensor, *, energy: float = 0.99) -> Tensor:
    """The best approximation of the smallest rank that holds `energy` of the eigenvalues' sum.

    **Shape** (D, D) -> (D, D).

    >>> truncated(torch.diag(torch.tensor([999.0, 1.0]).double())).diagonal().tolist()
    [999.0, 0.0]
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy must be above 0 and at most 1, but {energy=}")
    values_D, vectors_DD = torch.linalg.eigh(moment_DD)
    values_D = values_D.clamp_min(0).flip(0)
    vectors_DD = vectors_DD.flip(1)
    share_D = values_D.cumsum(0) / values_D.sum()
    # Rounding must not take one more eigenvalue than an exact sum would.
    rank = int((share_D < energy - 1e-12).sum()) + 1
    kept_DR = vectors_DD[:, :rank]
    cut_DD: Tensor = (kept_DR * values_D[:rank]) @ kept_DR.T
    return cut_DD


def covariance_similarity(first_DD: Tensor, second_DD: Tensor, *, energy: float = 0.99) -> Tensor:
    """sqrt(tr(S1 S2) / (tr S1 tr S2)) of two second moments, each cut to 99 % of its eigenvalues.

    That is |(U1 D1^1/2)^T U2 D2^1/2|_F / (|U1 D1^1/2|_F |U2 D2^1/2|_F), eq. 5. It lies in [0, 1], but a
    matrix beside itself gives 1 / sqrt(effective rank), not 1: compare scores at like rank only, or take
    `covariance_cosine`. A common rotation of both inputs changes nothing, one of one input does.

    **Shape** (D, D), (D, D) -> ().

    >>> covariance_similarity(torch.eye(4).double(), torch.eye(4).double()).item()
    0.5
    """
    first_DD, second_DD = (truncated(each, energy=energy) for each in (first_DD, second_DD))
    return (_inner(first_DD, second_DD) / (first_DD.trace() * second_DD.trace())).sqrt()


def covariance_cosine(first_DD: Tensor, second_DD: Tensor, *, energy: float = 0.99) -> Tensor:
    """tr(S1 S2) / (|S1|_F |S2|_F) of the same cut matrices: their cosine, 1 for a matrix beside itself.

    DIFF: this is not the paper's score but its normalised variant.

    **Shape** (D, D), (D, D) -> ().

    >>> covariance_cosine(torch.eye(4).double(), torch.eye(4).double()).item()
    1.0
    """
    first_DD, second_DD = (truncated(each, energy=energy) for each in (first_DD, second_DD))
    cosine: Tensor = _inner(first_DD, second_DD) / (first_DD.norm() * second_DD.norm())
    return cosine


def similarity_matrices(
    moments: Sequence[Tensor], *, energy: float = 0.99
) -> tuple[Tensor, Tensor]:
    """`covariance_similarity` and `covariance_cosine` of every pair of T second moments.

    A moment is cut once, not once a pair. NaN where a moment is all zero: a task without rows.

    **Shape** T of (D, D) -> (T, T), (T, T).

    >>> score_TT, cosine_TT = similarity_matrices([torch.eye(4).double()] * 2)
    >>> score_TT[0, 1].item(), cosine_TT[0, 1].item()
    (0.5, 1.0)
    """
    cut = torch.stack([truncated(moment_DD, energy=energy) for moment_DD in moments])
    traces_T = cut.diagonal(dim1=1, dim2=2).sum(1)
    inner_TT = torch.einsum("tij,sij->ts", cut, cut).clamp_min(0)
    lengths_T = inner_TT.diagonal().sqrt()
    score_TT = (inner_TT / torch.outer(traces_T, traces_T)).sqrt()
    return score_TT, inner_TT / torch.outer(lengths_T, lengths_T)


def _inner(first_DD: Tensor, second_DD: Tensor) -> Tensor:
    """tr(S1 S2) of symmetric matrices, at least 0."""
    return (first_DD * second_DD).sum().clamp_min(0)
