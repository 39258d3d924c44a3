"""A formula's parts as functions of a whole table, and errors that point at their place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from polytask.data.derive.operations import Function, Value, canonical
from polytask.errors import UserError, nearest

Refusal = Callable[[str], UserError]
"""Words -> an error that points at a part of the formula."""


@dataclass(frozen=True, slots=True)
class Node:
    """The columns that a part of a formula reads, each once, and its value in every row."""

    columns: tuple[str, ...]
    evaluate: Callable[[pa.Table], Value]


def pointing(formula: str, start: int, end: int, words: str) -> UserError:
    """The error with the formula below it and characters `start` to `end`, exclusive, underlined."""
    carets = "^" * max(end - start, 1)
    return UserError(f"{words}\n    {formula}\n    {' ' * start}{carets}")


def literal(value: bool | int | float | str) -> Node:
    scalar = pa.scalar(value, pa.large_string() if isinstance(value, str) else None)
    return Node((), lambda table: scalar)


def column(name: str, refusal: Refusal) -> Node:
    def evaluate(table: pa.Table) -> Value:
        if name not in table.column_names:
            raise refusal(f"the table lacks {name!r}{nearest(name, table.column_names)}")
        try:
            return canonical(table.select([name]))
        except (ValueError, pa.ArrowException) as error:
            raise refusal(f"{name!r}: {error}") from None

    return Node((name,), evaluate)


def operation(function: Function, operands: Sequence[Node], refusal: Refusal) -> Node:
    """A function of the operands' values."""

    def evaluate(table: pa.Table) -> Value:
        values = [operand.evaluate(table) for operand in operands]
        try:
            return function(*values)
        except (ValueError, pa.ArrowException) as error:
            words = str(error)
            if words.startswith("overflow"):
                words = "a whole number beyond 64 bits; with `1.0 *` it becomes a float"
            raise refusal(words) from None

    columns = dict.fromkeys(name for operand in operands for name in operand.columns)
    return Node(tuple(columns), evaluate)
