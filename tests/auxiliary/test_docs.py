"""docs/auxiliary.md names every loss and every option."""

import inspect
import re
from pathlib import Path

import pytest

from polytask.auxiliary import AUXILIARIES
from polytask.choices import AUXILIARY_NAMES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "auxiliary.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", TEXT, re.MULTILINE))


@pytest.mark.parametrize("name", AUXILIARIES)
def test_the_table_names_every_option(name: str) -> None:
    options = [*inspect.signature(AUXILIARIES[name].fit).parameters][1:]
    assert re.findall(r"`(\w+)`", ROWS[name].split("|")[-1]) == options


def test_the_command_line_and_the_table_know_all_names() -> None:
    assert tuple(AUXILIARIES) == AUXILIARY_NAMES == tuple(ROWS)
