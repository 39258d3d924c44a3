"""How many of a study's 95 % intervals hold the truth, and what simpler ones do.

    python reproductions/study_intervals.py              # 1,000 intervals a line
    python reproductions/study_intervals.py --number 4000
    python reproductions/study_intervals.py --shares     # of the seeds in the variance, from 0 to 1

Values of S trainings on the same 150 rows, whose true mean is 0, vary by seed, by row, and by both together. Beside
the interval of `polytask.study` stand that of a bootstrap over seeds and rows, and that of Student's t over seeds
alone, which knows nothing of the rows.
"""

import argparse

import numpy as np
from scipy import stats

from polytask.study import mean_over_seeds
from polytask.study.statistics import half_width

NUM_ROWS, NUM_RESAMPLES = 150, 200
SPREADS = {
    "seeds alone": (0.1, 0.0, 0.0),
    "rows alone": (0.0, 0.0, 1.0),
    "rows, seeds and both": (0.05, 0.5, 1.0),
    "much by row and seed together": (0.02, 2.0, 0.3),
    "seeds as much as rows": (0.1, 0.1, 1.2),
}


def drawn(
    rng: np.random.Generator, num_seeds: int, spread: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The values (S,) and what they are on resamples of the rows (S, R)."""
    of_seed, within, of_row = spread
    values_SB = (
        rng.normal(scale=of_row, size=NUM_ROWS)
        + rng.normal(scale=within, size=(num_seeds, NUM_ROWS))
        + rng.normal(scale=of_seed, size=(num_seeds, 1))
    )
    drawn_RB = rng.integers(NUM_ROWS, size=(NUM_RESAMPLES, NUM_ROWS))
    return values_SB.mean(axis=1), values_SB[:, drawn_RB].mean(axis=2)


def covered(num_seeds: int, spread: tuple[float, float, float], number: int) -> list[float]:
    """Shares of intervals that hold 0: ours, the bootstrap's, Student's."""
    rng = np.random.default_rng(0)
    held = np.zeros((number, 3), dtype=bool)
    for place in range(number):
        values_S, values_SR = drawn(rng, num_seeds, spread)
        mean = mean_over_seeds(values_S, values_SR)
        taken_RS = rng.integers(num_seeds, size=(NUM_RESAMPLES, num_seeds))
        boot_R = values_SR[taken_RS, np.arange(NUM_RESAMPLES)[:, None]].mean(axis=1)
        low, high = np.quantile(boot_R, [0.025, 0.975])
        reach = stats.t.ppf(0.975, num_seeds - 1) * values_S.std(ddof=1) / np.sqrt(num_seeds)
        held[place] = mean.low <= 0 <= mean.high, low <= 0 <= high, abs(values_S.mean()) <= reach
    return held.mean(axis=0).tolist()


def covered_at(share: float, freedom: int, number: int) -> float:
    """The same of `half_width`, where the seeds' part is this share of the variance and the rows' part is known."""
    rng = np.random.default_rng(0)
    of_seeds_N = share * rng.chisquare(freedom, number) / freedom
    widths_N = np.array([half_width(0.95, freedom, s, 1 - share) for s in of_seeds_N])
    return float(np.mean(np.abs(rng.normal(size=number)) <= widths_N))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--shares", action="store_true")
    options = parser.parse_args()
    if options.shares:
        for share in (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1):
            three, five = (covered_at(share, freedom, 100 * options.number) for freedom in (2, 4))
            print(f"share {share}: three seeds {three:.1%}, five {five:.1%}", flush=True)
        return
    print(
        "| what varies | seeds | study | bootstrap of both | t of seeds alone |\n|---|--:|--:|--:|--:|"
    )
    for name, spread in SPREADS.items():
        for num_seeds in (3, 5):
            shares = covered(num_seeds, spread, options.number)
            print(
                f"| {name} | {num_seeds} | {' | '.join(f'{s:.1%}' for s in shares)} |", flush=True
            )


if __name__ == "__main__":
    main()
