"""Tables in object stores and on other file systems: s3://, gs://, hdfs://, and what fsspec knows."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from polytask.data.files import of_dataset, widened
from polytask.data.parquet_scan import scan_of
from polytask.data.paths import PARQUET, address_of
from polytask.data.sources import Source
from polytask.errors import UserError

_PATTERN = "*?["


def open_addresses(addresses: Sequence[str | Path]) -> Source:
    """Parquet files at addresses: files, folders, whose folders KEY=VALUE are columns, or patterns.

    UserError where nothing is there, where it is no Parquet, and for what the file system refuses.
    """
    first = address_of(str(addresses[0]))
    filesystem, base = _filesystem(first)
    roots = [_filesystem(address_of(str(each)))[1] for each in addresses]
    try:
        files = [file for root in roots for file in _files(filesystem, root)]
    except OSError as error:
        raise UserError(f"{first} cannot be read: {error}") from error
    if not files:
        raise UserError(
            f"{first}: no {PARQUET} file is there; other formats have to be copied first"
        )
    layout = {
        "filesystem": filesystem,
        "partitioning": "hive" if len(addresses) == 1 else None,
        "partition_base_dir": _folder(base),
    }
    plain = ds.dataset(files, format="parquet", **layout)
    schema = widened(plain, []) if len(files) > 1 else plain.schema
    dataset = ds.dataset(files, schema=schema, format="parquet", **layout)
    return replace(of_dataset(dataset), scan=scan_of(plain, schema))


def _filesystem(address: str) -> tuple[fs.FileSystem, str]:
    """Arrow's own file system, or fsspec's, and the path on it."""
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(address.rstrip("/"))
        return found
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    except OSError as error:
        raise UserError(f"{address}: {error}") from error
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise UserError(f"{address}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


def _files(filesystem: fs.FileSystem, root: str) -> list[str]:
    """The file itself, or the Parquet files below a folder or of a pattern, in order."""
    is_pattern = any(sign in root for sign in _PATTERN)
    if not is_pattern and filesystem.get_file_info(root).is_file:
        return [root]
    selector = fs.FileSelector(_folder(root), recursive=True, allow_not_found=True)
    found = [info.path for info in filesystem.get_file_info(selector) if info.is_file]
    below = [path for path in found if path.endswith(PARQUET) and not _is_hidden(path, root)]
    return sorted(path for path in below if not is_pattern or fnmatch(path, root))


def _folder(root: str) -> str:
    """The part of a path above the first sign of a pattern."""
    parts = root.split("/")
    plain = next(
        (k for k, part in enumerate(parts) if any(s in part for s in _PATTERN)), len(parts)
    )
    return "/".join(parts[:plain])


def _is_hidden(path: str, root: str) -> bool:
    own = path[len(_folder(root)) :].split("/")
    return any(part.startswith((".", "_")) for part in own)
