"""No class name stands twice in the house: whoever reads `Rows` must not ask which."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "polytask"

STILL_TWICE = {"Rows"}
"""Names to be parted yet; the list only shrinks."""


def classes_by_name(package: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(package)))
    return found


def test_no_class_name_stands_twice() -> None:
    twice = {name: paths for name, paths in classes_by_name(PACKAGE).items() if len(paths) > 1}
    assert {name: twice[name] for name in twice.keys() - STILL_TWICE} == {}
    assert twice.keys() >= STILL_TWICE, "a name is parted: take it from STILL_TWICE"


def test_this_test_sees_a_name_twice(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.py").write_text("class Rows: ...\n")
    (tmp_path / "deep" / "two.py").write_text("def f():\n    class Rows: ...\n")
    assert classes_by_name(tmp_path) == {"Rows": ["deep/two.py", "one.py"]}
