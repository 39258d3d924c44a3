"""A table as a notebook shows it."""

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
