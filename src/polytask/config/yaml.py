"""run.yaml <-> FitConfig, with the file, line and column of every mistake."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from polytask.config.fields import DataSetConfig, FitConfig, TaskConfig
from polytask.errors import UserError, nearest
from polytask.files.reading import read_text
from polytask.files.yaml import MOST_BYTES, load_yaml

_FIELDS: Mapping[str, type[BaseModel]] = {"tasks": TaskConfig, "data": DataSetConfig}
"""What a value of these options is made of."""
Checked = TypeVar("Checked", bound=BaseModel)

_NEVER_WRAP = 1 << 20
"""A path stays on one line, whatever its length, so that it can be copied."""


def read_config(path: Path) -> FitConfig:
    """The configuration in a YAML file; UserError as `file:line:column: key: what is wrong`."""
    return validate_config(read_document(path), source=str(path))


def read_document(path: Path) -> Mapping[str, object]:
    """The mapping in a YAML file, which knows the line of every key; UserError for anything else."""
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file")
    from ruamel.yaml.comments import CommentedMap

    text = read_text(path, most_bytes=MOST_BYTES)
    document = load_yaml(text, where=str(path), places=True)
    if not isinstance(document, CommentedMap):
        raise UserError(f"{path}: a configuration is a mapping of keys, such as `epochs: 10`")
    return document


def validate_config(
    values: Mapping[str, object], *, source: str | None = None, from_text: bool = False
) -> FitConfig:
    """A checked configuration; UserError names the first mistakes, each with its place.

    `from_text`: values may be text where a number is due, as on a command line.
    """
    return validate(FitConfig, values, source=source, from_text=from_text)


def validate(
    kind: type[Checked],
    values: Mapping[str, object],
    *,
    source: str | None = None,
    from_text: bool = False,
    nested: Mapping[str, type[BaseModel]] = _FIELDS,
) -> Checked:
    """The same for options of any kind; `nested` says what a value of some of them is made of."""
    try:
        plain = {str(key): _plain(value) for key, value in values.items()}
        return kind.model_validate(plain, strict=False if from_text else None)
    except ValidationError as error:
        read = _Mistakes(kind, nested, values, source)
        lines = [read.described(detail) for detail in read.distinct(error.errors())]
        raise UserError("\n".join(lines[:5])) from error


def _plain(value: object) -> object:
    """A number out of numpy or pandas as Python's own; numpy is not imported for the question."""
    item = getattr(value, "item", None)
    return item() if type(value).__module__ == "numpy" and callable(item) else value


def write_config(config: FitConfig) -> str:
    """YAML text that `read_config` reads back as an equal configuration.

    UserError where a task has a kind that no name brings back.
    """
    from ruamel.yaml import YAML

    from polytask.kinds import describe_kind

    for task in config.tasks:
        if isinstance(task, TaskConfig) and task.kind is not None:
            describe_kind(task.kind)
    values = config.model_dump(mode="json", exclude_defaults=False)
    buffer = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = _NEVER_WRAP
    yaml.dump({key: value for key, value in values.items() if value is not None}, buffer)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Mistakes:
    """Mistakes in words: what options there are, what was written, and where."""

    kind: type[BaseModel]
    nested: Mapping[str, type[BaseModel]]
    values: Mapping[str, object]
    source: str | None

    def distinct(self, details: list[ErrorDetails]) -> list[ErrorDetails]:
        """One mistake an item: a union reports one a member, the last being the most structured."""
        by_place = {self.path(detail["loc"])[:2]: detail for detail in details}
        return list(by_place.values())

    def path(self, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """The keys and positions of a mistake, without the names of union members."""
        known = set(self.kind.model_fields)
        known |= {name for kind in self.nested.values() for name in kind.model_fields}
        head, rest = location[:1], location[1:]
        return head + tuple(part for part in rest if isinstance(part, int) or part in known)

    def described(self, detail: ErrorDetails) -> str:
        location = detail["loc"]
        path, message = self.path(location), detail["msg"]
        said = f"{message[:1].lower()}{message[1:]}, but got {detail['input']!r}"
        if detail["type"] == "extra_forbidden":
            key = str(location[-1])
            inner = self.nested.get(str(location[0])) if len(location) > 1 else None
            fields: type[BaseModel] = inner or self.kind
            path = (*self.path(location[:-1]), key)
            said = f"unknown key {key!r}{nearest(key, fields.model_fields)}"
        return f"{place_of(self.values, path, self.source)}{'.'.join(map(str, path))}: {said}"


def place_of(values: object, path: tuple[int | str, ...], source: str | None) -> str:
    """`file:line:column: ` of the last key of the path that the file holds; nothing without a file."""
    if source is None:
        return ""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    line, column = 0, 0
    node = values
    for part in path:
        if isinstance(node, CommentedMap) and part in node:
            line, column = node.lc.key(part)
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line, column = node.lc.item(part)
        else:
            break
        node = node[part]
    return f"{source}:{line + 1}:{column + 1}: "
