"""Freed memory is kept: a step faults in no page twice."""

import os
import platform
import subprocess
import sys

import pytest

_GLIBC = platform.libc_ver()[0] == "glibc"

# Tensors of 40 MiB, made and freed, so that the middle one joins what is free at the end of the heap: in
# a process of its own, for the setting is for all of it.
_PROGRAM = """
import resource, sys, torch
from polytask.training.memory import freed_memory_kept

def faults_a_step():
    faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        first, second, third = (torch.ones(40, 2**18) for _ in range(3))
        del third, first, second
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return sum(faults[-5:]) / 5

if sys.argv[1] == "as is":
    print(faults_a_step())
else:
    with freed_memory_kept():
        kept = faults_a_step()
    print(kept if sys.argv[1] == "keep" else faults_a_step())
"""


def faults_a_step(mode: str, **settings: str) -> float:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, mode],
        capture_output=True,
        text=True,
        check=True,
        env=kept | settings,
    )
    return float(done.stdout)


@pytest.mark.skipif(not _GLIBC, reason="settings of glibc's malloc")
def test_pages_are_not_given_back_and_cleared_again() -> None:
    assert faults_a_step("keep") < 5
    assert faults_a_step("as is") > 100, "the C library keeps its memory by itself now"


@pytest.mark.skipif(not _GLIBC, reason="settings of glibc's malloc")
def test_settings_of_the_environment_are_left_alone() -> None:
    assert faults_a_step("keep", MALLOC_TRIM_THRESHOLD_="65536") > 100
