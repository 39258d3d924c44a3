"""The shorthand of a task: [NAME=]COLUMN[:KIND[:YES]]."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from polytask.config.fields import TaskConfig
from polytask.errors import UserError, nearest

if TYPE_CHECKING:
    from polytask.kinds import Kind


def parse_task(text: str, columns: Collection[str]) -> TaskConfig:
    """Split at the first `=` and the first two `:`, unless the whole text names a column.

    YES goes to the end, verbatim, so it may hold further colons and equals signs.
    """
    if text in columns:
        return TaskConfig(name=text, column=text)
    head, colon, tail = text.partition(":")
    name, equals, column = head.partition("=")
    if not equals:
        name, column = head, head
    name, column = name.strip(), column.strip()
    if not name or not column:
        raise UserError(f"task {text!r} has no {'column' if name else 'name'}: {_GRAMMAR}")
    if not colon:
        return TaskConfig(name=name, column=column)
    return TaskConfig(name=name, column=column, kind=_kind(text, tail))


def _kind(text: str, tail: str) -> "Kind":
    """The kind of KIND[:YES]; loads torch."""
    from polytask.kinds import KINDS, make_kind

    kind, _, positive = tail.partition(":")
    if kind not in KINDS:
        raise UserError(f"task {text!r}: unknown kind {kind!r}{nearest(kind, KINDS)}")
    if positive and "positive" not in KINDS[kind].option_names():
        raise UserError(f"task {text!r}: only a binary task takes a YES, but it is {kind}")
    options = {"positive": positive} if positive else {}
    return make_kind({"name": kind, **options})


_GRAMMAR = "write [NAME=]COLUMN[:KIND[:YES]], such as income:binary:50000+"
