"""What a notebook shows: lists cut short, and tables."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str) -> str:
    """An HTML table of texts; every one is escaped.

    >>> html_table(["task"], [["a<b"]], caption="test").count("a&lt;b")
    1
    """
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def abridged(texts: Iterable[str], most: int = 6) -> str:
    """The first few of many.

    >>> abridged("abc", most=2)
    'a, b and 1 more'
    """
    every = [*texts]
    left = len(every) - most
    return ", ".join(every[:most]) + (f" and {left:,} more" if left > 0 else "")
