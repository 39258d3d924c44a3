"""The command line."""

from polytask.cli.commands import main

__all__ = ["main"]
