"""`import polytask`, and what the tabulator key shows after `polytask.`"""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import polytask
from forked import Forked

FIRST_SCRIPT = (
    *("fit", "load", "resume", "train", "UserError", "TrainingRun", "Settings", "Batch"),
    *("InMemoryStream", "Stream", "MultiTaskModel", "Task", "binary", "multiclass", "regression"),
    *("count", "quantile", "Kind", "Binary", "Multiclass", "Regression", "Count", "Quantile"),
)
# sklearn needs an extra; inspecting the package must not ask for it.
NOT_FOR_SCRIPTS = {"cli", "columns", "files", "kernels", "sklearn"}
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


def test_the_package_alone_does_not_load_torch() -> None:
    script = "import sys, polytask; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_room_is_loaded_when_it_is_asked_for(forked_torch: Forked, tmp_path: Path) -> None:
    script = (
        "import sys, polytask\nprint(polytask.balancing.MGDA(2), 'polytask.fitting' in sys.modules)"
    )
    assert forked_torch.script(script, tmp_path).ended().out.split()[-1] == "False"
