"""What is printed is text: no names of columns or tasks are read as markup, none steers the terminal."""

import re

from rich.console import Console
from rich.text import Text

# Controls and escapes, half characters, and what turns the direction of the text around.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def visible(text: str) -> str:
    """The text with what a terminal would obey in the place of showing it written out.

    >>> visible("a" + chr(27) + "[31mred")
    'a\\\\x1b[31mred'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class PlainConsole(Console):
    """A console that shows strings as they are, in tables as well."""

    def __init__(self, *, width: int | None = None, stderr: bool = False) -> None:
        super().__init__(
            width=width, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False
        )

    def render_str(self, text: str, **options: object) -> Text:
        """Text with a style, if one is asked for."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]
