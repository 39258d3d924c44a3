"""docs/sequences.md: its code runs, and what it names is there."""

import re
from pathlib import Path

import pytest

from polytask import seq2seq

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "sequences.md").read_text()


def test_the_example_learns_both_directions(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    exec(compile(code, "docs/sequences.md", "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out == "[[9, 9, 8], [8]]\n"


def test_the_table_names_what_there_is() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert names and all(hasattr(seq2seq, name) for name in names)
