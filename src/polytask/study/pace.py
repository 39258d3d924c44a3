"""How a budget is spent: trials while the final trainings still fit in, then these, then the figures."""

import time
from dataclasses import dataclass

_HEADROOM = 1.15
_SHARE_OF_TRIALS = 0.45
"""Trials have so much of the time, whatever the final trainings may take: of these fewer seeds are then done."""
_FEWEST_RESERVED, _MOST_RESERVED, _RESERVED_SHARE = 8.0, 60.0, 0.04


@dataclass(frozen=True, slots=True)
class Pace:
    """A budget in seconds that began at a moment of the monotonic clock.

    >>> pace = Pace(started=time.monotonic() - 50, budget=100.0)
    >>> pace.allows_trials(finals_take=10.0), pace.allows_trials(finals_take=60.0)
    (True, False)
    """

    started: float
    budget: float

    @property
    def deadline(self) -> float:
        return self.started + self.budget

    @property
    def reserved(self) -> float:
        """Seconds for what is computed of the final trainings."""
        return min(max(_RESERVED_SHARE * self.budget, _FEWEST_RESERVED), _MOST_RESERVED)

    @property
    def last_moment(self) -> float:
        """When what still runs is ended."""
        return self.deadline - self.reserved / 2

    def allows_trials(self, *, finals_take: float) -> bool:
        """While the final trainings would still fit in, and for a good part of the time in any case."""
        now = time.monotonic()
        if now < self.started + _SHARE_OF_TRIALS * self.budget:
            return True
        return now + _HEADROOM * finals_take < self.deadline - self.reserved

    @property
    def allows_finals(self) -> bool:
        return time.monotonic() < self.deadline - self.reserved
