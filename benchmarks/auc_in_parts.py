"""AUC of scores that come in parts: the bound from bins, the error, and the seconds, beside the AUC of all rows sorted.

    python benchmarks/auc_in_parts.py [--rows 20000000] [--parts 10] [--intervals]

Probabilities in float32, log-normal about a rate of a click (2 %), of a rare sale (.01 %) and of one half; labels are
drawn by them. With --intervals all metrics of a click, its parts drawn one by one, and the peak of memory.
"""

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from polytask.kinds import Binary
from polytask.metrics import PartRows, evaluate_parts
from polytask.metrics.ranking import binary_pairs
from polytask.metrics.score_bins import MOST_BINS, ScoreBins

LOGITS = {"click, 2 %": -4.0, "rare, .01 %": -9.0, "one half": 0.0}


def measure(logit: float, num_rows: int, num_parts: int) -> str:
    """One row of the table."""
    drawn = np.random.default_rng(0)
    score_B = (1 / (1 + np.exp(-logit - 1.5 * drawn.normal(size=num_rows)))).astype(np.float32)
    is_yes_B = drawn.random(num_rows) < score_B
    started, whole = time.process_time(), None
    for rows in np.array_split(np.arange(num_rows), num_parts):
        score_P = score_B[rows].astype(np.float64)
        bins = ScoreBins.of(score_P, is_yes_B[rows], np.ones(len(rows)))
        whole = (bins if whole is None else whole + bins).coarsened(MOST_BINS)
    assert whole is not None
    found = whole.auc()
    seconds = (time.process_time() - started) / num_parts
    pairs = binary_pairs(score_B.astype(np.float64), is_yes_B, np.ones(num_rows))
    exact = pairs.correct_B.sum() / pairs.total_B.sum()
    error = abs(found.value - exact)
    return f"{found.value:.6f} | {found.bound:.1e} | {error:.1e} | {len(whole):,} | {seconds:.1f}"


def parts_of(num_rows: int, num_parts: int) -> Iterator[PartRows]:
    """Clicks, a part at a time."""
    for part in range(num_parts):
        drawn, size = np.random.default_rng(part), num_rows // num_parts
        logit_B = LOGITS["click, 2 %"] + 1.5 * drawn.normal(size=size)
        score_B = (1 / (1 + np.exp(-logit_B))).astype(np.float32)
        yield PartRows(score_B, (drawn.random(size) < score_B).astype(np.float32))


def main() -> None:
    """Print a table, or what all metrics take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--intervals", action="store_true")
    options = parser.parse_args()
    if options.intervals:
        found = evaluate_parts(Binary(), parts_of(options.rows, options.parts))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{found!r}: {time.process_time():.0f} s, {peak:,} MB")
        return
    print("| rate | AUC | bound | error | bins | seconds a part |\n|---|--:|--:|--:|--:|--:|")
    for name, logit in LOGITS.items():
        print(f"| {name} | {measure(logit, options.rows, options.parts)} |")


if __name__ == "__main__":
    main()
