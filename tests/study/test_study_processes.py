"""Trainings in forks: limits, deaths, questions; what one does, the others do not feel."""

import os
import signal
import time

import pytest

from polytask.errors import UserError
from polytask.study.limits import Limits
from polytask.study.processes import Asked, Ended, Processes
from polytask.study.training import Report, TrainingResult

RESULT = TrainingResult(0.5, {"a": 0.5}, 0.1, 1, 1.0, 10)


def ended(work, *, seconds: float = 20.0, memory: int | None = None) -> Ended[str]:
    """How one training ended; every question is answered with yes."""
    processes = Processes[str](1, Limits(seconds, memory, 1))
    processes.start("one", work)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for event in processes.events(until=until):
            if isinstance(event, Ended):
                assert not processes.running
                return event
            processes.answer("one", stop=True)
    raise AssertionError("it did not end")


def test_a_result_comes_back() -> None:
    found = ended(lambda report: RESULT)
    assert (found.trained, found.reason) == (RESULT, "")


def test_a_question_is_answered() -> None:
    def work(report: Report) -> TrainingResult:
        assert report(0, 0.25)
        return RESULT

    assert ended(work).trained == RESULT


def test_a_question_holds_its_place_and_score() -> None:
    processes = Processes[str](1, Limits(20, None, 1))
    processes.start("one", lambda report: RESULT if report(3, 0.75) else None)
    [asked] = processes.events(until=time.monotonic() + 20)
    assert asked == Asked("one", 3, 0.75)
    processes.stop()


def test_a_mistake_is_a_reason() -> None:
    def user_error(report: Report) -> TrainingResult:
        raise UserError("the loss of a is not finite")

    def bug(report: Report) -> TrainingResult:
        raise KeyError("a")

    assert ended(user_error).reason == "the loss of a is not finite"
    assert ended(bug).reason == "KeyError: 'a'"


def test_what_takes_too_long_is_killed() -> None:
    found = ended(lambda report: time.sleep(60) or RESULT, seconds=0.2)
    assert found.trained is None and "longer than 0 s" in found.reason and not found.was_killed


def test_what_takes_too_much_memory_fails_alone() -> None:
    def work(report: Report) -> TrainingResult:
        assert bytearray(600_000_000)
        return RESULT

    assert "more memory" in ended(work, memory=100_000_000).reason
    assert ended(work).trained == RESULT


def test_who_is_killed_from_outside_may_be_tried_again() -> None:
    found = ended(lambda report: os.kill(os.getpid(), signal.SIGKILL) or RESULT)
    assert found.was_killed and "SIGKILL" in found.reason


def test_stopping_ends_all() -> None:
    processes = Processes[str](2, Limits(60, None, 1))
    for key in ("one", "two"):
        processes.start(key, lambda report: time.sleep(60) or RESULT)
    assert not processes.has_room
    pids = [each.process.pid for each in processes.running]
    assert processes.stop() == ["one", "two"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid or 0, 0)
