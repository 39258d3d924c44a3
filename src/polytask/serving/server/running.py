"""`polytask serve`: a socket, and one process or several that answer at it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from polytask.errors import UserError
from polytask.records.layout import GRAPH

_MODEL, _THREADS = "POLYTASK_SERVED_MODEL", "POLYTASK_SERVED_THREADS"
"""What worker processes are told by their environment."""
_WAITING = 1024


def run_server(
    model: Path,
    *,
    host: str,
    port: int,
    workers: int,
    threads: int,
    tell: Callable[[str], None],
) -> None:
    """Serve until the process is told to stop; requests that run are finished. UserError where it cannot begin.

    `tell` is called once, with the address, when the graph is loaded.
    """
    path = graph_at(model)
    _require_extra()
    import uvicorn

    from polytask.serving.server.app import make_app
    from polytask.serving.server.watching import Current

    current = Current(path, threads)
    current.load()
    assert current.graph is not None
    listening = _listening(host, port)
    os.environ |= {_MODEL: str(path), _THREADS: str(threads)}
    own_port = listening.getsockname()[1]
    paths = f"/predict and /v2/models/{current.graph.name}/infer"
    tell(f"{current.graph.name} is served at http://{host}:{own_port}, {paths}")
    if workers == 1:
        config = uvicorn.Config(make_app(current), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])
        return
    listening.close()
    uvicorn.run(
        f"{__name__}:app_of_environment",
        factory=True,
        host=host,
        port=own_port,
        workers=workers,
        log_level="warning",
        access_log=False,
    )


def app_of_environment() -> object:
    """The application of a worker process."""
    from polytask.serving.server.app import make_app
    from polytask.serving.server.watching import Current

    return make_app(Current(Path(os.environ[_MODEL]), int(os.environ[_THREADS])))


def graph_at(model: Path) -> Path:
    """The graph's file: the one that is named, or that of a run's folder; UserError where there is none."""
    path = model / GRAPH if model.is_dir() else model
    if not path.is_file():
        hint = f"; polytask export {model} makes it" if model.is_dir() else ""
        raise UserError(f"{path}: there is no such file{hint}")
    return path


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by its name: only then are its replies sent without waiting for more to send.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        # From here on requests wait: whoever reads the line that says so may ask.
        found.listen(_WAITING)
    except OSError as error:
        found.close()
        raise UserError(
            f"{host}:{port} cannot be listened at: {error.strerror}; choose another --port"
        ) from error
    return found


def _require_extra() -> None:
    try:
        import onnxruntime  # noqa: F401
        import orjson  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"polytask serve needs {error.name}: pip install 'polytask[serve]'"
        ) from error
