"""polytask cache: the encoded rows that fits keep on disk."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

cache_app = typer.Typer(
    name="cache",
    help="List or remove the encoded rows that fits keep on disk.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_Folder = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Their folder, where it is not the user's cache."),
]


@cache_app.command(name="list")
def list_command(cache: _Folder = None) -> None:
    """Each store with its size and when it was made."""
    from polytask.columns.values import told
    from polytask.fitting.storing.store import cache_folder, stores_in

    folder = cache_folder(cache)
    stores = stores_in(folder)
    for path, size in stores:
        made = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "minutes")
        typer.echo(f"{size / 1e9:8.3f} GB  {made}  {path.name}")
    total = sum(size for _, size in stores) / 1e9
    typer.echo(
        f"{folder}: {told(len(stores), 'store')}, {total:.3f} GB" if stores else f"{folder}: empty"
    )


@cache_app.command(name="clear")
def clear_command(cache: _Folder = None) -> None:
    """Remove all stores; fits encode their tables anew."""
    from polytask.columns.values import told
    from polytask.fitting.storing.store import cache_folder, remove_stores, stores_in

    stores = stores_in(cache_folder(cache))
    remove_stores(cache_folder(cache))
    typer.echo(
        f"removed {told(len(stores), 'store')}, {sum(size for _, size in stores) / 1e9:.3f} GB"
    )
