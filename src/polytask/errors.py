"""The one exception that means: the user can mend this; and the hint at what was meant."""

import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 12
"""So many known names are listed where none is near; more would hide the message."""
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?:=('[^']*'|[^\s;,()]*[^\s;:,.()]))?")


class UserError(ValueError):
    """What is wrong, where, and what to do; the command line prints it and exits with code 2.

    It is written with the options of the command line. A traceback shows it `in_python`.

    >>> print(UserError("the folder exists; pass --overwrite or name another --out"))
    the folder exists; pass overwrite=True or name another out
    """

    @property
    def message(self) -> str:
        """The words of the command line, also for messages that hold this one."""
        return str(self.args[0])

    def __str__(self) -> str:
        return in_python(self.message)


def flag(name: str, value: object) -> str:
    """--NAME=VALUE as a shell takes it.

    >>> flag("after", "like count")
    "--after='like count'"
    """
    return f"--{name}={shlex.quote(str(value))}"


def in_python(message: str) -> str:
    """The message with arguments of `polytask.fit` in the place of the command line's options.

    >>> in_python("pass --given-conflict=drop or a smaller --batch-size; --resume=runs/a ends it")
    "pass given_conflict='drop' or a smaller batch_size; polytask.resume('runs/a') ends it"
    >>> in_python("--no-fold: by products of rows")
    'fold=False: by products of rows'
    """
    return _OPTION.sub(_argument, message)


def _argument(found: re.Match[str]) -> str:
    name, value = found[1].replace("-", "_"), found[2]
    name = "tasks" if name == "task" else name
    if name.startswith("no_"):
        return f"{name.removeprefix('no_')}=False"
    if value is None:
        return "overwrite=True" if name == "overwrite" else name
    is_literal = value.startswith("'") or re.fullmatch(r"-?[0-9.]+", value)
    value = value if is_literal else repr(value)
    return f"polytask.resume({value})" if name == "resume" else f"{name}={value}"


def nearest(name: str, known: Iterable[str]) -> str:
    """What to append to "unknown NAME": the nearest known name, else all of them if they are few.

    Returns ` - did you mean 'x'?`, or ` - known: 'a', 'b'`, or an empty string. Case is ignored.
    """
    names = list(known)
    near = _nearest(name, names)
    if not near and 0 < len(names) <= _MOST_LISTED:
        return f" - known: {', '.join(repr(candidate) for candidate in names)}"
    return near


def nearest_of_all(name: str, known: Iterable[str]) -> str:
    """The same with all of them in any case.

    >>> nearest_of_all("mmeo", ["mmoe", "ple"]), nearest_of_all("x", ["mmoe", "ple"])
    (" - did you mean 'mmoe'?; all: mmoe, ple", '; all: mmoe, ple')
    """
    names = list(known)
    return f"{_nearest(name, names)}; all: {', '.join(names)}"


def _nearest(name: str, names: list[str]) -> str:
    by_lower_case = {candidate.lower(): candidate for candidate in reversed(names)}
    near = get_close_matches(name.lower(), by_lower_case, n=1)
    return f" - did you mean {by_lower_case[near[0]]!r}?" if near else ""
