"""A study under way: which training is next, how it ended, and when there is no time for another."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from polytask.fitting.preparing.prepare import Prepared
from polytask.study.agenda import Agenda
from polytask.study.events import ConductorEvent, FinalEnded, TrainingStarted, TrialEnded
from polytask.study.folder import StudyFolder
from polytask.study.pace import Pace
from polytask.study.processes import Asked, Ended, Processes
from polytask.study.store import FINALS, Claim, FinalJob, TrialStore
from polytask.study.training import Training, run_final, run_trial

_POLL_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Conductor:
    """Hands out trials and final trainings to processes until all are done, or the time is.

    Of a configuration one trial runs at a time, so that what is suggested next follows from those before
    it. `leads`: whether it says when the trials are over; one that joins follows.
    """

    agenda: Agenda
    prepared: Prepared
    store: TrialStore
    folder: StudyFolder
    processes: Processes[Claim]
    pace: Pace
    leads: bool = True
    failed_finals: dict[tuple[str, int], str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    ran_out: bool = False
    _jobs: list[FinalJob] = field(default_factory=list)

    def enter(self) -> int:
        """Let all trials wait, and those again that a killed process left; how many these were."""
        names = [*self.agenda.by_name]
        if self.leads:
            for each in self.agenda.configurations:
                space = None if each.group == "static" else self.agenda.spaces[each.name]
                self.store.enter(each.name, self.agenda.num_trials(each), space)
            if self.store.exists(FINALS):
                names.append(FINALS)
        left = self.store.give_back_left(names)
        self.read_lines()
        return left

    def read_lines(self) -> None:
        """What other processes have done as well."""
        for name in self.agenda.by_name:
            self.agenda.lines[name] = self.store.lines(name)

    def events(self) -> Iterator[ConductorEvent]:
        """Trials, then final trainings."""
        try:
            yield from self._trials()
            yield from self._finals()
        finally:
            self._stop_all()

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
            self.store.enter_finals(self.agenda.final_jobs())
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
            training = Training(self.agenda.by_name[job.configuration], job.chosen, job.seed)
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
        """The next trial that is nobody's yet."""
        busy = {claim.configuration for claim in self.processes.keys}
        for each in self.agenda.open_configurations(busy):
            claim = self.store.claim(each.name, self.agenda.spaces.get(each.name))
            if claim is not None:
                return claim
            if self.store.is_shared:
                self.agenda.lines[each.name] = self.store.lines(each.name)
        return None

    def _training_of(self, claim: Claim) -> Training:
        return Training(self.agenda.by_name[claim.configuration], self.agenda.chosen(claim), 0)

    def _trial_ended(self, event: Ended[Claim]) -> Iterator[ConductorEvent]:
        claim, trained = event.key, event.trained
        self._forget(claim)
        if event.was_killed and self.store.try_again(claim):
            return
        chosen = self.agenda.chosen(claim)
        if trained is None:
            self.store.finish(claim, "failed", None, {}, chosen=chosen, reason=event.reason)
        else:
            state = "pruned" if trained.is_pruned else "done"
            result = asdict(trained)
            self.store.finish(claim, state, trained.score, result, chosen=chosen)  # type: ignore[arg-type]
        lines = self.store.lines(claim.configuration)
        self.agenda.lines[claim.configuration] = lines
        line = next(each for each in lines if each.place == claim.place)
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

    def _has_time_for_trials(self) -> bool:
        finals_take = self.agenda.finals_take(self.processes.slots)
        return self.pace.allows_trials(finals_take=finals_take)

    def _trials_are_over(self) -> bool:
        if not self.leads:
            return False
        if self.store.is_shared:
            self.read_lines()
            return not any(self.store.num_open(name) for name in self.agenda.by_name)
        return True

    def _wait_for_others(self) -> None:
        """Other machines are at work: look again soon, and take over what they left."""
        time.sleep(_POLL_SECONDS)
        names = [*self.agenda.by_name]
        self.store.give_back_left([*names, *([FINALS] if self.store.exists(FINALS) else [])])
        self.read_lines()

    def _sign_of_life(self) -> None:
        for claim in self.processes.keys:
            self.store.sign_of_life(claim)
