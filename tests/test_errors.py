"""Mistakes are told in the words of who made them: options on a command line, arguments in Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import polytask
from polytask.config import FitConfig
from polytask.config.study import StudyConfig
from polytask.data.generate import short_video_log
from polytask.errors import UserError, flag, in_python

PACKAGE = Path(polytask.__file__).parent


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("more --epochs may help", "more epochs may help"),
        ("pass --missing=-1; else", "pass missing=-1; else"),
        ("pass --decimal=','", "pass decimal=','"),
        ("--device=cuda:1: torch sees none", "device='cuda:1': torch sees none"),
        ("--given=click=like: no task", "given='click=like': no task"),
        ("--clip-norm=0.5.", "clip_norm=0.5."),
        (f"pass {flag('after', 'a b,c')}", "pass after='a b,c'"),
        ("--valid-from and --test-from", "valid_from and test_from"),
        ("a -- b, x--y and --- stay", "a -- b, x--y and --- stay"),
    ],
)
def test_options_become_arguments(message: str, told: str) -> None:
    error = UserError(message)
    assert str(error) == in_python(message) == told
    assert error.message == message


def test_a_mistake_in_python_names_no_option_of_the_command_line() -> None:
    log = short_video_log(300).drop_columns(["watch_seconds"])
    with pytest.raises(UserError, match=r"name their column by group$"):
        polytask.fit(log, ["click"], monitor="click.gauc")
    with pytest.raises(UserError, match=r"^transform='click=sqrt': "):
        polytask.fit(log, ["click:regression"], transform={"click": "sqrt"})


def texts() -> Iterator[tuple[Path, str]]:
    """Every string in the rooms whose messages may reach both."""
    for path in PACKAGE.rglob("*.py"):
        if {"cli", "report"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


def test_messages_name_options_that_there_are_with_their_value_behind_an_equals_sign() -> None:
    known = {name.replace("_", "-") for name in FitConfig.model_fields} | {
        "task",
        "resume",
        "continue",
    }
    known |= {"version", "overwrite", "balancer", "config"}
    known |= {f"no-{n}" for n, field in FitConfig.model_fields.items() if field.default is True}
    # Of polytask transfer, and of the processes that take part in a study.
    known |= {"budget", "seeds", "rows", "models", "widths", "join", "on", "machines", "workers"}
    known |= {name.replace("_", "-") for name in StudyConfig.model_fields}
    # Of polytask export and serve.
    known |= {"derived-as-inputs", "port"}
    # Of torchrun.
    known |= {"max-restarts"}
    for path, text in texts():
        for name, rest in re.findall(r"(?<![\w-])--([a-z][a-z-]*)(.*)", text):
            assert name in known, (path, text)
            assert not re.match(r" (-?\d|['{A-Z])", rest), (path, text)
