"""Trainings in processes of their own, each with a limit of time and memory; a fork shares the table."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, Literal, TypeVar

from polytask.errors import UserError
from polytask.study.limits import Limits, settle
from polytask.study.training import Report, TrainingResult

_SECONDS_TO_END = 5.0

Key = TypeVar("Key")
Work = Callable[[Report], TrainingResult]


@dataclass(frozen=True, slots=True)
class Ended(Generic[Key]):
    """A process that is done: what it returned, or why there is nothing.

    `was_killed`: a signal from outside ended it, so it may be tried again.
    """

    key: Key
    trained: TrainingResult | None
    reason: str = ""
    was_killed: bool = False


@dataclass(frozen=True, slots=True)
class Asked(Generic[Key]):
    """A process that waits to be told whether to stop, after a validation."""

    key: Key
    place: int
    score: float


@dataclass(slots=True, eq=False)
class _Running(Generic[Key]):
    key: Key
    process: BaseProcess
    connection: Connection
    deadline: float
    started: float


@dataclass(slots=True, eq=False)
class Processes(Generic[Key]):
    """Up to `slots` trainings at a time.

    They are forks: what this process has read, they have, and pages that nobody writes are there once.
    So this process must not have started threads of torch's; `prepare` with one thread does not.
    """

    slots: int
    limits: Limits
    running: list[_Running[Key]] = field(default_factory=list)

    @property
    def keys(self) -> list[Key]:
        return [each.key for each in self.running]

    @property
    def has_room(self) -> bool:
        return len(self.running) < self.slots

    def start(self, key: Key, work: Work) -> None:
        """Train in a fork of this process."""
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_child, args=(work, theirs, ours, self.limits, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()
        now = time.monotonic()
        self.running.append(_Running(key, process, ours, now + self.limits.seconds, now))

    def events(self, *, until: float) -> "list[Ended[Key] | Asked[Key]]":
        """What happened, after waiting for it until a moment at the latest."""
        if not self.running:
            return []
        soonest = min([until, *(each.deadline for each in self.running)])
        connections = [each.connection for each in self.running]
        ready = wait(connections, max(soonest - time.monotonic(), 0.0))
        found: list[Ended[Key] | Asked[Key]] = []
        for each in list(self.running):
            if each.connection in ready:
                found.append(self._read(each))
            elif time.monotonic() >= each.deadline:
                found.append(self._too_late(each))
        return found

    def answer(self, key: Key, *, stop: bool) -> None:
        """Tell the process of an `Asked` to go on, or to stop."""
        each = next(each for each in self.running if each.key == key)
        try:
            each.connection.send(stop)
        except OSError:
            return  # It has died meanwhile, which the next event says.

    def stop(self) -> list[Key]:
        """Kill all that run; whose they were."""
        keys = self.keys
        for each in list(self.running):
            self._end(each)
        return keys

    def _read(self, each: _Running[Key]) -> Ended[Key] | Asked[Key]:
        try:
            kind, value = each.connection.recv()
        except (EOFError, OSError):
            return self._died(each)
        if kind == "asked":
            return Asked(each.key, *value)
        self._end(each, kindly=True)
        if kind == "done":
            return Ended(each.key, value)
        return Ended(each.key, None, str(value))

    def _died(self, each: _Running[Key]) -> Ended[Key]:
        each.process.join(_SECONDS_TO_END)
        code = each.process.exitcode
        self._end(each)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return Ended(each.key, None, f"killed by {name}, as where memory is short", True)
        return Ended(each.key, None, f"its process ended with code {code}")

    def _too_late(self, each: _Running[Key]) -> Ended[Key]:
        self._end(each)
        return Ended(each.key, None, f"it took longer than {self.limits.seconds:.0f} s")

    def _end(self, each: _Running[Key], *, kindly: bool = False) -> None:
        if kindly:
            each.process.join(_SECONDS_TO_END)
        if each.process.is_alive():
            each.process.kill()
            each.process.join()
        each.connection.close()
        self.running.remove(each)


def require_forks() -> None:
    """UserError on a system whose processes share no memory with their parent."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UserError(
            f"a study trains in forks of its process, which {sys.platform} does not have: run it on Linux "
            "or macOS, such as in a container"
        )


def _child(
    work: Work, connection: Connection, parents: Connection, limits: Limits, parent: int
) -> None:
    """Train and say so; nothing of the parent's is closed or flushed."""
    parents.close()
    kind: Literal["done", "failed"] = "failed"
    value: object = "nothing was returned"
    try:
        settle(limits, parent)
        value = work(_Reporter(connection))
        kind = "done"
    except UserError as error:
        value = error.message
    except MemoryError:
        value = "it needed more memory than a training may take"
    except BaseException as error:
        # Whatever it is, the study goes on and says what it was.
        first = str(error).partition("\n")[0]
        too_much = "allocate" in first and "memory" in first
        value = "it needed more memory than a training may take" if too_much else ""
        value = value or f"{type(error).__name__}: {first}"
    try:
        connection.send((kind, value))
        connection.close()
    finally:
        os._exit(0)


@dataclass(frozen=True, slots=True)
class _Reporter:
    """Called after a validation, in the child: whether to stop."""

    connection: Connection

    def __call__(self, place: int, score: float) -> bool:
        self.connection.send(("asked", (place, score)))
        try:
            return bool(self.connection.recv())
        except EOFError:
            os._exit(1)  # The study is gone.
