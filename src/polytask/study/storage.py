"""optuna's storage: a file of SQLite's, or a data base that several machines reach."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from polytask.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_SECONDS_TO_WAIT = 60
"""For another process that is writing the file."""


def require_optuna() -> None:
    """UserError where optuna is not there."""
    try:
        import optuna
    except ImportError as error:
        raise UserError("a study needs optuna: pip install 'polytask[study]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def opened(url: str, named: Mapping[str, object]) -> "RDBStorage":
    """The storage behind a URL; `named` are optuna's own options of it.

    UserError, without the password, where it cannot be reached or its driver is not there.
    """
    require_optuna()
    import sqlalchemy
    from optuna import exceptions
    from optuna.storages import RDBStorage

    if url.startswith("sqlite"):
        named = {**named, "engine_kwargs": {"connect_args": {"timeout": _SECONDS_TO_WAIT}}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exceptions.ExperimentalWarning)
            return RDBStorage(url, **named)  # type: ignore[arg-type]
    except ImportError as error:
        raise UserError(
            f"storage {without_password(url)}: its driver is not installed "
            f"({str(error).partition(chr(10))[0]}); for PostgreSQL: pip install 'psycopg[binary]', and "
            "a URL that begins with postgresql+psycopg://"
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, exceptions.OptunaError, ValueError) as error:
        first = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise UserError(f"storage {without_password(url)} cannot be reached: {first}") from error


def without_password(url: str) -> str:
    """A URL that may be shown.

    >>> without_password("postgresql://study:secret@host/tune")
    'postgresql://study:***@host/tune'
    """
    password = urlsplit(url).password
    return url if password is None else url.replace(f":{password}@", ":***@", 1)
