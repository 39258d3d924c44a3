"""Tables to tensors: files and frames are read, columns inferred and derived, labels encoded."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polytask.data.formats import READERS as READERS
    from polytask.data.formats import register as register
    from polytask.data.options import ReadOptions as ReadOptions
    from polytask.data.readers import read_table as read_table
    from polytask.data.schema import infer_schema as infer_schema

_HOMES = {
    "READERS": "formats",
    "ReadOptions": "options",
    "infer_schema": "schema",
    "read_table": "readers",
    "register": "formats",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: the command line checks paths without pyarrow."""
    if name not in _HOMES:
        raise AttributeError(f"module 'polytask.data' has no attribute {name!r}")
    return getattr(import_module(f"polytask.data.{_HOMES[name]}"), name)
