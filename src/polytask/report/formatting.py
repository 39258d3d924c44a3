"""Numbers and lists as a reader wants them."""

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
_MOST_DECIMALS = 8
NO_BREAK = "\N{NO-BREAK SPACE}"
NOTHING = "\N{EN DASH}"
MANY = 12
"""More tasks than this are counted, not named, and sorted by their gain."""
PARTS = {"train": "training", "valid": "validation", "test": "test"}


def number(value: float, *, signed: bool = False, decimals: int | None = None) -> str:
    """Four decimals; fewer for large values, more for tiny ones. The minus is a real one."""
    size = abs(value)
    if decimals is None:
        decimals = 4 if size < 10 else 2 if size < 1000 else 0
        if 0 < size < 5e-5:
            decimals = min(1 - math.floor(math.log10(size)), _MOST_DECIMALS)
    return f"{value:{'+' if signed else ''},.{decimals}f}".replace("-", MINUS)


def decimals(low: float | None, high: float | None) -> int | None:
    """As many as the interval's width deserves, where that is more than the usual ones."""
    if low is None or high is None or not 0 < high - low < 1e-3:
        return None
    return min(1 - math.floor(math.log10(high - low)), _MOST_DECIMALS)


def count(value: float) -> str:
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def percent(share: float, *, digits: int = 2) -> str:
    """So many significant digits, of the rest to 100 % above a half; never a false 0 % or 100 %."""
    value = 100 * share
    rest = min(abs(value), abs(100 - value))
    decimals = digits - 1 - math.floor(math.log10(rest)) if rest > 0 else 0
    # At least whole per cents, at most a ten-thousandth of one; a probability is no longer known.
    text = f"{value:.{min(max(decimals, 0), 4)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{NO_BREAK}%"


def listing(names: Sequence[str]) -> str:
    """a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def on_tasks(names: Sequence[str], total: int) -> str:
    """The tasks by name, or how many of all where there are many."""
    if total <= MANY:
        return listing(names)
    return f"{len(names)} of {total} tasks"


def plural(number_of: int, noun: str) -> str:
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def short(name: str, longest: int = 22) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
