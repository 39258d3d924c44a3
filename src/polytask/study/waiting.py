"""optuna's trials as a queue: which waits, whose it becomes, and how what was left waits again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from polytask.records.study import State, TrialLine

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

PLACE, REASON, CHOSEN, RESULT = "place", "reason", "chosen", "result"
"""What is written beside a trial: its place in the queue, and how it ended."""


def popped(
    study: "optuna.Study", *, before: Callable[[int], None] | None = None
) -> "optuna.trial.Trial | None":
    """The waiting trial of the lowest place that nobody else has taken; unlike `ask`, none is made.

    `before` is called with the trial's number in the storage before it is taken. A first sign of life
    belongs there: who is killed after taking a trial and before one would keep it for ever, since
    only trials with a sign of life are seen to have no more of them.
    """
    import optuna
    from optuna.exceptions import UpdateFinishedTrialError

    waiting = study.get_trials(deepcopy=False, states=(trial_state("WAITING"),))
    for trial in sorted(waiting, key=lambda each: int(each.user_attrs.get(PLACE, 0))):
        if before is not None:
            before(trial._trial_id)
        try:
            taken = study._storage.set_trial_state_values(
                trial._trial_id, state=trial_state("RUNNING")
            )
        except UpdateFinishedTrialError:
            continue
        if taken:
            return optuna.trial.Trial(study, trial._trial_id)
    return None


def wait_again(study: "optuna.Study", number: int) -> None:
    """End a running trial and enter its place once more."""
    trial = next(t for t in study.get_trials(deepcopy=False) if t.number == number)
    study.tell(number, state=trial_state("FAIL"), skip_if_finished=True)
    enter_again(study, trial)


def enter_again(study: "optuna.Study", trial: "FrozenTrial") -> None:
    """The same place, and what it was told to try, once more."""
    fixed = trial.system_attrs.get("fixed_params", {})
    study.enqueue_trial(fixed, user_attrs=_lasting(trial.user_attrs))


def ended_lines(configuration: str, trials: "Sequence[FrozenTrial]") -> Iterator[TrialLine]:
    """What is known of the trials that ended; those that wait again under another number are left out."""
    for trial in trials:
        attributes = trial.user_attrs
        if not trial.state.is_finished() or REASON not in attributes:
            continue
        result = attributes[RESULT]
        state: State = {"COMPLETE": "done", "PRUNED": "pruned"}.get(trial.state.name, "failed")  # type: ignore[assignment]
        yield TrialLine(
            configuration=configuration,
            place=int(attributes[PLACE]),
            state=state,
            score=trial.value if state == "done" else None,
            seconds=float(result.get("seconds", 0.0)),
            chosen=attributes[CHOSEN],
            valid=result.get("valid", {}),
            reason=attributes[REASON],
        )


def trial_state(name: str) -> "TrialState":
    """optuna's state by name."""
    from optuna.trial import TrialState

    return TrialState[name]


def _lasting(attributes: Mapping[str, object]) -> dict[str, object]:
    """What says which trial it is, not how it ended."""
    return {k: v for k, v in attributes.items() if k not in (REASON, RESULT, CHOSEN)}
