"""Checkpoints of a training run: the newest two, whole or noticed to be damaged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from polytask.errors import UserError
from polytask.files.writing import make_folder
from polytask.records.layout import FINISHED, STEP, remove_state, states_of
from polytask.training.loop import TrainStep
from polytask.training.run import TrainingRun
from polytask.training.run_state import (
    ARITHMETIC,
    SETTINGS,
    apply_state,
    arithmetic_of,
    require_whole,
    settings_facts,
    state_of,
)
from polytask.training.state_files import (
    DamagedStateError,
    ForeignStateError,
    State,
    read_state,
    write_state,
)

_ORIGIN, _PLACE, _LOG_BYTES = "origin", "place", "log_bytes"


@dataclass(frozen=True, slots=True)
class Restored:
    """Where a run goes on: `log_bytes` is None where it starts from the beginning.

    `notices` say what somebody should know: damage, and why the bits may be others.
    """

    log_bytes: int | None
    is_finished: bool
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run in a folder of their own: step-N, and `finished` at the end.

    `every` is the number of steps between them (0: at validations and ends of epochs only).
    `origin` says by name what the run was started on, its data for one; a checkpoint of another
    origin is refused.

    checkpoints = Checkpoints(Path("checkpoints"))
    checkpoints.restore(run)                     # to where the newest one is, if there is one
    for step in train(run, stream):
        if checkpoints.is_due(run, step):
            checkpoints.save(run)
    """

    folder: Path
    every: int = 1000
    origin: Mapping[str, str] = field(default_factory=dict)

    def is_due(self, run: TrainingRun, step: TrainStep) -> bool:
        """After a validation, at the end of an epoch, and each `every` steps."""
        by_count = self.every > 0 and step.step % self.every == 0
        return by_count or step.validation is not None or run.progress.batch == 0

    def save(self, run: TrainingRun, *, log_bytes: int = 0, is_finished: bool = False) -> None:
        """Keep this one and the one before. `log_bytes` is how long the run's log is now."""
        make_folder(self.folder)
        state = state_of(run, is_finished=is_finished)
        place = {_LOG_BYTES: str(log_bytes)}
        facts = {**state.facts, _ORIGIN: self.origin, _PLACE: place}
        path = self.folder / (FINISHED if is_finished else f"step-{run.progress.step:010d}")
        write_state(path, State(state.tensors, facts))
        older = [other for other in self._newest_first() if _is_newer(path, other)]
        for other in states_of(self.folder):
            if other not in (path, *older[:1]):
                remove_state(other)

    def restore(self, run: TrainingRun) -> Restored:
        """Bring a fresh run to the newest whole checkpoint; UserError if it is another run's."""
        damaged: list[str] = []
        foreign: DamagedStateError | None = None
        for path in self._newest_first():
            try:
                state = read_state(path)
                _require_place(state)
                self._require_same_run(state, run)
                require_whole(run, state)
            except DamagedStateError as error:
                foreign = error if isinstance(error, ForeignStateError) else foreign
                damaged.append(f"the checkpoint {path} is damaged: {error}")
                continue
            others = _differences(state.facts[ARITHMETIC], arithmetic_of(run))
            apply_state(run, state)
            if damaged:
                damaged.append(f"going on from the one before, {path}")
            told = f"not bit-identical to a run without a break: {'; '.join(others)}"
            return Restored(
                log_bytes=int(state.facts[_PLACE][_LOG_BYTES]),
                is_finished=path.name == FINISHED,
                notices=(*damaged, *([told] if others else [])),
            )
        if foreign is not None:
            raise UserError(f"{self.folder}: {foreign}")
        if damaged:
            damaged.append("there is none before it: this model is trained from the beginning")
        return Restored(None, False, tuple(damaged))

    def _newest_first(self) -> Iterator[Path]:
        names = {path.name: path for path in states_of(self.folder)}
        if FINISHED in names:
            yield names[FINISHED]
        yield from (names[name] for name in sorted(names, reverse=True) if STEP.fullmatch(name))

    def _require_same_run(self, state: State, run: TrainingRun) -> None:
        others = _differences(state.facts[SETTINGS], settings_facts(run))
        others += _differences(state.facts[_ORIGIN], self.origin)
        if others:
            raise UserError(
                f"{self.folder}: this is no longer the run that the checkpoints are of: "
                f"{'; '.join(others)}. Put that back, or start a new run in another folder"
            )


def _require_place(state: State) -> None:
    """DamagedStateError where the facts that every checkpoint has are not there."""
    for group in (SETTINGS, ARITHMETIC, _ORIGIN, _PLACE):
        if group not in state.facts:
            raise DamagedStateError(f"its facts lack {group}")
    if not state.facts[_PLACE].get(_LOG_BYTES, "").isdecimal():
        raise DamagedStateError(f"its facts lack {_LOG_BYTES}")


def _is_newer(path: Path, other: Path) -> bool:
    """Whether `path` was reached after `other`; a step that was abandoned lies in the future."""
    return other.name != FINISHED and (path.name == FINISHED or other.name < path.name)


def _differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*then, *now])
    return [
        f"{name}: {then.get(name, 'nothing')} then, {now.get(name, 'nothing')} now"
        for name in names
        if then.get(name) != now.get(name)
    ]
