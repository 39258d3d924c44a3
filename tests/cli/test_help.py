"""`polytask fit --help` shows what a first command needs."""

import sys
from typing import get_args

import pytest

from polytask.balancing import BALANCERS, WRAPPERS
from polytask.choices import KIND_NAMES, RULE_NAMES, TRUNK_NAMES, WRAPPER_NAMES, NumericEncoding
from polytask.cli import main, option_parameters
from polytask.config import FitConfig
from polytask.config.fields import description
from polytask.inputs import numbers
from polytask.kinds import KINDS
from polytask.trunks import TRUNKS


def ours(registry: dict[str, type]) -> tuple[str, ...]:
    """The names of polytask's own members: other tests register more."""
    return tuple(n for n, kind in registry.items() if kind.__module__.startswith("polytask."))


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (KIND_NAMES, KINDS),
        (TRUNK_NAMES, TRUNKS),
        (RULE_NAMES, BALANCERS),
        (WRAPPER_NAMES, WRAPPERS),
    ],
)
def test_the_names_that_help_lists_are_those_of_the_registries(
    names: tuple[str, ...], registry: dict[str, type]
) -> None:
    assert sorted(names) == sorted(ours(registry))


def test_the_encodings_of_numbers_are_those_of_the_input() -> None:
    assert get_args(NumericEncoding) == get_args(numbers.NumericEncoding)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The help of `fit`, its lines joined."""
    monkeypatch.setattr(sys, "argv", ["polytask", "fit", "--help"])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main()
    return " ".join(capsys.readouterr().out.split())


def test_kinds_trunks_and_rules_are_listed(printed: str) -> None:
    for names in (KIND_NAMES, TRUNK_NAMES, RULE_NAMES, WRAPPER_NAMES):
        assert ", ".join(names) in printed


def test_an_example_can_be_copied(printed: str) -> None:
    example = "polytask fit log.parquet --task click --task watch:regression --out runs/first"
    assert example in printed


@pytest.mark.parametrize(
    ("option", "default"),
    [
        ("--trunk", "[mmoe]"),
        ("--balancer", "[equal]"),
        ("--numeric-encoding", "[piecewise]"),
        ("--precision", "[fp32]"),
        ("--device", "[auto]"),
        ("--tower-hidden", "[32]"),
    ],
)
def test_defaults_are_shown(printed: str, option: str, default: str) -> None:
    assert default in printed.partition(option)[2].partition(" --")[0]


@pytest.mark.parametrize("option", ["--inputs", "--ignore", "--after", "--text"])
def test_lists_of_columns_are_said_to_be_comma_separated(printed: str, option: str) -> None:
    assert "comma-separated" in printed.partition(f"{option} COLUMNS")[2].partition(" --")[0]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("--label", "--task"), ("--target=y", "--task"), ("--lr", "--learning-rate")],
)
def test_names_of_other_programs_bring_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, meant: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["polytask", "fit", "log.parquet", given, "y"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_what_is_to_be_repeated_can_be() -> None:
    """An option that says so takes all values that it is given, not the last one."""
    for name, field in FitConfig.model_fields.items():
        if "repeat" in description(field):
            assert name in option_parameters._REPEATED, name
