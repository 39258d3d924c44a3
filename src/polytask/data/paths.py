"""The paths that a caller names: whether they exist, and what was meant. Loads neither torch nor pyarrow."""

import re
from pathlib import Path

from polytask.errors import UserError, nearest

PARQUET = ".parquet"
ARROW = (".arrow", ".feather", ".ipc")
ARRAYS = ".npz"
SURE_TEXT = (".csv", ".tsv")
TEXT = (*SURE_TEXT, ".txt", ".data")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_PAGES = ("http", "https", "ftp")


def matching_paths(text: str) -> list[Path]:
    """One path, or those that match a pattern; UserError where there is none."""
    if is_address(text):
        return [Path(text)]
    if _ADDRESS.match(text):
        raise UserError(f"{text} is an address: download the file first, and name its path")
    if "\0" in text:
        raise UserError(f"{text!r} is no path: it holds a NUL character")
    path = Path(text).expanduser()
    if not path.exists() and any(sign in text for sign in "*?["):
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not found:
            raise UserError(f"no file matches {text}")
        return found
    check_path(path)
    return [path]


def is_address(text: str) -> bool:
    """Whether a table is in an object store or on another file system.

    >>> is_address("s3://bucket/log"), is_address("C:/log"), is_address("https://a.com/log.csv")
    (True, False, False)
    """
    address = _ADDRESS.match(text)
    return address is not None and address[1].lower() not in _PAGES


def address_of(text: str) -> str:
    """The address with both slashes, which a Path makes one.

    >>> address_of("s3:/bucket/log"), address_of("file:/data/log")
    ('s3://bucket/log', 'file:///data/log')
    """
    return _ADDRESS.sub(lambda found: f"{found[1]}://{'/' * (found[1] == 'file')}", text, count=1)


def check_path(path: Path) -> None:
    """UserError where the path does not exist, with the nearest table beside it, or is empty."""
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if folder != path.absolute().parent:
            raise UserError(f"{path} does not exist: there is no folder {path.parent}")
        near = sorted(entry.name for entry in folder.iterdir() if _may_be_meant(entry, by=path))
        raise UserError(f"{path} does not exist{nearest(path.name, near)}")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")


def _may_be_meant(path: Path, *, by: Path) -> bool:
    """A table by its ending; .txt and .data may be anything, so only where they were asked for."""
    endings = {suffix.lower() for suffix in path.suffixes}
    return bool(endings & {PARQUET, *ARROW, ARRAYS, *SURE_TEXT, by.suffix.lower()})
