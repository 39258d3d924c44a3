"""How likely a sentence is by itself: the marginals that the dual-supervised penalty asks for."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

Ids = Sequence[int]
_DISCOUNT = 0.75


class Trigrams:
    """Interpolated absolute discounting (Ney, Essen and Kneser, Computer Speech and Language 1994).

    A sentence's own occurrences are left out of the counts, since it is one of those that were counted.
    """

    def __init__(self, sentences: Sequence[Ids], *, num_ids: int) -> None:
        self.num_ids = num_ids
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(3)]
        for sentence in sentences:
            line = [0, 0, *sentence]
            for place in range(2, len(line)):
                for length in range(3):
                    self.counts[length][tuple(line[place - length : place + 1])] += 1
        self.before: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(3)]
        self.different: list[defaultdict[tuple[int, ...], int]] = [
            defaultdict(int) for _ in range(3)
        ]
        for length, counts in enumerate(self.counts):
            for run, count in counts.items():
                self.before[length][run[:-1]] += count
                self.different[length][run[:-1]] += 1

    def log_p(self, sentence: Ids) -> float:
        """The logarithm of the probability of a sentence that was counted."""
        line = [0, 0, *sentence]
        return sum(math.log(self._p(line[p - 2 : p + 1])) for p in range(2, len(line)))

    def _p(self, run: Sequence[int]) -> float:
        p = 1 / self.num_ids
        for length in range(3):
            part = tuple(run[2 - length :])
            before = self.before[length][part[:-1]] - 1
            if before <= 0:
                break
            count = self.counts[length][part] - 1
            left = _DISCOUNT * self.different[length][part[:-1]] / before
            p = max(count - _DISCOUNT, 0) / before + min(left, 1.0) * p
        return p
