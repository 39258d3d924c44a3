"""docs/: the tutorial works as printed, links lead somewhere, and the index has every page."""

import re
import sys
from pathlib import Path

import pytest

from polytask.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(markdown: str) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


def test_the_tutorial_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "tutorial"}
    for language, text in blocks((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(text, "docs/tutorial.md", "exec"), names)
        for command in re.findall(r"^polytask (.*)$", text, re.MULTILINE) if not language else ():
            monkeypatch.setattr(sys, "argv", ["polytask", *command.split()])
            with pytest.raises(SystemExit) as stopped:
                main()
            assert not stopped.value.code, command
    printed = capsys.readouterr().out
    # What the page shows of the result is what a first run prints; the figures are the machine's.
    shown = re.search(r"^task +metric +multi-task +single-task +gain", printed, re.MULTILINE)
    assert shown is not None
    assert (tmp_path / "scores.csv").is_file() and (tmp_path / "runs/python/report.html").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_index_has_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"({page.name})" not in index] == ["index.md"]
