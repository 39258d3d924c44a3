"""What is printed is text: no names of columns or tasks are read as markup, none steers the terminal."""

from rich.console import Console
from rich.text import Text

from polytask.cli.visible import visible


class PlainConsole(Console):
    """A console that shows strings as they are, in tables as well."""

    def __init__(self, *, width: int | None = None, stderr: bool = False) -> None:
        super().__init__(
            width=width, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False
        )

    def render_str(self, text: str, **options: object) -> Text:
        """Text with a style, if one is asked for."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]
