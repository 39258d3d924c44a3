"""Data sets that are handed over in Python: files stand in the options, tables in memory beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from polytask.data.readers import TableSource

DataSets: TypeAlias = Mapping[str, TableSource | Mapping[str, TableSource]]
"""A table by the name of its data set, or {"table": ..., "test": ..., "valid": ...} in its place."""

_PARTS = ("table", "test", "valid")


def data_sources(data: DataSets) -> dict[str, TableSource]:
    """The tables in memory, as "news.table" and "news.test".

    >>> sorted(data_sources({"a": "a.csv", "b": {"table": {"x": [1]}, "test": "b.csv"}}))
    ['b.table']
    """
    return {
        f"{name}.{part}": source
        for name, value in data.items()
        for part, source in _by_part(value).items()
        if not isinstance(source, str | Path)
    }


def plain_data_sets(data: DataSets) -> dict[str, dict[str, object]]:
    """What is written down of them: the files.

    >>> plain_data_sets({"a": "a.csv", "b": {"table": {"x": [1]}, "test": "b.csv"}})
    {'a': {'table': 'a.csv'}, 'b': {'test': 'b.csv'}}
    """
    return {
        name: {p: s for p, s in _by_part(value).items() if isinstance(s, str | Path)}
        for name, value in data.items()
    }


def _by_part(value: object) -> Mapping[str, TableSource]:
    if isinstance(value, Mapping) and "table" in value and set(value) <= set(_PARTS):
        return value
    return {"table": value}
