"""What was changed from one sequence of words to another, and how many changes are the wanted ones."""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """The words `start` to `end` of the source become `written`; nothing is left out where start is end."""

    start: int
    end: int
    written: tuple[str, ...]


def edits(source: Sequence[str], target: Sequence[str]) -> list[Edit]:
    """The fewest changes of single words: one exchanged or left out each, or words put in at one place.

    Of equally few the exchanges come as far to the end as they can.

    >>> edits("he go to school".split(), "he goes to the school".split())
    [Edit(start=1, end=2, written=('goes',)), Edit(start=3, end=3, written=('the',))]
    """
    cost = _costs(source, target)
    i, j, found = len(source), len(target), list[Edit]()
    while i or j:
        if i and j and source[i - 1] == target[j - 1] and cost[i][j] == cost[i - 1][j - 1]:
            i, j = i - 1, j - 1
        elif i and j and cost[i][j] == cost[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
            found.append(Edit(i, i + 1, (target[j],)))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            found.append(Edit(i, i + 1, ()))
        else:
            j -= 1
            is_more = bool(found) and found[-1][:2] == (i, i)
            behind = found.pop().written if is_more else ()
            found.append(Edit(i, i, (target[j], *behind)))
    return found[::-1]


def f_score(
    found: Sequence[Collection[Edit]], wanted: Sequence[Collection[Edit]], *, beta: float = 0.5
) -> float:
    """(1 + b^2) P R / (b^2 P + R) of all sentences' edits: at 0.5 precision counts twice recall (Dahlmeier and
    Ng, NAACL 2012). 1 where there is nothing to find and nothing was found.

    Paper: https://aclanthology.org/N12-1067

    >>> wanted = [edits(["a", "b"], ["a", "c"]), edits(["d"], ["e"])]
    >>> round(f_score([wanted[0], []], wanted), 4)
    0.8333
    """
    right = sum(len(set(one) & set(other)) for one, other in zip(found, wanted, strict=True))
    num_found, num_wanted = sum(map(len, found)), sum(map(len, wanted))
    if not num_found and not num_wanted:
        return 1.0
    return (1 + beta**2) * right / (beta**2 * num_wanted + num_found)


def _costs(source: Sequence[str], target: Sequence[str]) -> list[list[int]]:
    """How many changes lead from each beginning of the source to each of the target (Levenshtein 1966)."""
    rows = [list(range(len(target) + 1))]
    for i, word in enumerate(source, 1):
        above, row = rows[-1], [i]
        for j, other in enumerate(target):
            row.append(min(above[j] + (word != other), above[j + 1] + 1, row[j] + 1))
        rows.append(row)
    return rows
