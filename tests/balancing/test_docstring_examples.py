"""Every public name of the room has an example that runs, and a link to the paper that it cites."""

import doctest
import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest
import torch

from polytask import balancing
from polytask.balancing import gram

CITATION = re.compile(r"(NeurIPS|ICML|ICLR|CVPR|RecSys|TMLR|OOPSLA|arXiv|Comp\.|Prog\.|et al\.)")
MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(balancing.__path__, "polytask.balancing.")
]
PUBLIC = {
    name: member
    for package in (balancing, gram)
    for name, member in ((name, getattr(package, name)) for name in package.__all__)
    if callable(member)
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_run(module: ModuleType) -> None:
    torch.manual_seed(0)
    found = doctest.testmod(module, extraglobs={"torch": torch}, verbose=False)
    assert found.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_short_example(name: str) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]) or "")
    assert 1 <= len(examples) <= 6


def test_what_cites_a_paper_links_to_it() -> None:
    cited = [
        (module.__name__, name)
        for module in MODULES
        for name, member in vars(module).items()
        if getattr(member, "__module__", None) == module.__name__
        and CITATION.search((member.__doc__ or "").split("\n\n")[0])
        and "https://" not in (member.__doc__ or "")
    ]
    assert cited == []
