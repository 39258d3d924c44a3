"""Every public name of the room has an example that runs, and says its shapes and its paper."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from polytask import trunks
from polytask.trunks import TRUNKS, Trunk
from polytask.trunks.testing import check_trunk

MODULES = [
    importlib.import_module(f"{trunks.__name__}.{found.name}")
    for found in pkgutil.iter_modules(trunks.__path__)
]


PUBLIC = {name: thing for name in trunks.__all__ if callable(thing := getattr(trunks, name))}
PUBLIC["check_trunk"] = check_trunk


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        failed, _ = doctest.testmod(module)
    assert failed == 0


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (PUBLIC[name].__doc__ or "")


def takes_tensors(thing: object) -> bool:
    if inspect.isclass(thing):
        return issubclass(thing, nn.Module) and not issubclass(
            thing, nn.ModuleList | nn.ParameterList
        )
    hints = inspect.get_annotations(thing, eval_str=True)
    return hints.get("return") is Tensor


@pytest.mark.parametrize("name", sorted(n for n, thing in PUBLIC.items() if takes_tensors(thing)))
def test_modules_and_functions_of_tensors_say_their_shapes(name: str) -> None:
    assert "**Shape**" in (PUBLIC[name].__doc__ or "")


@pytest.mark.parametrize("kind", [k for n, k in TRUNKS.items() if n != "single_task"])
def test_a_trunk_links_to_its_paper(kind: type[Trunk]) -> None:
    assert "https://" in (kind.__doc__ or "")
