"""Goldens and identities of what Wu, Zhang and Re (ICLR 2020) define."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polytask.balancing import SVDReweighting, balanced_backward
from polytask.balancing.svd_reweighting import label_directions, standardised, svd_weights
from polytask.transfer.linear import alone, best_pair, best_shared_space, together
from polytask.transfer.similarity import (
    covariance_cosine,
    covariance_similarity,
    second_moment,
    similarity_matrices,
    truncated,
)

SEEDS = st.integers(0, 10_000)


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(size: int, *, seed: int) -> Tensor:
    return torch.linalg.qr(drawn(size, size, seed=seed)).Q


def golden(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


@pytest.fixture
def similarity_cases(goldens_folder: Path) -> Iterator[list[dict[str, Any]]]:
    cases = golden(goldens_folder, "covariance_similarity.json")["cases"]
    assert len(cases) >= 9
    return cases


def test_covariance_similarity_has_the_golden_values(similarity_cases) -> None:
    for case in similarity_cases:
        first, second = (second_moment(tensor(case[name])) for name in ("X1", "X2"))
        assert covariance_similarity(first, second).item() == pytest.approx(case["score"], abs=1e-8)
        half = covariance_similarity(first, second, energy=0.5).item()
        assert half == pytest.approx(case["score_energy_0_5"], abs=1e-8)
        cosine = covariance_cosine(first, second).item()
        assert cosine == pytest.approx(case["matrix_cosine_variant"], abs=1e-8)


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    moments = [second_moment(drawn(20, 4, seed=seed) ** 3) for seed in range(3)]
    score_TT, cosine_TT = similarity_matrices(moments)
    for i, first in enumerate(moments):
        for j, second in enumerate(moments):
            torch.testing.assert_close(score_TT[i, j], covariance_similarity(first, second))
            torch.testing.assert_close(cosine_TT[i, j], covariance_cosine(first, second))


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_score_is_the_paper_s_formula_and_in_range(seed: int, size: int) -> None:
    """eq. 5 as printed: with U D^1/2 of both, cut where 99 % of the eigenvalues are reached."""
    rows = [drawn(8, size, seed=seed), drawn(5, size, seed=seed + 1) ** 3]
    factors = []
    for x_BD in rows:
        _, values, right = torch.linalg.svd(x_BD, full_matrices=False)
        share = values.square().cumsum(0) / values.square().sum()
        rank = int((share < 0.99).sum()) + 1
        factors.append(right[:rank].T * values[:rank])
    printed = (factors[0].T @ factors[1]).norm() / (factors[0].norm() * factors[1].norm())
    score = covariance_similarity(*map(second_moment, rows))
    torch.testing.assert_close(score, printed, rtol=1e-6, atol=1e-9)
    assert 0 <= score <= 1


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_common_rotation_and_scale_change_nothing_one_sided_ones_do(seed: int) -> None:
    first, second = drawn(9, 4, seed=seed) * tensor([3, 1, 1, 0.3]), drawn(7, 4, seed=seed + 1)
    turn = rotation(4, seed=seed + 2)
    before = covariance_similarity(second_moment(first), second_moment(second))
    both = covariance_similarity(second_moment(5 * first @ turn), second_moment(second @ turn))
    one = covariance_similarity(second_moment(first @ turn), second_moment(second))
    torch.testing.assert_close(both, before, rtol=1e-6, atol=1e-8)
    assert (one - before).abs() > 1e-6


def test_beside_itself_the_score_is_one_over_the_root_of_the_effective_rank() -> None:
    moment = second_moment(drawn(50, 5, seed=3) * tensor([4, 2, 1, 1, 1]))
    cut = truncated(moment)
    effective = cut.trace() ** 2 / (cut @ cut).trace()
    torch.testing.assert_close(covariance_similarity(moment, moment), effective.rsqrt())
    torch.testing.assert_close(covariance_cosine(moment, moment), tensor(1.0))


def test_many_rows_are_summed_exactly() -> None:
    x_BD = drawn(40_000, 3, seed=1)
    torch.testing.assert_close(second_moment(x_BD), x_BD.T @ x_BD)


def test_a_task_without_rows_has_no_similarity() -> None:
    score_TT, _ = similarity_matrices([torch.zeros(2, 2).double(), torch.eye(2).double()])
    assert score_TT[0, 1].isnan() and not score_TT[1, 1].isnan()


def test_svd_weights_have_the_golden_values(goldens_folder: Path) -> None:
    found = golden(goldens_folder, "svd_reweighting.json")
    x_BD, labels_BT = tensor(found["X"]), tensor(found["Y"])
    for case in found["cases"]:
        theta_DT = tensor(case["theta"])
        torch.testing.assert_close(x_BD.T @ labels_BT, theta_DT)
        alpha = svd_weights(theta_DT, rank=case["r"], sum_to_tasks=False)
        torch.testing.assert_close(alpha, tensor(case["alpha"]), rtol=0, atol=1e-8)
        of_means = svd_weights(label_directions(x_BD, labels_BT), rank=case["r"])
        torch.testing.assert_close(of_means, tensor(case["alpha_sum_to_k"]), rtol=0, atol=1e-8)


def test_twice_the_label_is_twice_the_weight_unless_labels_are_standardised() -> None:
    x_BD, y_B = drawn(50, 4, seed=1), drawn(50, seed=2)
    labels_BT = torch.stack([y_B, -2 * y_B, drawn(50, seed=3)], dim=1)
    raw = svd_weights(label_directions(x_BD, labels_BT), rank=1)
    equal = svd_weights(label_directions(x_BD, standardised(labels_BT)), rank=1)
    assert raw[1] / raw[0] == pytest.approx(2.0)
    assert equal[1] / equal[0] == pytest.approx(1.0)


def test_a_noisy_label_weighs_less_at_low_rank_and_all_their_length_at_full_rank() -> None:
    x_BD, theta_D = drawn(200, 20, seed=1), drawn(20, seed=2)
    clean_B = x_BD @ theta_D
    labels_BT = standardised(torch.stack([clean_B, clean_B + 1, drawn(200, seed=3)], dim=1))
    theta_DT = label_directions(x_BD, labels_BT)
    low = svd_weights(theta_DT, rank=1)
    assert low[2] < 0.5 * low[0]
    full = svd_weights(theta_DT, rank=3, sum_to_tasks=False)
    torch.testing.assert_close(full, theta_DT.norm(dim=0))


def test_missing_labels_count_nothing() -> None:
    x_BD, labels_BT = drawn(30, 3, seed=1), drawn(30, 2, seed=2)
    with_more = torch.cat([labels_BT, torch.full((9, 2), torch.nan).double()])
    more_rows = torch.cat([x_BD, drawn(9, 3, seed=4)])
    torch.testing.assert_close(
        label_directions(more_rows, standardised(with_more)),
        label_directions(x_BD, standardised(labels_BT)),
    )


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_beyond_the_tasks_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="rank must be between 1 and the number of tasks"):
        svd_weights(torch.eye(3), rank=rank)


def test_proposition_3_has_the_golden_projector_and_loss(goldens_folder: Path) -> None:
    found = golden(goldens_folder, "svd_reweighting.json")
    x_BD, labels_BT = tensor(found["X"]), tensor(found["Y"])
    wanted = found["proposition3"]
    alpha = tensor(wanted["alpha"])
    basis_DR = best_shared_space(x_BD, labels_BT, rank=wanted["r"], weights_T=alpha)
    projector = tensor(wanted["projector_onto_colspan_B"])
    torch.testing.assert_close(basis_DR @ basis_DR.T, projector, rtol=0, atol=1e-8)
    fit = together(
        [x_BD] * 4, list(labels_BT.T), rank=wanted["r"], weights=alpha.tolist(), tolerance=1e-15
    )
    assert fit.loss == pytest.approx(wanted["loss_at_B_star"], rel=1e-7)
    span_DR = torch.linalg.qr(fit.shared_DR).Q
    torch.testing.assert_close(span_DR @ span_DR.T, projector, rtol=0, atol=1e-3)


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_proposition_3_is_what_alternating_least_squares_finds(seed: int, rank: int) -> None:
    """Where the rank below leaves a clear gap; near-equal directions take any number of rounds."""
    x_BD, labels_BT = drawn(12, 5, seed=seed), drawn(12, 3, seed=seed + 1)
    best_DR = best_shared_space(x_BD, labels_BT, rank=rank)
    start = together([x_BD] * 3, list(labels_BT.T), rank=rank, start_DR=best_DR)
    free = together([x_BD] * 3, list(labels_BT.T), rank=rank, tolerance=1e-13)
    assert start.loss <= free.loss * (1 + 1e-6)


def test_alternating_least_squares_goes_on_until_it_has_arrived() -> None:
    """From a bad start, and round by round downwards."""
    x_BD, labels_BT = drawn(12, 5, seed=3), drawn(12, 3, seed=4)
    inputs, labels, start_DR = [x_BD] * 3, list(labels_BT.T), drawn(5, 2, seed=5)
    losses = [
        together(inputs, labels, rank=2, start_DR=start_DR, most_rounds=rounds, tolerance=0).loss
        for rounds in (1, 2, 5, 20)
    ]
    assert losses == sorted(losses, reverse=True) and losses[0] > 1.01 * losses[-1]
    best = together(inputs, labels, rank=2, start_DR=best_shared_space(x_BD, labels_BT, rank=2))
    arrived = together(inputs, labels, rank=2, start_DR=start_DR, tolerance=1e-14)
    assert arrived.loss == pytest.approx(best.loss, rel=1e-6)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_exact_pair_is_no_worse_than_rounds_from_any_start(seed: int) -> None:
    scales = torch.logspace(0, 2, 4, dtype=torch.float64)
    inputs = [drawn(9, 4, seed=seed) * scales, drawn(30, 4, seed=seed + 1) * scales.flip(0)]
    labels = [drawn(9, seed=seed + 2), drawn(30, seed=seed + 3)]
    exact = best_pair(inputs, labels)
    fitted = exact.theta_DT
    left = sum(
        float((x @ theta - y).square().sum()) for x, y, theta in zip(inputs, labels, fitted.T)
    )
    assert exact.loss == pytest.approx(left, rel=1e-6)
    for start_D in (alone(inputs[0], labels[0]), alone(inputs[1], labels[1])):
        rounds = together(inputs, labels, rank=1, start_DR=start_D[:, None], most_rounds=50)
        assert exact.loss <= rounds.loss * (1 + 1e-6)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_proposition_1_with_as_many_directions_as_tasks_nothing_is_shared(seed: int) -> None:
    """r >= k: the optimum is that of the single tasks; r < k: it is above."""
    inputs = [drawn(10, 4, seed=seed + i) for i in range(3)]
    labels = [drawn(10, seed=seed + 10 + i) for i in range(3)]
    singles = sum(
        float((x @ alone(x, y) - y).square().sum()) for x, y in zip(inputs, labels, strict=True)
    )
    assert together(inputs, labels, rank=3).loss == pytest.approx(singles, rel=1e-6)
    assert together(inputs, labels, rank=1).loss > singles * (1 + 1e-6)


def test_the_clean_twin_s_weight_turns_the_shared_direction_to_it(goldens_folder: Path) -> None:
    """cos(B*, theta) rises with alpha_1 where the second label is the first one with noise."""
    cosines = golden(goldens_folder, "wu_checks.json")["cos_B_theta_vs_alpha1"]
    assert cosines["cos"] == sorted(cosines["cos"])
    x_BD, theta_D = drawn(60, 6, seed=1), drawn(6, seed=2)
    labels_BT = torch.stack([x_BD @ theta_D, x_BD @ theta_D + 4 * drawn(60, seed=3)], dim=1)
    found = []
    for alpha in cosines["alpha1"]:
        weights_T = tensor([alpha, 1.0])
        basis_D = best_shared_space(x_BD, labels_BT, rank=1, weights_T=weights_T)[:, 0]
        found.append(abs(float(basis_D @ theta_D / theta_D.norm())))
    assert found == sorted(found) and found[-1] > 0.99


def test_the_printed_generator_of_figure_3_is_inert_to_its_rotation(goldens_folder: Path) -> None:
    """X = R Q D has covariance D^2 whatever Q is; the corrected R D Q has Q^T D^2 Q."""
    assert golden(goldens_folder, "wu_checks.json")["erratum"]["rel_err_literal_vs_D2"] < 0.01
    rows, scale, turn = (
        drawn(200_000, 4, seed=1),
        torch.diag(tensor([3, 1, 1, 0.5])),
        rotation(4, seed=2),
    )

    def distance(x_BD: Tensor, wanted: Tensor) -> float:
        return float((second_moment(x_BD) / len(x_BD) - wanted).norm() / wanted.norm())

    assert distance(rows @ turn @ scale, scale @ scale) < 0.02
    assert distance(rows @ scale @ turn, turn.T @ scale @ scale @ turn) < 0.02
    assert distance(rows @ scale @ turn, scale @ scale) > 0.5


def test_the_balancer_weighs_by_what_it_observed_and_keeps_it() -> None:
    x_BD, theta_D = drawn(200, 20, seed=1), drawn(20, seed=2)
    labels_BT = torch.stack([x_BD @ theta_D, x_BD @ theta_D, drawn(200, seed=3)], dim=1)
    balancer = SVDReweighting(3)
    parameter = torch.ones(3, requires_grad=True)

    def weights() -> Tensor:
        return balanced_backward([parameter[t] ** 2 for t in range(3)], balancer).weights.shared_T

    assert weights().tolist() == [1, 1, 1]
    balancer.observe(x_BD, labels_BT)
    expected = svd_weights(label_directions(x_BD, standardised(labels_BT)), rank=1)
    torch.testing.assert_close(weights(), expected)
    assert expected[2] < 0.5 and expected.sum() == pytest.approx(3)
    fresh = SVDReweighting(3)
    fresh.load_state_dict(balancer.state_dict())
    torch.testing.assert_close(fresh.weights_T, expected)
    absent = balanced_backward([parameter[0], None, parameter[2]], balancer).weights.shared_T
    torch.testing.assert_close(absent, expected * tensor([1, 0, 1]))
