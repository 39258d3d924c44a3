"""Trials are given out once, in order, and choose the same whatever was killed in between."""

import time
from pathlib import Path

import pytest

from polytask.config import validate_config
from polytask.config.study import SearchConfig
from polytask.errors import UserError
from polytask.study.search import network_space
from polytask.study.storage import without_password
from polytask.study.store import FinalJob, TrialStore

SPACE = network_space(SearchConfig(), validate_config({}))


def store(folder: Path, *, trials: int = 6, pruning: bool = True) -> TrialStore:
    return TrialStore(
        f"sqlite:///{folder / 'trials.db'}", "study", 0, trials, pruning, is_shared=False
    )


def score_of(chosen: dict) -> float:
    return 0.8 - abs(chosen["dropout"] - 0.2) - 10 * abs(chosen["learning_rate"] - 0.01)


def take(made: TrialStore, number: int) -> list[dict]:
    """The next trials, finished one after another."""
    found = []
    for _ in range(number):
        claim = made.claim("equal", SPACE)
        assert claim is not None
        found.append(dict(claim.chosen))
        made.finish(claim, "done", score_of(claim.chosen), {"seconds": 1.0, "valid": {"a": 0.5}})
    return found


def test_the_first_trial_is_the_defaults_and_none_is_given_twice(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.enter("equal", 6, SPACE)
    made.enter("equal", 6, SPACE)
    chosen = take(made, 6)
    assert chosen[0] == SPACE.defaults
    assert len({tuple(each.items()) for each in chosen}) >= 5
    assert made.claim("equal", SPACE) is None
    lines = made.lines("equal")
    assert [line.place for line in lines] == [*range(6)]
    assert [line.chosen for line in lines] == chosen
    assert made.num_open("equal") == 0


def test_after_a_kill_the_same_is_chosen(tmp_path: Path) -> None:
    """Killed in the third trial and again in the fourth: what follows is as if nothing had happened."""
    undisturbed = tmp_path / "whole"
    undisturbed.mkdir()
    whole = store(undisturbed)
    whole.enter("equal", 6, SPACE)
    expected = take(whole, 6)
    made = store(tmp_path)
    made.enter("equal", 6, SPACE)
    found = take(made, 2)
    for number in (1, 1, 2):
        assert made.claim("equal", SPACE) is not None  # Killed here.
        made = store(tmp_path)
        assert made.give_back_left(["equal"]) == 1
        made.enter("equal", 6, SPACE)
        found += take(made, number)
    assert found == expected
    assert [line.chosen for line in made.lines("equal")] == expected


def test_the_first_trials_of_all_rows_draw_alike(tmp_path: Path) -> None:
    made = store(tmp_path)
    for name in ("equal", "other"):
        made.enter(name, 2, SPACE)
    drawn = []
    for name in ("equal", "other"):
        for _ in range(2):
            claim = made.claim(name, SPACE)
            assert claim is not None
            drawn.append(dict(claim.chosen))
            made.finish(claim, "done", 0.1, {})
    assert drawn[:2] == drawn[2:]


def test_a_trial_that_is_behind_the_median_is_stopped(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.enter("equal", 5, SPACE)
    for score in (0.6, 0.7, 0.8):
        claim = made.claim("equal", SPACE)
        assert claim is not None
        assert not any(made.should_stop(claim, step, score) for step in range(3))
        made.finish(claim, "done", score, {})
    claim = made.claim("equal", SPACE)
    assert claim is not None
    assert not made.should_stop(claim, 0, 0.1), "the first validation says little"
    assert made.should_stop(claim, 1, 0.1)
    made.finish(claim, "pruned", 0.1, {})
    assert made.lines("equal")[-1].state == "pruned"
    patient = store(tmp_path, pruning=False)
    claim = patient.claim("equal", SPACE)
    assert claim is not None and not patient.should_stop(claim, 1, 0.1)


def test_a_failed_trial_keeps_its_reason_and_is_not_repeated(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.enter("equal", 2, SPACE)
    claim = made.claim("equal", SPACE)
    assert claim is not None
    made.finish(claim, "failed", None, {}, reason="out of memory")
    assert store(tmp_path).give_back_left(["equal"]) == 0
    [line] = made.lines("equal")
    assert (line.state, line.reason, line.score) == ("failed", "out of memory", None)
    take(made, 1)
    assert made.claim("equal", SPACE) is None


def test_who_was_killed_is_tried_once_more(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.enter("equal", 1, SPACE)
    claim = made.claim("equal", SPACE)
    assert claim is not None and made.try_again(claim)
    claim = made.claim("equal", SPACE)
    assert claim is not None and claim.place == 0 and claim.chosen == SPACE.defaults
    assert not made.try_again(claim)


def test_who_is_killed_in_the_act_of_claiming_leaves_the_trial_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the mark that it is running and everything else: also then there was a sign of life."""

    class Killed(BaseException):
        pass

    def shared() -> TrialStore:
        url = f"sqlite:///{tmp_path / 'trials.db'}"
        return TrialStore(url, "study", 0, 2, False, is_shared=True, heartbeat=1, grace=1)

    made = shared()
    made.enter("equal", 2, SPACE)
    mark = made._storage.set_trial_state_values

    def mark_and_die(*arguments: object, **named: object) -> None:
        mark(*arguments, **named)
        raise Killed

    monkeypatch.setattr(made._storage, "set_trial_state_values", mark_and_die)
    with pytest.raises(Killed):
        made._studies["equal"]._storage = made._storage
        made.claim("equal", SPACE)
    other = shared()
    assert other.num_open("equal") == 2
    end = time.monotonic() + 20
    while not other.give_back_left(["equal"]) and time.monotonic() < end:
        time.sleep(0.2)
    assert take(other, 2)[0] == SPACE.defaults
    assert other.num_open("equal") == 0


def test_final_trainings_are_entered_once(tmp_path: Path) -> None:
    made = store(tmp_path)
    assert made.finals() is None
    jobs = [FinalJob("equal", 1, {"learning_rate": 0.1}), FinalJob("equal", 2, {})]
    made.enter_finals(jobs)
    made.enter_finals(jobs[:1])
    assert store(tmp_path).finals() == jobs
    assert [made.claim("finals", None).place for _ in jobs] == [0, 1]
    assert made.claim("finals", None) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/study", "cannot be reached"),
        ("nonsense", "cannot be reached"),
        ("sqlite:////no/such/folder/trials.db", "cannot be reached"),
    ],
)
def test_a_storage_that_is_not_there_is_said(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        TrialStore(url, "study", 0, 1, True, is_shared=True)
    assert "secret" not in caught.value.message


def test_a_password_is_not_shown() -> None:
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
