"""Several workers on one PostgreSQL: no trial twice, none lost when a worker is killed."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked import Forked
from polytask.config import validate_config
from polytask.config.study import SearchConfig, write_study
from polytask.records.study_files import read_record
from polytask.study.search import network_space
from polytask.study.store import TrialStore

SPACE = network_space(SearchConfig(), validate_config({}))
TRIALS = 12


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The URL of a server of the test's own, on a socket; skipped where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or not (folders[-1] / "initdb").exists():
        pytest.skip("PostgreSQL is not installed on this machine (Debian: postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    # A socket's path has at most 107 characters.
    data = Path(tempfile.mkdtemp(prefix="pg"))
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    as_user = {}
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(data, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid}

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [str(folders[-1] / name), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=data,
            **as_user,
        )

    try:
        run("initdb", "-D", f"{data}/base", "-A", "trust", "-U", user, "--no-sync")
        server = f"-k {data} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", f"{data}/base", "-o", server, "-w", "-l", f"{data}/log", "start")
        yield f"postgresql+psycopg://{user}@/postgres?host={data}"
        run("pg_ctl", "-D", f"{data}/base", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def store(url: str, name: str) -> TrialStore:
    return TrialStore(url, name, 0, TRIALS, False, is_shared=True, heartbeat=1, grace=2)


def work(url: str, name: str, log: Path) -> None:
    """A worker: every trial that it can get; each that it begins and ends is a line."""
    made = store(url, name)
    made.enter("equal", TRIALS, SPACE)
    end = time.monotonic() + 60
    while made.num_open("equal") and time.monotonic() < end:
        made.give_back_left(["equal"])
        claim = made.claim("equal", SPACE)
        if claim is None:
            time.sleep(0.1)
            continue
        say(log, f"begun {claim.place} {os.getpid()}")
        time.sleep(0.2)
        made.finish(claim, "done", 0.5, {"seconds": 0.2})
        say(log, f"ended {claim.place} {os.getpid()}")


def say(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def forked_worker(url: str, name: str, log: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(url, name, log)
        finally:
            os._exit(0)
    return pid


@pytest.mark.slow
def test_no_trial_is_done_twice_and_none_is_lost_when_a_worker_is_killed(
    base: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    store(base, "killed").enter("equal", TRIALS, SPACE)
    first, second = (forked_worker(base, "killed", log) for _ in range(2))
    end = time.monotonic() + 60
    while sum(pid == str(first) and what == "begun" for what, _, pid in lines(log)) < 2:
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    os.waitpid(second, 0)
    done = store(base, "killed").lines("equal")
    assert [line.place for line in done] == [*range(TRIALS)]
    assert all(line.state == "done" for line in done)
    begun = Counter(place for what, place, _ in lines(log) if what == "begun")
    ended = Counter(place for what, place, _ in lines(log) if what == "ended")
    assert set(begun) == {str(place) for place in range(TRIALS)}
    assert max(ended.values()) == 1
    twice = [place for place, number in begun.items() if number > 1]
    assert len(twice) <= 1, "only what was being trained when the worker was killed"


@pytest.mark.slow
def test_a_second_machine_takes_part_and_the_answer_is_whole(
    base: str, asked, tmp_path: Path, forked: Forked
) -> None:
    """The one that leads writes the report; the one that joins has done a part of the trainings."""
    config = asked(leave_out=["trees"], trials=3, workers=1, out=str(tmp_path / "one"))
    yaml = tmp_path / "study.yaml"
    yaml.write_text(write_study(config))
    leading = forked.start("study", yaml, "--storage", base, report=True)
    leading.wait_for(tmp_path / "one" / "origin.json")
    joined = forked.start("study", "--join", tmp_path / "one", "--storage", base)
    both = [leading.wait(120).ended(), joined.wait(120).ended()]
    record = read_record(tmp_path / "one")
    assert record.is_finished and record.seeds == (1, 2, 3)
    assert len(record.trials) == record.num_trials == 3 + 9 + 3 + 6
    assert len({(line.configuration, line.place) for line in record.trials}) == record.num_trials
    told = [sum("trial " in line for line in each.out.splitlines()) for each in both]
    assert told[0] and told[1] and sum(told) == record.num_trials
