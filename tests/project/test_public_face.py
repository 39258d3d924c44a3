"""`import polytask`, and what the tabulator key shows after `polytask.`"""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import polytask

FIRST_SCRIPT = (
    *("fit", "load", "resume", "train", "UserError", "TrainingRun", "Settings", "Batch"),
    *("InMemoryStream", "Stream", "MultiTaskModel", "Task", "binary", "multiclass", "regression"),
    *("count", "quantile", "Kind", "Binary", "Multiclass", "Regression", "Count", "Quantile"),
)
# sklearn needs an extra; inspecting the package must not ask for it.
NOT_FOR_SCRIPTS = {"cli", "columns", "files", "sklearn"}
PACKAGE = Path(polytask.__file__).parent


def rooms() -> set[str]:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return folders - NOT_FOR_SCRIPTS


def test_all_rooms_are_shown_and_are_the_modules() -> None:
    assert rooms() <= set(dir(polytask))
    for room in rooms():
        assert getattr(polytask, room) is import_module(f"polytask.{room}")


@pytest.mark.parametrize("name", FIRST_SCRIPT)
def test_a_first_script_s_names_are_shown_and_are_there(name: str) -> None:
    assert name in dir(polytask)
    assert getattr(polytask, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        polytask.__getattr__("nothing")


def test_a_room_is_loaded_when_it_is_asked_for() -> None:
    script = (
        "import sys, polytask; assert 'torch' not in sys.modules; "
        "print(polytask.balancing.MGDA(2), 'polytask.fitting' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split()[-1] == "False"
