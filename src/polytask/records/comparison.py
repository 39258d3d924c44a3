"""A row of the table of results: a metric by the single-task and by the multi-task model, and the gain."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from polytask.records.metrics import Gain, MetricValue

SLIGHT = 0.0005
"""A gain whose whole interval is nearer to 0 is called slight, in a metric whose best is 1."""


class Verdict(Enum):
    """What the interval of a gain says."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "no detectable difference"
    OPEN = "not known: no interval"

    @classmethod
    def of(cls, gain: Gain) -> "Verdict":
        if gain.low is None or gain.high is None:
            return cls.OPEN
        if gain.low > 0:
            return cls.BETTER
        return cls.WORSE if gain.high < 0 else cls.NONE


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one task. `is_main` marks the metric that stands for the task."""

    task: str
    is_main: bool
    multi: MetricValue
    single: MetricValue | None
    gain: Gain | None

    @property
    def is_slight(self) -> bool:
        """Told from chance, but too small to matter to most."""
        if self.verdict not in (Verdict.BETTER, Verdict.WORSE) or self.gain is None:
            return False
        ends = (abs(end) for end in (self.gain.low, self.gain.high) if end is not None)
        return self.multi.direction == "higher" and max(ends) < SLIGHT

    @property
    def verdict(self) -> Verdict | None:
        return None if self.gain is None else Verdict.of(self.gain)

    @property
    def loses_to_the_mean(self) -> bool:
        """Whether always predicting the mean is better than every model here."""
        values = [each.value for each in (self.multi, self.single) if each is not None]
        return self.multi.name == "r2" and max(values) < 0


def mending(balancer: object) -> str:
    """What to do for tasks that are worse than by models of their own, in a run with this balancer.

    >>> mending({"name": "relative"})
    'polytask transfer tells which task is to blame, polytask study which trunk and weights mend it'
    """
    compare = "polytask transfer tells which task is to blame, polytask study which trunk and weights mend it"
    if "relative" in str(balancer):
        return compare
    return (
        f"{compare}; where labels are rare, begin with --balancer='{{name: relative, power: 0.5}}'"
    )


def losing(rows: Iterable[Row]) -> list[str]:
    """The tasks that are worse than by a model of their own, by more than chance and by enough to matter."""
    return [row.task for row in rows if row.verdict is Verdict.WORSE and not row.is_slight]
