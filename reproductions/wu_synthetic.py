"""The synthetic experiments of Wu, Zhang and Re (ICLR 2020): covariance, capacity, alignment, noise.

    python reproductions/wu_synthetic.py              # quick: 8 draws
    python reproductions/wu_synthetic.py --full       # 24 draws, as reported

Paper: https://openreview.net/forum?id=SylzhkBtDB (its figures 3 and 6, and section 4 on reweighting)

Figure 3, corrected: the printed generator X = R Q D makes its rotation inert, since rows of R are
rotation invariant; what is meant needs X = R D Q. Labels have noise (sigma 5): without it the source
of the same covariance harms. d = 50, 40 target rows, D is 100 on d/10 entries and 1 elsewhere, the
tasks' directions have cosine 0.96, one direction is shared, the gain is in the error on fresh inputs.
Each line is what a way of using the source adds to the error of the target alone:
training both for 100 rounds of alternating least squares from the target's own solution; the exact optimum
of that loss; the source's direction kept as it is; the same, then aligned (Algorithm 1); and, without any
source, ridge regression of a tuned strength.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from polytask.balancing import Equal, Static, Uncertainty, balanced_backward
from polytask.balancing.balancer import Balancer
from polytask.balancing.svd_reweighting import label_directions, standardised, svd_weights
from polytask.transfer.linear import alone, best_pair, together

NUM_FEATURES, TARGET_ROWS, CONDITION, COSINE, SIGMA = 50, 40, 100.0, 0.96, 5.0
SOURCE_ROWS = (50, 100, 200, 400, 800, 1600, 3200)
SOURCES = ("same covariance", "different D", "different Q")
ROUNDS = 100
QUICK_DRAWS, FULL_DRAWS = 8, 24
Draw = Callable[..., Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """A target task and a source task, and the target's second moment by which its error is known."""

    inputs: tuple[Tensor, Tensor]
    labels: tuple[Tensor, Tensor]
    truth_D: Tensor
    moment_DD: Tensor

    def error(self, theta_D: Tensor) -> float:
        """The mean squared error on fresh target inputs, without the labels' own noise."""
        difference_D = theta_D - self.truth_D
        return float(difference_D @ self.moment_DD @ difference_D)


def drawing(seed: int) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(draw: Draw, size: int) -> Tensor:
    return torch.linalg.qr(draw(size, size)).Q


def directions(draw: Draw, size: int, *, cosine: float) -> tuple[Tensor, Tensor]:
    """Two unit vectors of this cosine."""
    first_D = functional.normalize(draw(size), dim=0)
    other_D = draw(size)
    other_D = functional.normalize(other_D - other_D @ first_D * first_D, dim=0)
    return first_D, cosine * first_D + (1 - cosine**2) ** 0.5 * other_D


def spread(first: int) -> Tensor:
    """D: the condition number on d/10 entries from `first` on, 1 elsewhere."""
    entries = torch.ones(NUM_FEATURES, dtype=torch.float64)
    entries[first : first + NUM_FEATURES // 10] = CONDITION
    return entries


def figure_3(source: str, num_rows: int, seed: int) -> Transfer:
    """Target and source rows X = R D Q."""
    draw = drawing(seed)
    mine_DD, other_DD = rotation(draw, NUM_FEATURES), rotation(draw, NUM_FEATURES)
    truth_D, source_D = directions(draw, NUM_FEATURES, cosine=COSINE)
    wide_D, elsewhere_D = spread(0), spread(NUM_FEATURES // 10)
    of_source = {
        "same covariance": (wide_D, mine_DD),
        "different D": (elsewhere_D, mine_DD),
        "different Q": (wide_D, other_DD),
    }
    scale_D, turn_DD = of_source[source]
    x1_BD = draw(TARGET_ROWS, NUM_FEATURES) * wide_D @ mine_DD
    x2_BD = draw(num_rows, NUM_FEATURES) * scale_D @ turn_DD
    y1_B = x1_BD @ truth_D + SIGMA * draw(TARGET_ROWS)
    y2_B = x2_BD @ source_D + SIGMA * draw(num_rows)
    moment_DD = mine_DD.T @ torch.diag(wide_D**2) @ mine_DD
    return Transfer((x1_BD, x2_BD), (y1_B, y2_B), truth_D, moment_DD)


def own_solution(case: Transfer) -> Tensor:
    """The target alone: least squares of smallest length."""
    return alone(case.inputs[0], case.labels[0])


def tuned(case: Transfer) -> Tensor:
    return ridge(case.inputs[0], case.labels[0])


def trained(case: Transfer) -> Tensor:
    """Both tasks, as far as 100 rounds from the target's own solution go."""
    start_DR = own_solution(case)[:, None]
    fit = together(
        case.inputs, case.labels, rank=1, start_DR=start_DR, most_rounds=ROUNDS, tolerance=0.0
    )
    return fit.theta_DT[:, 0]


def at_the_optimum(case: Transfer) -> Tensor:
    return best_pair(case.inputs, case.labels).theta_DT[:, 0]


def frozen(case: Transfer) -> Tensor:
    """The source's own direction, of which the target learns the scale alone."""
    source_D = alone(case.inputs[1], case.labels[1])
    seen_B = case.inputs[0] @ source_D
    return seen_B @ case.labels[0] / (seen_B @ seen_B) * source_D


def aligned(case: Transfer) -> Tensor:
    """The second phase of Algorithm 1: B is the source's direction and stays, R_1 moves from the
    identity as far as leaving one row out says."""
    start_D = frozen(case)
    x_BD, y_B = case.inputs[0], case.labels[0]
    return start_D + ridge(x_BD, y_B - x_BD @ start_D)


WAYS: dict[str, Callable[[Transfer], Tensor]] = {
    "tuned ridge alone": tuned,
    "trained 100 rounds": trained,
    "exact optimum": at_the_optimum,
    "source frozen": frozen,
    "then aligned": aligned,
}


def added_error(case: Transfer, way: str) -> float:
    """What a way of using the source adds to the error of the target alone."""
    return case.error(WAYS[way](case)) - case.error(own_solution(case))


def ridge(x_BD: Tensor, y_B: Tensor) -> Tensor:
    """Ridge regression, its strength by leaving one row out, in closed form."""
    left_BK, values_K, right_KD = torch.linalg.svd(x_BD, full_matrices=False)
    best_error, best_D = float("inf"), torch.zeros(x_BD.shape[1], dtype=x_BD.dtype)
    for strength in torch.logspace(-3, 7, 61, dtype=torch.float64):
        kept_K = values_K.square() / (values_K.square() + strength)
        hat_BB = (left_BK * kept_K) @ left_BK.T
        error = float(((y_B - hat_BB @ y_B) / (1 - hat_BB.diagonal())).square().mean())
        if error < best_error:
            best_error, best_D = error, right_KD.T @ (kept_K / values_K * (left_BK.T @ y_B))
    return best_D


def show_figure_3(
    num_draws: int, source_rows: Sequence[int] = SOURCE_ROWS
) -> dict[str, dict[str, list[float]]]:
    """Medians over draws of the target's added error, by source and source rows."""
    found: dict[str, dict[str, list[float]]] = {}
    print(
        f"\nFigure 3: error of the target beside a source, less that alone (medians of {num_draws})"
    )
    print(f"{'source rows':38s}" + "".join(f"{rows:9,d}" for rows in source_rows))
    alone_errors = []
    for source in SOURCES:
        found[source] = {way: [] for way in WAYS}
        for rows in source_rows:
            cases = [figure_3(source, rows, seed) for seed in range(num_draws)]
            alone_errors += [case.error(own_solution(case)) for case in cases]
            for way in WAYS:
                found[source][way].append(median(added_error(case, way) for case in cases))
        for way, values in found[source].items():
            print(f"{f'{source}, {way}':38s}" + "".join(f"{value:9.0f}" for value in values))
    print(f"alone: {median(alone_errors):.1f}")
    return found


def show_capacity(num_draws: int) -> dict[int, float]:
    """Figure 6's question on linear tasks: the error on fresh inputs by the number of shared directions.

    Six tasks whose directions lie near two common ones, 40 rows of 30 features each, noise of the labels'
    own size. Proposition 1: from six directions on the optimum is that of the single tasks.
    """
    num_tasks, size, num_rows = 6, 30, 40
    errors: dict[int, list[float]] = {}
    for seed in range(num_draws):
        draw = drawing(1000 + seed)
        common_D2 = torch.linalg.qr(draw(size, 2)).Q
        truth_DT = functional.normalize(
            common_D2 @ draw(2, num_tasks) + 0.1 * draw(size, num_tasks), dim=0
        )
        inputs = [draw(num_rows, size) for _ in range(num_tasks)]
        labels = [x @ theta + draw(num_rows) for x, theta in zip(inputs, truth_DT.T)]
        for rank in range(1, num_tasks + 3):
            fit = together(
                inputs, labels, rank=min(rank, num_tasks), most_rounds=200, tolerance=1e-9
            )
            errors.setdefault(rank, []).append(
                float((fit.theta_DT - truth_DT).square().sum(0).mean())
            )
        own_DT = torch.stack([alone(x, y) for x, y in zip(inputs, labels)], dim=1)
        errors.setdefault(0, []).append(float((own_DT - truth_DT).square().sum(0).mean()))
    found = {rank: median(values) for rank, values in errors.items()}
    print(f"\nCapacity: mean squared error of six linear tasks (medians of {num_draws})")
    print(
        "shared directions" + "".join(f"{rank:8d}" for rank in sorted(found) if rank) + "   alone"
    )
    print(
        " " * 17
        + "".join(f"{found[rank]:8.3f}" for rank in sorted(found) if rank)
        + f"{found[0]:8.3f}"
    )
    return found


def classes(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, and labels of four tasks to train on and clean ones: the last task's are 20 % random."""
    draw = drawing(2000 + seed)
    common_D = functional.normalize(draw(30), dim=0)
    truth_DT = functional.normalize(common_D[:, None] + 0.05 * draw(30, 4), dim=0)
    x_BD = draw(2000, 30)
    clean_BT = (x_BD @ truth_DT + 0.3 * draw(2000, 4) > 0).double()
    noisy_BT = clean_BT.clone()
    is_random_B = draw(2000) < torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.2))
    noisy_BT[is_random_B, 3] = (draw(int(is_random_B.sum())) > 0).double()
    return x_BD, noisy_BT, clean_BT


def accuracy(seed: int, rule: str, *, relu: bool, num_train: int = 100) -> float:
    """The mean accuracy of the four tasks on fresh rows with clean labels, one weighing, one model."""
    x_BD, noisy_BT, clean_BT = classes(seed)
    rows_BD, labels_BT = x_BD[:num_train], noisy_BT[:num_train]
    theta_DT = label_directions(rows_BD, standardised(labels_BT))
    balancers: dict[str, Callable[[], Balancer]] = {
        "equal": lambda: Equal(4),
        "uncertainty": lambda: Uncertainty(4, forms=["classification"] * 4),
        "Algorithm 2": lambda: Static(4, weights=svd_weights(theta_DT, rank=1).tolist()),
    }
    balancer = balancers[rule]()
    torch.manual_seed(seed)
    bottom: nn.Module = nn.Linear(30, 4 if relu else 1, bias=False).double()
    bottom = nn.Sequential(bottom, nn.ReLU()) if relu else bottom
    heads = nn.Linear(4 if relu else 1, 4).double()
    optimizer = torch.optim.Adam([*bottom.parameters(), *heads.parameters()], lr=0.02)
    for _ in range(200):
        outputs_BT = heads(bottom(rows_BD))
        losses = [
            functional.binary_cross_entropy_with_logits(outputs_BT[:, t], labels_BT[:, t])
            for t in range(4)
        ]
        optimizer.zero_grad()
        balanced_backward(losses, balancer)
        optimizer.step()
    with torch.no_grad():
        right_BT = (heads(bottom(x_BD[num_train:])) > 0).double() == clean_BT[num_train:]
    return float(right_BT.double().mean())


def show_reweighting(num_draws: int) -> dict[str, list[float]]:
    """Gains in accuracy over equal weights with paired 95 % intervals."""
    found: dict[str, list[float]] = {}
    print(f"\nNoise: accuracy of four tasks, the labels of one 20 % random ({num_draws} draws)")
    for relu in (False, True):
        scores = {
            rule: np.array([accuracy(seed, rule, relu=relu) for seed in range(num_draws)])
            for rule in ("equal", "uncertainty", "Algorithm 2")
        }
        name = "ReLU" if relu else "linear"
        print(f"{name + ', equal':24s} {scores['equal'].mean():.4f}")
        for rule in ("uncertainty", "Algorithm 2"):
            gain_D = scores[rule] - scores["equal"]
            reach = stats.t.ppf(0.975, num_draws - 1) * gain_D.std(ddof=1) / num_draws**0.5
            found[f"{name}, {rule}"] = gain_D.tolist()
            print(
                f"{name + ', ' + rule:24s} {scores[rule].mean():.4f}  gain {gain_D.mean():+.4f} +- {reach:.4f}"
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="24 draws")
    num_draws = FULL_DRAWS if parser.parse_args().full else QUICK_DRAWS
    torch.set_num_threads(1)
    started = time.perf_counter()
    show_figure_3(num_draws)
    show_capacity(num_draws)
    show_reweighting(num_draws)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
