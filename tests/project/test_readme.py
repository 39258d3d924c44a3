"""The Python of README.md and CONTRIBUTING.md works as printed, by somebody who pastes it."""

import re
from pathlib import Path

import pytest

from forked import Forked

ROOT = Path(__file__).resolve().parents[2]


def python_blocks(markdown: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_python_of_a_page_runs(name: str, tmp_path: Path, forked: Forked) -> None:
    blocks = python_blocks((ROOT / name).read_text(encoding="utf-8"))
    assert blocks, f"{name} shows no Python"
    forked.script("\n".join(blocks), tmp_path).ended()


def test_blocks_of_other_languages_are_left_out() -> None:
    markdown = "```python\na = 1\n```\ntext\n```\nmake demo\n```\n```python\nprint(a)\n```\n"
    assert python_blocks(markdown) == ["a = 1\n", "print(a)\n"]
