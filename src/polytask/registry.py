"""Classes by name: how a kind, an input, a trunk or a rule becomes known."""

from typing import TypeVar

Base = TypeVar("Base")


def enter(members: dict[str, type[Base]], name: str, member: type[Base]) -> None:
    """Put a class among the members; ValueError for a name that no option can spell, or that is taken.

    >>> numbers: dict[str, type[object]] = {"whole": int}
    >>> enter(numbers, "real", float)
    >>> [*numbers]
    ['whole', 'real']
    """
    if name != name.lower() or not name.isidentifier():
        raise ValueError(f"a name is lower case, of letters, digits and _, but {name=}")
    known = members.get(name, member)
    # A notebook's cell that is run again defines the class anew.
    if (known.__module__, known.__qualname__) != (member.__module__, member.__qualname__):
        raise ValueError(f"{name!r} is the name of {known.__qualname__}: choose another")
    members[name] = member
