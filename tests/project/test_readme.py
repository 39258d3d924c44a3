"""The Python of README.md and CONTRIBUTING.md works as printed, by somebody who pastes it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# It takes seconds; this only ends a script that hangs, on a busy machine too.
SECONDS = 300


def python_blocks(markdown: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_python_of_a_page_runs(name: str, tmp_path: Path) -> None:
    blocks = python_blocks((ROOT / name).read_text(encoding="utf-8"))
    assert blocks, f"{name} shows no Python"
    script = tmp_path / "pasted.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS
    )
    assert finished.returncode == 0, finished.stderr


def test_blocks_of_other_languages_are_left_out() -> None:
    markdown = "```python\na = 1\n```\ntext\n```\nmake demo\n```\n```python\nprint(a)\n```\n"
    assert python_blocks(markdown) == ["a = 1\n", "print(a)\n"]
