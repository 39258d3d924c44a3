"""Which training of a study is next, and what it is to try, from the trials that have ended."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from polytask.config.study import StudyConfig
from polytask.records.study import TrialLine
from polytask.study.configurations import Configuration
from polytask.study.search import Chosen, Space, weight_points, weights_in_words
from polytask.study.store import Claim, FinalJob

_ADDED_TO_A_FINAL = 1.0
"""Seconds of a final training beside those of its trial: test rows are predicted and written."""


@dataclass(slots=True, eq=False)
class Agenda:
    """The trials of all configurations in their order, then the final trainings; it trains nothing itself.

    `lines` are the trials that have ended, by configuration. `reference` is what the search of static
    weights starts from; None where there is no such search.
    """

    config: StudyConfig
    configurations: Sequence[Configuration]
    reference: Configuration | None
    spaces: Mapping[str, Space]
    lines: dict[str, list[TrialLine]] = field(default_factory=dict)
    _points: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.reference is not None:
            self._points = weight_points(
                self.reference.num_losses, trials=self.config.trials, seed=self.config.seed
            )

    @property
    def by_name(self) -> dict[str, Configuration]:
        return {each.name: each for each in self.configurations}

    @property
    def all_lines(self) -> list[TrialLine]:
        return [line for each in self.lines.values() for line in each]

    @property
    def total_trials(self) -> int:
        return sum(self.num_trials(each) for each in self.configurations)

    def num_trials(self, configuration: Configuration) -> int:
        """As many for all; the points of static weights where these are more."""
        return len(self._points) if configuration.group == "static" else self.config.trials

    def best(self, configuration: str) -> TrialLine | None:
        """The trial of the highest score, the earlier of equals."""
        done = [line for line in self.lines.get(configuration, ()) if line.score is not None]
        return max(done, key=lambda line: (line.score, -line.place), default=None)

    def open_configurations(self, busy: Collection[str]) -> list[Configuration]:
        """Those with trials left: first one trial of everything, then what static weights wait for, then these.

        Of a configuration one trial runs at a time, so the `busy` ones are left out.
        """
        free = [
            each
            for each in self.configurations
            if each.name not in busy and self._left(each) and self._may_start(each)
        ]
        return sorted(free, key=self._order)

    def chosen(self, claim: Claim) -> Chosen:
        """What a trial tries: static weights are tried with the options that equal ones were found to like."""
        if self.by_name[claim.configuration].group != "static":
            return claim.chosen
        assert self.reference is not None
        best, space = self.best(self.reference.name), self.spaces[self.reference.name]
        liked = space.defaults if best is None else best.chosen
        return {**liked, "weights": weights_in_words(self._points[claim.place])}

    def final_jobs(self) -> list[FinalJob]:
        """All configurations under the first seed, then all under the second, and so on."""
        found = {each.name: self.best(each.name) for each in self.configurations}
        return [
            FinalJob(name, seed, line.chosen)
            for seed in range(1, self.config.seeds + 1)
            for name, line in found.items()
            if line is not None
        ]

    def finals_take(self, slots: int) -> float:
        """The seconds of the final trainings, so many at a time, from what the trials took."""
        done = [line for line in self.all_lines if line.state == "done"]
        if not done:
            return 0.0
        mean = sum(line.seconds for line in done) / len(done)
        best = [self.best(each.name) for each in self.configurations]
        seconds = sum(mean if line is None else line.seconds for line in best)
        seconds += _ADDED_TO_A_FINAL * len(best)
        return self.config.seeds * seconds / slots

    def _order(self, configuration: Configuration) -> tuple[int, int]:
        place = len(self.lines[configuration.name])
        if place == 0 and configuration.group != "static":
            return (0, int(configuration.group == "method"))
        is_reference = self.reference is not None and configuration.name == self.reference.name
        first = 1 if is_reference else 2 if configuration.group == "static" else 3
        return (first, place)

    def _left(self, configuration: Configuration) -> int:
        return self.num_trials(configuration) - len(self.lines[configuration.name])

    def _may_start(self, configuration: Configuration) -> bool:
        """Static weights wait for the last trial of equal ones."""
        if configuration.group != "static":
            return True
        return self.reference is not None and not self._left(self.reference)
