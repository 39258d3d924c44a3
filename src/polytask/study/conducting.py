"""A study under way: which training is next, how it ended, and when there is no time for another."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from polytask.config.study import StudyConfig
from polytask.fitting.preparing.prepare import Prepared
from polytask.records.study import TrialLine
from polytask.study.configurations import Configuration
from polytask.study.folder import StudyFolder
from polytask.study.pace import Pace
from polytask.study.processes import Asked, Ended, Processes
from polytask.study.search import Chosen, Space, weight_points, weights_in_words
from polytask.study.store import FINALS, Claim, FinalJob, TrialStore
from polytask.study.training import Training, run_final, run_trial

_POLL_SECONDS = 1.0
_ADDED_TO_A_FINAL = 1.0
"""Seconds of a final training beside those of its trial: test rows are predicted and written."""


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is done, pruned or failed."""

    line: TrialLine


@dataclass(frozen=True, slots=True)
class FinalEnded:
    """The best options of a configuration were trained under a seed; `reason` says why they were not."""

    configuration: str
    seed: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """A training began in a process of its own."""

    configuration: str
    what: str


ConductorEvent: TypeAlias = TrialEnded | FinalEnded | TrainingStarted


@dataclass(slots=True, eq=False)
class Conductor:
    """Hands out trials and final trainings to processes until all are done, or the time is.

    Of a configuration one trial runs at a time, so that what is suggested next follows from those before
    it. `leads`: whether it says when the trials are over; one that joins follows.
    """

    config: StudyConfig
    prepared: Prepared
    configurations: Sequence[Configuration]
    reference: Configuration | None
    spaces: Mapping[str, Space]
    store: TrialStore
    folder: StudyFolder
    processes: Processes[Claim]
    pace: Pace
    leads: bool = True
    lines: dict[str, list[TrialLine]] = field(default_factory=dict)
    failed_finals: dict[tuple[str, int], str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    ran_out: bool = False
    _jobs: list[FinalJob] = field(default_factory=list)
    _points: list[tuple[float, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.reference is not None:
            self._points = weight_points(
                self.reference.num_losses, trials=self.config.trials, seed=self.config.seed
            )

    @property
    def by_name(self) -> dict[str, Configuration]:
        return {each.name: each for each in self.configurations}

    def num_trials(self, configuration: Configuration) -> int:
        """As many for all; the points of static weights where these are more."""
        return len(self._points) if configuration.group == "static" else self.config.trials

    def enter(self) -> int:
        """Let all trials wait, and those again that a killed process left; how many these were."""
        names = [each.name for each in self.configurations]
        if self.leads:
            for each in self.configurations:
                space = None if each.group == "static" else self.spaces[each.name]
                self.store.enter(each.name, self.num_trials(each), space)
            if self.store.exists(FINALS):
                names.append(FINALS)
        left = self.store.give_back_left(names)
        self.read_lines()
        return left

    def read_lines(self) -> None:
        """What other processes have done as well."""
        for each in self.configurations:
            self.lines[each.name] = self.store.lines(each.name)

    def events(self) -> Iterator[ConductorEvent]:
        """Trials, then final trainings."""
        try:
            yield from self._trials()
            yield from self._finals()
        finally:
            self._stop_all()

    def best(self, configuration: str) -> TrialLine | None:
        """The trial of the highest score, the earlier of equals."""
        done = [line for line in self.lines.get(configuration, ()) if line.score is not None]
        return max(done, key=lambda line: (line.score, -line.place), default=None)

    def _trials(self) -> Iterator[ConductorEvent]:
        while self.store.finals() is None:
            while self.processes.has_room and self._has_time_for_trials():
                claim = self._next_trial()
                if claim is None:
                    break
                yield self._start(claim, self._training_of(claim), None)
            if not self._has_time_for_trials():
                self.ran_out = self.leads
                self._stop_all()
                return
            if not self.processes.running:
                if self._trials_are_over():
                    return
                self._wait_for_others()
            for event in self.processes.events(until=time.monotonic() + _POLL_SECONDS):
                if isinstance(event, Asked):
                    stop = self.store.should_stop(event.key, event.place, event.score)
                    self.processes.answer(event.key, stop=stop)
                else:
                    yield from self._trial_ended(event)
            self._sign_of_life()

    def _finals(self) -> Iterator[ConductorEvent]:
        if self.leads and self.store.finals() is None:
            self.read_lines()
            self.store.enter_finals(self._final_jobs())
        self._jobs = self.store.finals() or []
        while True:
            yield from self._begun_finals()
            if not self.processes.running:
                is_late = not self.pace.allows_finals
                self.ran_out |= is_late and self.store.is_waiting(FINALS)
                if is_late or not self.store.num_open(FINALS):
                    return
                self._wait_for_others()
            for event in self.processes.events(until=time.monotonic() + _POLL_SECONDS):
                if isinstance(event, Ended):
                    yield from self._final_ended(event)
                else:
                    self.processes.answer(event.key, stop=False)
            self._sign_of_life()
            if time.monotonic() > self.pace.last_moment:
                self.ran_out = True
                self._stop_all()
                return

    def _begun_finals(self) -> Iterator[ConductorEvent]:
        """As many as there is room and time for."""
        while self.processes.has_room and self.pace.allows_finals:
            claim = self.store.claim(FINALS, None)
            if claim is None:
                return
            job = self._jobs[claim.place]
            left = self.folder.final(job.configuration, job.seed)
            if left is not None:
                # It had ended when the process was killed that should have written so.
                self.store.finish(claim, "done", 0.0, {"seconds": left[0].seconds})
                yield FinalEnded(job.configuration, job.seed, left[0].seconds)
                continue
            training = Training(self.by_name[job.configuration], job.chosen, job.seed)
            yield self._start(claim, training, self.folder.paths(job.configuration, job.seed))

    def _stop_all(self) -> None:
        """Kill what runs, and let it wait again."""
        for claim in self.processes.stop():
            self._forget(claim)
            self.store.give_back(claim)

    def _start(
        self, claim: Claim, training: Training, paths: tuple[Path, Path] | None
    ) -> TrainingStarted:
        name = training.configuration.name
        what = f"seed {training.seed}" if paths else f"trial {claim.place + 1}"
        if paths is None:
            work = partial(run_trial, training, self.prepared)
            self.processes.start(claim, work)
        else:
            final = partial(run_final, training, self.prepared, paths)
            self.processes.start(claim, lambda report: final())
        self.running[name] = what
        return TrainingStarted(name, what)

    def _next_trial(self) -> Claim | None:
        """First one trial of everything, then what the search of static weights waits for, then it."""
        busy = {claim.configuration for claim in self.processes.keys}
        free = [
            each
            for each in self.configurations
            if each.name not in busy and self._left(each) and self._may_start(each)
        ]
        for each in sorted(free, key=self._order):
            claim = self.store.claim(each.name, self.spaces.get(each.name))
            if claim is not None:
                return claim
            if self.store.is_shared:
                self.lines[each.name] = self.store.lines(each.name)
        return None

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
        """Static weights are searched with the options that equal ones were found to like."""
        if configuration.group != "static":
            return True
        return self.reference is not None and not self._left(self.reference)

    def _training_of(self, claim: Claim) -> Training:
        return Training(self.by_name[claim.configuration], self._chosen(claim), 0)

    def _chosen(self, claim: Claim) -> Chosen:
        if self.by_name[claim.configuration].group != "static":
            return claim.chosen
        assert self.reference is not None
        best, space = self.best(self.reference.name), self.spaces[self.reference.name]
        liked = space.defaults if best is None else best.chosen
        return {**liked, "weights": weights_in_words(self._points[claim.place])}

    def _trial_ended(self, event: Ended[Claim]) -> Iterator[ConductorEvent]:
        claim, trained = event.key, event.trained
        self._forget(claim)
        if event.was_killed and self.store.try_again(claim):
            return
        chosen = self._chosen(claim)
        if trained is None:
            self.store.finish(claim, "failed", None, {}, chosen=chosen, reason=event.reason)
        else:
            state = "pruned" if trained.is_pruned else "done"
            result = asdict(trained)
            self.store.finish(claim, state, trained.score, result, chosen=chosen)  # type: ignore[arg-type]
        self.lines[claim.configuration] = self.store.lines(claim.configuration)
        line = next(e for e in self.lines[claim.configuration] if e.place == claim.place)
        yield TrialEnded(line)

    def _final_ended(self, event: Ended[Claim]) -> Iterator[ConductorEvent]:
        claim, job = event.key, self._jobs[event.key.place]
        self._forget(claim)
        if event.was_killed and self.store.try_again(claim):
            return
        if event.trained is None:
            self.store.finish(claim, "failed", None, {}, reason=event.reason)
            self.failed_finals[job.configuration, job.seed] = event.reason
        else:
            self.store.finish(claim, "done", 0.0, {"seconds": event.trained.seconds})
        seconds = 0.0 if event.trained is None else event.trained.seconds
        yield FinalEnded(job.configuration, job.seed, seconds, event.reason)

    def _forget(self, claim: Claim) -> None:
        name = (
            self._jobs[claim.place].configuration
            if claim.configuration == FINALS
            else claim.configuration
        )
        self.running.pop(name, None)

    def _final_jobs(self) -> list[FinalJob]:
        """All configurations under the first seed, then all under the second, and so on."""
        found = {each.name: self.best(each.name) for each in self.configurations}
        return [
            FinalJob(name, seed, line.chosen)
            for seed in range(1, self.config.seeds + 1)
            for name, line in found.items()
            if line is not None
        ]

    def _has_time_for_trials(self) -> bool:
        return self.pace.allows_trials(finals_take=self._finals_take())

    def _finals_take(self) -> float:
        """How long the final trainings will take, from what the trials took."""
        done = [line for each in self.lines.values() for line in each if line.state == "done"]
        if not done:
            return 0.0
        mean = sum(line.seconds for line in done) / len(done)
        best = [self.best(each.name) for each in self.configurations]
        seconds = sum(mean if line is None else line.seconds for line in best)
        seconds += _ADDED_TO_A_FINAL * len(best)
        return self.config.seeds * seconds / self.processes.slots

    def _trials_are_over(self) -> bool:
        if not self.leads:
            return False
        if self.store.is_shared:
            self.read_lines()
            return not any(self.store.num_open(each.name) for each in self.configurations)
        return True

    def _wait_for_others(self) -> None:
        """Other machines are at work: look again soon, and take over what they left."""
        time.sleep(_POLL_SECONDS)
        names = [each.name for each in self.configurations]
        self.store.give_back_left([*names, *([FINALS] if self.store.exists(FINALS) else [])])
        self.read_lines()

    def _sign_of_life(self) -> None:
        for claim in self.processes.keys:
            self.store.sign_of_life(claim)
