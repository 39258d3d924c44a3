"""What an exported graph says of itself: its columns, its answers, and rows with answers to test it by.

It stands as JSON in the graph's metadata. Nothing here loads torch, Arrow or pydantic, for the server reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from polytask.errors import UserError

KEY = "polytask"
"""The name in the metadata under which it stands."""
FORMAT, VERSION = "polytask-onnx", 1
IDS = "polytask/ids"
"""The output beside the answers: ids (rows, C) of the columns `lookups`, 0 where missing, 1 where unseen."""

MISSING_INTEGER, MISSING_TEXT = -(1 << 63), ""
"""What stands for a missing whole number or time, and for a missing text: ONNX has no word for missing."""

Holds = Literal["texts", "integers", "large integers", "booleans", "numbers", "times"]
Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One input of the graph, a vector with an entry a row.

    texts and large integers (beyond 2^63, as digits) are strings, missing is the empty one; integers, booleans (0, 1)
    and times (microseconds since 1970, in UTC where they have a zone: `has_zone`, None for either) are int64,
    missing is MISSING_INTEGER; numbers are float64, missing is NaN. Texts of `words` count as missing.
    """

    name: str
    holds: Holds
    words: tuple[str, ...] = ()
    has_zone: bool | None = None

    @property
    def is_string(self) -> bool:
        return self.holds in ("texts", "large integers")

    @property
    def missing(self) -> Value:
        """What stands for a missing value."""
        if self.is_string:
            return MISSING_TEXT
        return float("nan") if self.holds == "numbers" else MISSING_INTEGER


@dataclass(frozen=True, slots=True)
class Answer:
    """One output of the graph, a vector with an entry a row, in the label's own unit.

    Another machine's answer is the same if it differs by no more than `absolute` + `relative` times its size.
    """

    name: str
    task: str
    holds: Literal["numbers", "texts", "integers", "booleans"]
    absolute: float = 0.0
    relative: float = 0.0

    def differs(self, ours: Value, theirs: Value) -> bool:
        """Whether two answers are not the same."""
        if not isinstance(ours, float) or not isinstance(theirs, float):
            return ours != theirs
        return not abs(ours - theirs) <= self.absolute + self.relative * abs(theirs)


@dataclass(frozen=True, slots=True)
class AboutTask:
    """What a task is: its kind, the unit of its label, and the task that it is a consequence of."""

    name: str
    kind: str
    unit: str | None = None
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """All of it. `lookups` are the columns of the output `IDS`; `rows` and `answered` are columns by name."""

    polytask: str
    tasks: tuple[AboutTask, ...]
    columns: tuple[RawColumn, ...]
    answers: tuple[Answer, ...]
    lookups: tuple[str, ...]
    rows: Mapping[str, list[Value]]
    answered: Mapping[str, list[Value]]

    def to_json(self) -> str:
        record = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(record, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> "Contract":
        """UserError, which `where` begins, for a graph that polytask did not write, or a newer one."""
        try:
            record = json.loads(metadata.get(KEY, "null"))
        except ValueError as error:
            raise UserError(
                f"{where}: what the graph says of itself is no JSON: {error}"
            ) from error
        if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
            raise UserError(
                f"{where}: this graph was not written by polytask export; make one: polytask export RUN"
            )
        written = record.pop("version", None)
        if written != VERSION:
            raise UserError(
                f"{where}: this graph has version {written!r}, but this polytask serves version "
                f"{VERSION}: export the run anew"
            )
        try:
            return cls._of(record)
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"{where}: what the graph says of itself is damaged: {error}"
            ) from error

    @classmethod
    def _of(cls, record: dict[str, object]) -> "Contract":
        lists = {"tasks": AboutTask, "columns": RawColumn, "answers": Answer}
        made: dict[str, object] = dict(record)
        for name, kind in lists.items():
            entries = record[name]
            if not isinstance(entries, list):
                raise TypeError(f"{name} is no list")
            made[name] = tuple(kind(**_tuples(each)) for each in entries)
        return cls(**_tuples(made, but=("rows", "answered")))  # type: ignore[arg-type]


def _tuples(record: Mapping[str, object], but: tuple[str, ...] = ()) -> dict[str, object]:
    """Lists as tuples, which frozen values hold."""
    return {
        name: tuple(value) if isinstance(value, list) and name not in but else value
        for name, value in record.items()
    }
