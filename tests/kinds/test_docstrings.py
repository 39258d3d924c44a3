"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask.kinds
import polytask.task

MODULES = [
    polytask.task,
    *(
        importlib.import_module(f"polytask.kinds.{module.name}")
        for module in pkgutil.iter_modules(polytask.kinds.__path__)
    ),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_of_docstrings_are_true(module: ModuleType) -> None:
    names = {**vars(module), "np": np, "pa": pa, "torch": torch}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def test_every_kind_has_an_example() -> None:
    for kind in polytask.kinds.KINDS.values():
        if kind.__module__.startswith("polytask."):
            assert ">>>" in (kind.__doc__ or ""), kind
