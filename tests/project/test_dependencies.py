"""Whatever the project and its tools bring is pinned, and what the package imports is brought."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

# Data frames are accepted as input by whoever has them; nobody has to install them.
ACCEPTED_IF_PRESENT = {"pandas", "polars"}
# Brought by extras: for polytask.sklearn, for pretrained encoders of texts, for studies, for
# clusters, and for graphs and the server of them.
OPTIONAL = {
    "scikit-learn",
    "transformers",
    "tokenizers",
    "optuna",
    "sqlalchemy",
    "threadpoolctl",
} | {"ray", "onnx", "onnxscript", "onnxruntime", "starlette", "uvicorn", "orjson"}


def pinned_names() -> set[str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([\w.-]+)==[\w.]+$", text, re.MULTILINE)
    return {canonicalize_name(name) for name in names}


def direct_requirements(*, dev: bool) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + (project["optional-dependencies"]["dev"] if dev else [])


def applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def all_requirements(direct: list[str]) -> set[str]:
    """Every distribution that these requirements bring on this machine, by its installed metadata."""
    open_ends = [Requirement(text) for text in direct]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ends:
        requirement = open_ends.pop()
        extras = frozenset(requirement.extras)
        entry = (canonicalize_name(requirement.name), extras)
        if entry not in seen:
            seen.add(entry)
            further = map(Requirement, metadata.requires(requirement.name) or [])
            open_ends += [found for found in further if applies(found, extras)]
    return {name for name, _ in seen}


def imported_packages(folder: Path) -> set[str]:
    """The first words of all absolute imports, also of those inside functions."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module or "")
    return {name.partition(".")[0] for name in found}


def test_every_distribution_that_the_project_brings_is_pinned() -> None:
    floating = all_requirements(direct_requirements(dev=True)) - pinned_names()
    assert not floating, (
        f"add to constraints.txt, NAME==VERSION each: {', '.join(sorted(floating))}"
    )


def test_the_package_imports_only_what_an_installation_brings() -> None:
    brought = all_requirements(direct_requirements(dev=False)) | ACCEPTED_IF_PRESENT | OPTIONAL
    others = imported_packages(ROOT / "src") - set(sys.stdlib_module_names) - {"polytask"}
    providers = metadata.packages_distributions()
    missing = {
        package
        for package in others
        # What is not installed here is looked for under its own name.
        if not brought & {canonicalize_name(name) for name in providers.get(package, [package])}
    }
    assert not missing, f"add to `dependencies` in pyproject.toml: {', '.join(sorted(missing))}"
