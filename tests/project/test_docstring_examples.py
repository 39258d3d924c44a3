"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

ROOMS = (
    "auxiliary",
    "columns",
    "data",
    "inputs",
    "kinds",
    "metrics",
    "model",
    "streams",
    "study",
    "training",
    "transfer",
)


def modules() -> list[str]:
    names = ["polytask.task"]
    for room in ROOMS:
        path = importlib.import_module(f"polytask.{room}").__path__
        names += [f"polytask.{room}"]
        names += [each.name for each in pkgutil.walk_packages(path, f"polytask.{room}.")]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_show_what_they_say(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples; see above"
