"""The Makefile keeps to GNU Make 3.81, and says in one sentence that no Python will do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"

NEWER_THAN_3_81 = [
    r"\.ONESHELL", r"\.SHELLFLAGS", r"\.RECIPEPREFIX", r"\.EXTRA_PREREQS", r"\.NOTINTERMEDIATE",
    r":::?=", r"!=", r"&:", r"\$\((file|guile|let|intcmp) ", r"^(undefine|private|load) ",
    r"^define \w+ *[:?+]*=",
]  # fmt: skip


@pytest.mark.parametrize("feature", NEWER_THAN_3_81)
def test_the_makefile_uses_nothing_that_make_3_81_lacks(feature: str) -> None:
    assert not re.search(feature, MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a space, and in it as much of the project as make looks at before set-up."""
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    folder = tmp_path / "a clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(MAKEFILE, folder)
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup_environment.py"):
        (folder / name).touch()
    return folder


def make(*arguments: str, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make") or "make"
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_without_a_usable_python_make_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    # Debian's python3 without python3-venv: it runs, but importing ensurepip fails.
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    finished = make("test", folder=clone, path=str(tools))
    assert finished.returncode != 0
    sentence = finished.stderr.splitlines()[0]
    assert "none of python3.11 python3.12 python3.13 python3 is one" in sentence
    assert "python3-venv" in sentence
    assert not (clone / ".venv").exists()


def test_a_named_python_that_will_not_do_is_named_again(clone: Path) -> None:
    finished = make("demo", "PYTHON=no such python", folder=clone, path=os.environ["PATH"])
    assert finished.returncode != 0
    assert "but no such python is not one" in finished.stderr.splitlines()[0]


def test_make_alone_lists_the_targets(clone: Path) -> None:
    finished = make(folder=clone, path=os.environ["PATH"])
    listed = re.findall(r"^make ([\w-]+)  ", finished.stdout, re.MULTILINE)
    assert listed == ["help", "demo", "test", "check", "test-slow", "mutants", "clean"]
