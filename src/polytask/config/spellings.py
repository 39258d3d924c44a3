"""The types of options, each with the ways to write its values in Python, in YAML and as text."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import BeforeValidator, Field, PlainSerializer

from polytask.choices import DateOrder, Shares
from polytask.errors import UserError

if TYPE_CHECKING:
    from polytask.kinds import Kind


def split_commas(text: str) -> tuple[str, ...]:
    """`a, b` as two words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _as_names(value: object) -> object:
    """`a,b` and ["a", "b"] mean the same, and 1 the name "1"."""
    if isinstance(value, str):
        return split_commas(value)
    values = value if isinstance(value, list | tuple) else [value]
    return None if value is None else tuple(_as_name(part) for part in values)


def _as_name(value: object) -> object:
    """A column or a value that YAML read as a number or a truth, as its text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _as_widths(value: object) -> object:
    if isinstance(value, str):
        return tuple(int(part) if part.isdigit() else part for part in split_commas(value))
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_pairs(value: object) -> object:
    """`A=x`, a list of such, and {A: x} mean the same; text without `=` goes under "*"."""
    texts = _as_texts(value)
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    pairs = (text.split("=", maxsplit=1) if "=" in text else ("*", text) for text in texts)
    return {name.strip(): _number_or_text(text.strip()) for name, text in pairs}


def _as_columns(value: object) -> object:
    """`INPUT=COLUMN,COLUMN`, a list of such, and {INPUT: [COLUMN, ...]} mean the same."""
    texts = _as_texts(value)
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    columns: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, names = text.partition("=")
        if not equals:
            raise ValueError(f"write INPUT=COLUMN, such as time=created, but got {text!r}")
        columns[name.strip()] = (*columns.get(name.strip(), ()), *split_commas(names))
    return columns


def as_data_sets(value: object) -> object:
    """`NAME=TABLE`, a list of such, and {NAME: TABLE} or {NAME: {table: TABLE, ...}} mean the same."""
    texts = _as_texts(value)
    if isinstance(texts, list | tuple):
        found: dict[str, object] = {}
        for text in texts:
            name, equals, table = str(text).partition("=")
            if not equals or not name.strip() or not table.strip():
                raise ValueError(f"write NAME=TABLE, such as news=news.parquet, but got {text!r}")
            if name.strip() in found:
                raise ValueError(
                    f"two data sets are named {name.strip()!r}: give each its own name"
                )
            found[name.strip()] = _parse_braces(table.strip())
        value = found
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if not isinstance(name, str) or not name or set(name) & set(".:="):
            raise ValueError(f"a data set's name has no '.', ':' or '=' in it, but got {name!r}")
    return {k: {"table": v} if isinstance(v, str | Path) else v for k, v in value.items()}


def _as_shares(value: object) -> object:
    number = _number_or_text(value)
    if isinstance(number, int | float) and not isinstance(number, bool) and number >= 1:
        return float(number)
    if number not in get_args(Shares):
        raise ValueError(
            "shares are proportional, sqrt, uniform, or a number N >= 1: rows ** (1/N)"
        )
    return number


def _as_days(value: object) -> object:
    """30d, or 30."""
    number = value.strip().removesuffix("d") if isinstance(value, str) else value
    if isinstance(number, str) and not number.isdecimal():
        raise ValueError(f"write a number of days, such as 30d, but got {value!r}")
    return int(number) if isinstance(number, str) else number


def _from_days(days: int | None) -> str | None:
    return None if days is None else f"{days}d"


def _as_texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_specs(value: object) -> object:
    """One name or mapping is a list of one."""
    return (value,) if isinstance(value, str | Mapping) else value


def _as_words(value: object) -> object:
    """A value, or a list of values, as texts: -1, NA and [-1, NA] in YAML."""
    values = value if isinstance(value, list | tuple) else [value]
    is_plain = all(isinstance(each, str | int | float) for each in values)
    return tuple(str(each) for each in values) if is_plain else value


def _number_or_text(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _parse_braces(value: object) -> object:
    """`{name: mmoe, num_experts: 4}` on a command line is the mapping that it would be in YAML."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    from polytask.files.yaml import load_yaml

    return load_yaml(value, where="this is no mapping such as {name: mmoe, num_experts: 4}")


def _as_kind(value: object) -> object:
    """A kind, by name, or from {name: ..., options}; kinds load torch, so only where one is given."""
    from polytask.kinds import Kind, make_kind

    if isinstance(value, Kind):
        return value
    if not isinstance(value, str | Mapping):
        raise ValueError("a kind is a name, or a mapping such as {name: regression, unit: s}")
    try:
        return make_kind(value)
    except UserError as error:
        raise ValueError(error.args[0]) from error


def _from_kind(kind: "Kind") -> str | dict[str, object]:
    from polytask.kinds import describe_kind

    return describe_kind(kind)


Name = Annotated[str, BeforeValidator(_as_name)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
Lines = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_as_texts)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_words)]
Pairs = Annotated[Mapping[str, str], BeforeValidator(_as_pairs)]
DateOrders = Annotated[Mapping[str, DateOrder], BeforeValidator(_as_pairs)]
Columns = Annotated[Mapping[str, Names], BeforeValidator(_as_columns)]
Weights = Annotated[Mapping[str, str | float | int], BeforeValidator(_as_pairs)]
Options = Annotated[str | Mapping[str, object], BeforeValidator(_parse_braces)]
Specs = Annotated[tuple[Options, ...], Field(strict=False), BeforeValidator(_as_specs)]
InputOptions = Annotated[Mapping[str, Mapping[str, object]], BeforeValidator(_parse_braces)]
CutOff = Annotated[int | float | str, BeforeValidator(_number_or_text)]
Days = Annotated[int, Field(ge=1), BeforeValidator(_as_days), PlainSerializer(_from_days)]
Location = Annotated[Path, Field(strict=False)]
ShareOption = Annotated[Shares | float, BeforeValidator(_as_shares)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Widths = Annotated[tuple[Count, ...], Field(strict=False), BeforeValidator(_as_widths)]
if TYPE_CHECKING:
    KindOption = Kind
else:
    KindOption = Annotated[object, BeforeValidator(_as_kind), PlainSerializer(_from_kind)]
