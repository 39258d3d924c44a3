"""What may stand under a name: a plain file or folder, never a link or a device."""

import re
import secrets
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from polytask.errors import UserError

_PART = re.compile(r"\.[0-9a-f]{12}\.part")
_ODD = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_plain(path: Path, wanted: Literal["file", "folder"] = "file") -> bool:
    """Whether a file (or folder) stands there; UserError where something else does, a link for one.

    >>> require_plain(Path("no such file"))
    False
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:
        raise UserError(f"{str(path)!r} is no path: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if stat.S_IFMT(mode) != (stat.S_IFREG if wanted == "file" else stat.S_IFDIR):
        found = _ODD.get(stat.S_IFMT(mode), "something else")
        raise UserError(
            f"{path}: this is {found}, where a plain {wanted} is due: polytask follows no link and "
            "writes to no device, because either may lead out of its folder"
        )
    return True


def fresh_part(path: Path) -> Path:
    """A name beside the path that nobody can foresee; `is_part` knows it again.

    >>> is_part(fresh_part(Path("run/metrics.json")).name, {"metrics.json"})
    True
    """
    return path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")


def is_part(name: str, of: Collection[str]) -> bool:
    """Whether a name is one of `fresh_part` for one of these names: what a kill leaves behind."""
    whole = name[: -len(".123456789abc.part")]
    return whole in of and _PART.fullmatch(name, len(whole)) is not None
