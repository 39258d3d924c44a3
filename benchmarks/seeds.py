"""What the values of several seeds say together."""

import statistics
from collections.abc import Sequence

from scipy import stats


def interval(values: Sequence[float]) -> str:
    """Mean and half-width of Student's 95 % interval."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4f}"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} +- {half:.4f}"
