"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

ROOMS = ("model", "streams", "training", "inputs")


def modules() -> list[str]:
    names = []
    for room in ROOMS:
        package = importlib.import_module(f"polytask.{room}")
        names += [f"polytask.{room}"]
        names += [f"polytask.{room}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_show_what_they_say(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples; see above"
