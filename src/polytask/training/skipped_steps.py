"""What Adam would have done to a row in the steps in which it had no gradient, in closed form."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"""Adam's beta_1, beta_2 and epsilon (Kingma and Ba, ICLR 2015, Algorithm 1)."""

Array: TypeAlias = NDArray[np.float64]

_LONGEST = 192
"""Beyond so many steps the first moment has decayed to 2e-9 of itself: nothing is left to add."""

NUM_FIELDS = 6
_RATE, _CENTRE, _SUMS = 0, 1, slice(2, NUM_FIELDS)


class SkippedSteps:
    """The steps taken so far, as what each adds to a row that was last touched at step s.

    Without a gradient, k steps after s, Adam's moments are m beta_1^k and v beta_2^k, and step j = s + k moves
    the row by -m c_j / (sqrt(v) + epsilon p_j), with p_j = sqrt(1 - beta_2^j) beta_2^(-k/2) and
    c_j = rate_j beta_1^k p_j / (1 - beta_1^j). The sum over j hangs on m and v by a function of p alone, so
    a Gauss quadrature of two nodes, from the sums of c, c p, c p^2 and c p^3, stands in for it: p moves by
    a percent while beta_1^k vanishes, and the error is the fourth power of that.

    `history` (n, 6) has a row a step from `start` on: its rate, a centre of p, and the four sums so far.

    >>> steps = SkippedSteps()
    >>> for step in range(1, 201):
    ...     steps.add(step, rate=0.1)
    >>> weights, nodes = steps.nodes(np.array([199]))  # one step was skipped: one node, twice
    >>> bool(np.isclose(weights.sum(), 0.1 * 0.9 * nodes[0, 0], rtol=1e-6))
    True
    """

    def __init__(self, history: Array | None = None, *, start: int = 1) -> None:
        self.start = start
        self._kept = np.empty((0, NUM_FIELDS)) if history is None else np.array(history)
        self._length = len(self._kept)
        self._nodes = np.empty((self._length, 4))
        if self._length:
            self._nodes[:-1] = _nodes_of(self._kept[:-1])
            self._nodes[-1] = (0.0, 0.0, *self._kept[-1, [_CENTRE, _CENTRE]])

    @property
    def history(self) -> Array:
        return self._kept[: self._length]

    def add(self, step: int, rate: float) -> None:
        """Step `step` is taken at this rate: it is one that all earlier rows skipped, for now."""
        window = self.history[-_LONGEST:]
        gaps = np.arange(len(window), 0, -1)
        p = np.sqrt(1 - SECOND**step) * SECOND ** (-gaps / 2)
        away = p - window[:, _CENTRE]
        term = rate / (1 - FIRST**step) * FIRST**gaps * p
        window[:, _SUMS] += term[:, None] * away[:, None] ** np.arange(4)
        self.table[-_LONGEST:] = _nodes_of(window)
        self._append(rate, float(np.sqrt((1 - SECOND ** (step + 1)) / SECOND)))

    def rate(self, step: int) -> float:
        """The rate of a step."""
        return float(self.history[step - self.start, _RATE])

    def nodes(self, last_U: NDArray[np.integer]) -> tuple[Array, Array]:
        """Weights and nodes (U, 2) of rows that were last touched at these steps."""
        found_UF = self._nodes[last_U - self.start]
        return found_UF[:, :2], found_UF[:, 2:]

    @property
    def table(self) -> Array:
        """`nodes` of all steps from `start` on, (n, 4): two weights, then two nodes."""
        return self._nodes[: self._length]

    def forget_before(self, step: int) -> None:
        """No row is asked for any more that was last touched before this step."""
        kept = slice(step - self.start, self._length)
        self._kept, self._nodes = self._kept[kept].copy(), self._nodes[kept].copy()
        self._length, self.start = len(self._kept), step

    def _append(self, rate: float, centre: float) -> None:
        if self._length == len(self._kept):
            more = max(256, len(self._kept))
            self._kept = np.concatenate([self._kept, np.empty((more, NUM_FIELDS))])
            self._nodes = np.concatenate([self._nodes, np.empty((more, 4))])
        self._kept[self._length] = (rate, centre, 0.0, 0.0, 0.0, 0.0)
        self._nodes[self._length] = (0.0, 0.0, centre, centre)
        self._length += 1


def _nodes_of(history_NF: Array) -> Array:
    """The two weights and the two nodes of each row's sums (n, 4)."""
    total, *sums = history_NF[:, _SUMS].T
    mean, square, cube = (each / total for each in sums)
    variance = np.maximum(square - mean**2, 0.0)
    skew = cube - 3 * mean * square + 2 * mean**3
    half = np.divide(skew, 2 * variance, out=np.zeros_like(skew), where=variance > 0)
    root = np.sqrt(half**2 + variance)
    share = 0.5 - np.divide(half, 2 * root, out=np.zeros_like(half), where=root > 0)
    middle = history_NF[:, _CENTRE] + mean + half
    return np.stack([total * share, total * (1 - share), middle + root, middle - root], axis=1)
