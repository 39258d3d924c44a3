"""Freed memory is kept: a step faults in no page twice."""

import gc
import os
import platform
from pathlib import Path

import pytest

from forked import Forked
from polytask.training.memory import collector_spared, freed_memory_kept

_GLIBC = platform.libc_ver()[0] == "glibc"

# Tensors of 40 MiB, made and freed, so that the middle one joins what is free at the end of the heap: in
# a process of its own, for the setting is for all of it.
_PROGRAM = """
import resource, torch
from polytask.training.memory import freed_memory_kept

def faults_a_step():
    faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        first, second, third = (torch.ones(40, 2**18) for _ in range(3))
        del third, first, second
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return sum(faults[-5:]) / 5

print(faults_a_step())
with freed_memory_kept():
    print(faults_a_step())
"""


def faults_a_step(forked: Forked, folder: Path, **settings: str) -> list[float]:
    """Before and inside `freed_memory_kept`."""
    return [*map(float, forked.script(_PROGRAM, folder, **settings).ended().out.split())]


@pytest.mark.skipif(not _GLIBC, reason="settings of glibc's malloc")
def test_pages_are_not_given_back_and_cleared_again(forked_torch: Forked, tmp_path: Path) -> None:
    before, kept = faults_a_step(forked_torch, tmp_path)
    assert before > 100, "the C library keeps its memory by itself now"
    assert kept < 5


@pytest.mark.skipif(not _GLIBC, reason="settings of glibc's malloc")
def test_the_caller_s_process_has_its_settings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whether pages are given back again hangs on what else lies in the heap, so the calls are asked.
    libc = _Recorded()
    monkeypatch.setattr("ctypes.CDLL", lambda _: libc)
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    with pytest.raises(KeyError), freed_memory_kept():
        assert min(libc.settings.values()) == 1 << 30 and not libc.trimmed
        raise KeyError
    assert sorted(libc.settings.values()) == [32 << 20, 64 << 20]
    assert libc.trimmed


def test_the_collector_looks_at_new_objects_alone_for_as_long() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(KeyError), collector_spared():
        assert gc.get_freeze_count() > before
        with collector_spared():
            pass
        assert gc.get_freeze_count() > before, "who came second has let the objects go"
        raise KeyError
    assert gc.get_freeze_count() == before


class _Recorded:
    """Stands for the C library."""

    def __init__(self) -> None:
        self.settings: dict[int, int] = {}
        self.trimmed = False

    def mallopt(self, setting: int, value: int) -> None:
        self.settings[setting] = value

    def malloc_trim(self, pad: int) -> None:
        assert pad == 0
        self.trimmed = True


@pytest.mark.skipif(not _GLIBC, reason="settings of glibc's malloc")
def test_settings_of_the_environment_are_left_alone(forked_torch: Forked, tmp_path: Path) -> None:
    before, inside = faults_a_step(forked_torch, tmp_path, MALLOC_TRIM_THRESHOLD_="65536")
    assert before > 100 and inside > 100
