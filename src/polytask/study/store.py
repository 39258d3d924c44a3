"""What is to be trained and what has been, in optuna's storage: a file, or a data base of several machines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polytask.records.study import State, TrialLine
from polytask.study.search import Chosen, Space
from polytask.study.storage import opened
from polytask.study.waiting import (
    CHOSEN,
    PLACE,
    REASON,
    RESULT,
    ended_lines,
    enter_again,
    popped,
    trial_state,
    wait_again,
)

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

FINALS = "finals"
_HEARTBEAT, _GRACE = 20, 120
"""Seconds between signs of life of a training, and after how many without one it is given to others."""
_RETRIED, _JOBS = "retried", "jobs"
_FEWEST_BEFORE_MODEL = 4
_FEWEST_TO_PRUNE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A trial that is this process's to train."""

    configuration: str
    place: int
    chosen: Chosen
    trial: "optuna.trial.Trial"


@dataclass(frozen=True, slots=True)
class FinalJob:
    """The best options of a configuration, to be trained under a seed."""

    configuration: str
    seed: int
    chosen: Chosen


@dataclass(slots=True, eq=False)
class TrialStore:
    """One optuna study a configuration, its trials waiting in order of their places from the start.

    A trial is claimed by whoever first marks it as running, so that no two machines train it. Where one
    process alone writes, trials that it left running are given out again at the next start; where
    several do, those whose machine gave no sign of life. What is suggested follows from the seed, the
    place and the trials that ended before, so that a study that was killed and resumed chooses the same.
    """

    url: str
    prefix: str
    seed: int
    trials: int
    pruning: bool
    is_shared: bool
    heartbeat: int = _HEARTBEAT
    grace: int = _GRACE
    _storage: "RDBStorage" = field(init=False, repr=False)
    _studies: "dict[str, optuna.Study]" = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        named: dict[str, object] = {}
        if self.is_shared:
            named = {"heartbeat_interval": self.heartbeat, "grace_period": self.grace}
            named["heartbeat_stale_trial_callback"] = enter_again
        self._storage = opened(self.url, named)

    def enter(self, configuration: str, number: int, space: Space | None) -> None:
        """Let `number` trials wait, unless another process has done so; the first takes the defaults."""
        study = self._study(configuration)
        known = {trial.user_attrs.get(PLACE) for trial in study.get_trials(deepcopy=False)}
        for place in range(number):
            if place not in known:
                first = space.first if space is not None and place == 0 else {}
                study.enqueue_trial(first, user_attrs={PLACE: place})

    def claim(self, configuration: str, space: Space | None) -> Claim | None:
        """The next trial that waits, with what it is to try; None where none does."""
        study = self._study(configuration)
        waiting = self._places(study, "WAITING")
        if not waiting:
            return None
        study.sampler = self._sampler(min(waiting))
        trial = popped(study, before=self._alive if self.is_shared else None)
        if trial is None:
            return None
        place = int(trial.user_attrs[PLACE])
        chosen = space.suggest(trial) if space is not None else {}
        return Claim(configuration, place, chosen, trial)

    def should_stop(self, claim: Claim, step: int, score: float) -> bool:
        """Whether a trial is behind the median of those before it, at the same validation."""
        self.sign_of_life(claim)
        if not self.pruning or math.isnan(score):
            return False
        claim.trial.report(score, step)
        return bool(claim.trial.should_prune())

    def sign_of_life(self, claim: Claim) -> None:
        if self.is_shared:
            self._alive(claim.trial._trial_id)

    def finish(
        self,
        claim: Claim,
        state: State,
        score: float | None,
        result: Mapping[str, object],
        *,
        chosen: Chosen | None = None,
        reason: str = "",
    ) -> None:
        """Write down how a trial ended."""
        from optuna.trial import TrialState

        states = {
            "done": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }
        if state == "done" and score is None:
            state, reason = "failed", "the validation rows do not define its score"
        trial, study = claim.trial, self._study(claim.configuration)
        trial.set_user_attr(CHOSEN, dict(chosen or claim.chosen))
        trial.set_user_attr(RESULT, dict(result))
        trial.set_user_attr(REASON, reason)
        value = score if state == "done" else None
        study.tell(trial.number, value, state=states[state], skip_if_finished=True)

    def give_back(self, claim: Claim) -> None:
        """Let a trial that was not finished wait again."""
        wait_again(self._study(claim.configuration), claim.trial.number)

    def try_again(self, claim: Claim) -> bool:
        """Let a trial whose process was killed wait once more; False where that has been done before."""
        if claim.trial.user_attrs.get(_RETRIED):
            return False
        claim.trial.set_user_attr(_RETRIED, True)
        self.give_back(claim)
        return True

    def give_back_left(self, configurations: Sequence[str]) -> int:
        """Let what a killed process left running wait again; how many these were."""
        import optuna

        number = 0
        for configuration in configurations:
            study = self._study(configuration)
            if self.is_shared:
                before = len(self._places(study, "WAITING"))
                optuna.storages.fail_stale_trials(study)
                number += len(self._places(study, "WAITING")) - before
                continue
            for trial in study.get_trials(deepcopy=False, states=(trial_state("RUNNING"),)):
                wait_again(study, trial.number)
                number += 1
        return number

    def num_open(self, configuration: str) -> int:
        """Trials that wait, or are being trained somewhere."""
        study = self._study(configuration)
        return len({*self._places(study, "WAITING"), *self._places(study, "RUNNING")})

    def is_waiting(self, configuration: str) -> bool:
        return bool(self._places(self._study(configuration), "WAITING"))

    def lines(self, configuration: str) -> list[TrialLine]:
        """The trials that ended, by place."""
        trials = self._study(configuration).get_trials(deepcopy=False)
        found = {line.place: line for line in ended_lines(configuration, trials)}
        return [found[place] for place in sorted(found)]

    def exists(self, configuration: str) -> bool:
        import optuna

        names = optuna.study.get_all_study_names(self._storage)
        return self._name(configuration) in names

    def enter_finals(self, jobs: Sequence[FinalJob]) -> None:
        """Let the trainings of the best options wait, in this order; from here on no trial is begun."""
        study = self._study(FINALS)
        if _JOBS not in study.user_attrs:
            study.set_user_attr(_JOBS, [[j.configuration, j.seed, dict(j.chosen)] for j in jobs])
        self.enter(FINALS, len(jobs), None)

    def finals(self) -> list[FinalJob] | None:
        """What `enter_finals` was given; None before it."""
        if not self.exists(FINALS):
            return None
        jobs = self._study(FINALS).user_attrs.get(_JOBS)
        return None if jobs is None else [FinalJob(*job) for job in jobs]

    def _alive(self, trial_id: int) -> None:
        self._storage.record_heartbeat(trial_id)

    def _study(self, configuration: str) -> "optuna.Study":
        import optuna

        if configuration not in self._studies:
            self._studies[configuration] = optuna.create_study(
                study_name=self._name(configuration),
                storage=self._storage,
                direction="maximize",
                load_if_exists=True,
                sampler=self._sampler(0),
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=_FEWEST_TO_PRUNE, n_warmup_steps=1
                ),
            )
        return self._studies[configuration]

    def _name(self, configuration: str) -> str:
        return f"{self.prefix}/{configuration}"

    def _sampler(self, place: int) -> "optuna.samplers.BaseSampler":
        """A sampler of this place's own: the first trials of all configurations draw alike."""
        import optuna

        return optuna.samplers.TPESampler(
            seed=(self.seed * 1_000_003 + place) % (1 << 32),
            n_startup_trials=max(_FEWEST_BEFORE_MODEL, self.trials // 2),
            constant_liar=self.is_shared,
        )

    def _places(self, study: "optuna.Study", state: str) -> list[int]:
        trials = study.get_trials(deepcopy=False, states=(trial_state(state),))
        return [int(trial.user_attrs[PLACE]) for trial in trials if PLACE in trial.user_attrs]
