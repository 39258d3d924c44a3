"""Names of columns, tasks and values are text: no markup, no emoji, nothing that steers a terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.cli.console import PlainConsole
from polytask.cli.visible import visible

Command = Callable[..., Any]

NAMES = {
    "[/]": "[/]",
    "[/bold]": "[/bold]",
    "[bold]m[/]": "[bold]m[/]",
    "[link=http://evil]k[/link]": "[link=http://evil]k[/link]",
    "a\x1b[31mred": r"a\x1b[31mred",
    "t\x1b]0;title\x07": r"t\x1b]0;title\x07",
    "\u202egpj": r"\u202egpj",
    ":smile:": ":smile:",
    "é שלום 😀": "é שלום 😀",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(name: str, tmp_path: Path, command: Command) -> None:
    values = {"x": [float(i % 7) for i in range(60)], name: [i % 2 for i in range(60)]}
    pq.write_table(pa.table(values), tmp_path / "t.parquet")
    seen = command("inspect", tmp_path / "t.parquet")
    fit = ("fit", tmp_path / "t.parquet", f"--task={name}", "--epochs=1", "--baseline=none")
    fitted = command(*fit, "--valid-fraction=0.3")
    wrong = command(*fit, f"--monitor={name}{name}.auc")
    wrong.refused(NAMES[name])
    for ended in (seen, fitted):
        ended.ended()
        assert NAMES[name] in ended.out
        assert "\x1b" not in ended.out + wrong.err


def test_values_are_printed_as_they_are(tmp_path: Path, command: Command) -> None:
    values = ["a\x1b]0;pwned\x07", "[/]"] * 30
    pq.write_table(pa.table({"v": values}), tmp_path / "t.parquet")
    seen = command("inspect", tmp_path / "t.parquet")
    seen.ended()
    assert r"a\x1b]0;pwned\x07" in seen.out and "[/]" in seen.out


def test_messages_are_printed_as_they_are(command: Command) -> None:
    command("inspect", "t\x1b]0;title\x07.csv").refused(r"t\x1b]0;title\x07.csv does not exist")


def test_a_terminal_gets_no_escape_but_ours(capsys: pytest.CaptureFixture[str]) -> None:
    console = PlainConsole(width=80)
    console.print("name \x1b[31m", style="yellow")
    assert capsys.readouterr().out == "name \\x1b[31m\n"
    assert visible("a\n\tb") == "a\n\tb"
