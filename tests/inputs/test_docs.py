"""docs/inputs.md: its code runs, and its table names every input and every option."""

import inspect
import re
from pathlib import Path

import pytest

from polytask.inputs import INPUTS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "inputs.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", TEXT, re.MULTILINE))


def test_the_input_of_one_s_own_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    try:
        exec(compile(code, "docs/inputs.md", "exec"), {"__name__": "docs"})
        assert "lengths" in INPUTS
    finally:
        INPUTS.pop("lengths", None)


@pytest.mark.parametrize("name", INPUTS)
def test_the_table_names_every_option(name: str) -> None:
    options = [*inspect.signature(INPUTS[name].fit).parameters][2:]
    assert set(ROWS) == set(INPUTS)
    assert re.findall(r"`(\w+)`", ROWS[name].split("|")[-1]) == options
