"""Who may import whom. Read by `ast`, so that imports inside functions count as well.

A room is a folder or a file directly under `polytask`. The leaves `errors`, `files`, `choices`, `kernels`, `products` and `registry` and the
constant `polytask.__version__` import nothing and may be used where the table says so.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "polytask"

LEAVES = {"errors", "choices", "files", "kernels", "products", "registry", "__version__"}
TABLES_AND_TASKS = {"columns", "data", "kinds", "task"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "choices": set(),
    "files": {"errors"},
    "kernels": set(),
    "products": set(),
    "registry": set(),
    "trunks": {"kernels", "products", "registry"},
    "balancing": {"kernels", "registry"},
    "records": {*LEAVES},
    "metrics": {"records", *LEAVES},
    "columns": {*LEAVES},
    "inputs": {"columns", *LEAVES},
    "kinds": {"columns", "metrics", *LEAVES},
    "task": {"kinds", *LEAVES},
    "data": {"columns", "kinds", "records", "task", *LEAVES},
    "streams": {*LEAVES},
    "seq2seq": set(),
    "model": {"trunks", "streams", "kinds", "task", *LEAVES},
    "training": {"model", "balancing", "streams", "metrics", "records", "kinds", "task", *LEAVES},
    "auxiliary": {"training", "model", "streams", "inputs", *TABLES_AND_TASKS, *LEAVES},
    "report": {"records", *LEAVES},
}
ALL_ROOMS = {*MAY_IMPORT, "config", "fitting", "serving", "transfer", "study", "cli", *LEAVES}
# `__init__` stands for the public names of `polytask`, which are mostly those of fitting.
MAY_IMPORT["config"] = ALL_ROOMS - {"cli", "fitting", "serving", "transfer", "study"}
MAY_IMPORT["fitting"] = {*ALL_ROOMS, "__init__"} - {"cli", "serving", "transfer", "study"}
# These two train plans of fits, and nothing but the command line imports them.
MAY_IMPORT["transfer"] = ALL_ROOMS - {"cli", "auxiliary", "serving", "study"}
MAY_IMPORT["study"] = ALL_ROOMS - {"cli", "serving", "transfer"}
MAY_IMPORT["serving"] = {"fitting", "model", "inputs", "records", *TABLES_AND_TASKS, *LEAVES}
# Nobody imports it: scikit-learn is an extra.
MAY_IMPORT["sklearn"] = {"fitting", "config", *TABLES_AND_TASKS, *LEAVES}
MAY_IMPORT["cli"] = {*ALL_ROOMS, "__init__"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = ALL_ROOMS


def imported_modules(node: ast.stmt, package: list[str]) -> list[list[str]]:
    """The dotted names that a statement imports, split; `package` is where relative ones begin."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".") for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    start = package[: len(package) + 1 - node.level] if node.level else []
    module = start + (node.module.split(".") if node.module else [])
    return [[*module, alias.name] for alias in node.names]


def room_of(name: list[str], rooms: set[str]) -> str | None:
    """The room of ours that a dotted name lies in; `__init__` for a public name, None for others'."""
    if name[0] != "polytask":
        return None
    first = name[1] if len(name) > 1 else "__init__"
    is_public_name = len(name) <= 2 and first not in rooms
    return "__init__" if is_public_name else first


def imports(package: Path) -> Iterator[tuple[str, str, str]]:
    """(place, room, imported room) of every import from one room of the package into another."""
    on_disk = {path.stem for path in package.iterdir() if path.suffix in {"", ".py"}}
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        parents = ["polytask", *inside.parts[:-1]]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = imported_modules(node, parents) if isinstance(node, ast.stmt) else []
            for target in {room_of(name, on_disk | ALL_ROOMS) for name in names} - {room, None}:
                yield f"{inside}:{node.lineno}", room, str(target)


def violations(package: Path) -> list[str]:
    """One sentence for each import against the table, and for each room that the table lacks."""
    rooms = {path.relative_to(package).parts[0] for path in package.rglob("*.py")}
    unknown = sorted({room.removesuffix(".py") for room in rooms} - set(MAY_IMPORT))
    found = [f"{room} is in no rule: say in MAY_IMPORT what it may import" for room in unknown]
    for place, room, target in imports(package):
        allowed = MAY_IMPORT.get(room, ALL_ROOMS)
        if target not in allowed:
            choice = ", ".join(sorted(allowed)) or "nothing of ours"
            found.append(f"{place}: {room} imports {target}, but may import {choice}")
    return found


def test_imports_go_in_the_directions_of_the_table() -> None:
    found = violations(PACKAGE)
    assert not found, "\n" + "\n".join(found)


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for _, room, target in imports(PACKAGE):
        if "__init__" not in (room, target):
            graph.setdefault(room, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other in a circle: {' <- '.join(error.args[1])}")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A small package that keeps the rules, for planting what does not."""
    kept = {
        "__init__.py": "from polytask.fitting import fit\n__version__ = '1'\n",
        "errors.py": "",
        "balancing/gram.py": "import torch\nfrom polytask.balancing.solvers import solve\n",
        "data/schema.py": "from polytask.errors import UserError\nfrom .readers import read\n",
        "training/loop.py": "from polytask import __version__, model\nimport polytask.streams\n",
        "cli.py": "import polytask\nfrom polytask import fit\n",
    }
    for name, text in kept.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_what_the_rules_allow_is_allowed(planted: Path) -> None:
    assert violations(planted) == []


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("balancing/gram.py", "import polytask.model", "balancing imports model"),
        ("balancing/gram.py", "from polytask.errors import UserError", "balancing imports errors"),
        ("trunks/mixtures.py", "from polytask import balancing", "trunks imports balancing"),
        ("data/schema.py", "from ..config import Options", "data imports config"),
        ("data/schema.py", "from .. import training", "data imports training"),
        ("data/deep/er.py", "from ...metrics import evaluate", "data imports metrics"),
        ("task.py", "def late():\n    import polytask.data", "task imports data"),
        ("kinds/binary.py", "from polytask.task import Task", "kinds imports task"),
        ("training/loop.py", "from polytask import fit", "training imports __init__"),
        ("training/loop.py", "import polytask", "training imports __init__"),
        ("config.py", "from polytask.fitting import fit", "config imports fitting"),
        ("fitting.py", "from polytask.cli import main", "fitting imports cli"),
        ("report/html.py", "from polytask.training import Run", "report imports training"),
        ("model.py", "from polytask.helpers import x", "model imports helpers"),
        ("helpers.py", "", "helpers is in no rule"),
        ("helpers/some.py", "", "helpers is in no rule"),
    ],
)
def test_what_the_rules_forbid_is_found(planted: Path, file: str, line: str, sentence: str) -> None:
    (planted / file).parent.mkdir(parents=True, exist_ok=True)
    (planted / file).write_text(line, encoding="utf-8")
    (found,) = violations(planted)
    assert sentence in found
