"""The routes: predictions, health, what the model is, and counts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from polytask import __version__
from polytask.serving.server.model import Graph, Predicted
from polytask.serving.server.protocol import (
    Reply,
    described,
    infer_reply,
    plain_reply,
    read_infer,
    read_plain,
)
from polytask.serving.server.reading import BadRequestError, arrays_of
from polytask.serving.server.watching import Current

MOST_BYTES = 32 << 20
"""Of a request's body."""

Answer = Callable[[Graph, object], tuple[Reply, Predicted]]


def make_app(current: Current, *, most_bytes: int = MOST_BYTES, watch: bool = True) -> Starlette:
    """The application for a graph, which is loaded or about to be."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if current.graph is None:
            await run_in_threadpool(current.load)
        watching = asyncio.create_task(current.watch()) if watch else None
        yield
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def predicting(answer: Answer, path: str) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            code, reply = await _answered(current, request, answer, most_bytes)
            current.counts.add_request(path, code, time.perf_counter() - began)
            return _json(reply, code)

        return endpoint

    def ready(request: Request) -> Response:
        return _json({"ready": current.graph is not None}, 200 if current.graph else 503)

    def live(request: Request) -> Response:
        return _json({"live": True})

    def about(request: Request) -> Response:
        return _json({"name": "polytask", "version": __version__, "extensions": []})

    def model(request: Request) -> Response:
        return _json(described(_named(current, request)))

    def model_ready(request: Request) -> Response:
        return _json({"name": _named(current, request).name, "ready": True})

    def metrics(request: Request) -> Response:
        return PlainTextResponse(current.counts.text())

    infer = "/v2/models/{name}/infer"
    routes = [
        Route("/predict", predicting(_predict, "/predict"), methods=["POST"]),
        Route(infer, predicting(_infer, infer), methods=["POST"]),
        Route("/v2", about),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/v2/models/{name}", model),
        Route("/v2/models/{name}/ready", model_ready),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused})


async def _answered(
    current: Current, request: Request, answer: Answer, most_bytes: int
) -> tuple[int, Reply]:
    """The status and the reply."""
    if "name" in request.path_params:
        graph = _named(current, request)
    elif current.graph is None:
        return 503, {"error": "the model is not loaded yet"}
    else:
        graph = current.graph
    body = await _body(request, most_bytes)
    if body is None:
        return 413, {
            "error": f"the body is larger than {most_bytes:,} bytes: send fewer rows at once"
        }

    def work() -> tuple[int, Reply]:
        try:
            reply, predicted = answer(graph, orjson.loads(body))
        except orjson.JSONDecodeError as error:
            return 400, {"error": f"the body is no JSON: {error}"}
        except BadRequestError as error:
            return 400, {"error": str(error)}
        current.counts.add_predictions(predicted)
        return 200, reply

    # Not here: requests of others go on while one is calculated.
    return await run_in_threadpool(work)


def _predict(graph: Graph, body: object) -> tuple[Reply, Predicted]:
    columns, form = read_plain(body)
    predicted = graph.predict(arrays_of(graph.contract, columns))
    return plain_reply(predicted.answers, form), predicted


def _infer(graph: Graph, body: object) -> tuple[Reply, Predicted]:
    columns, asked = read_infer(graph.contract, body)
    predicted = graph.predict(arrays_of(graph.contract, columns))
    identity = body.get("id") if isinstance(body, dict) else None
    return infer_reply(graph, predicted.answers, asked, identity), predicted


async def _body(request: Request, most_bytes: int) -> bytes | None:
    """The whole body; None where it is too large, of which no more is read."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most_bytes:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            return None
        parts.append(part)
    return b"".join(parts)


def _named(current: Current, request: Request) -> Graph:
    """The graph, if it is the one that is asked for."""
    name = request.path_params["name"]
    if current.graph is None:
        raise HTTPException(503, "the model is not loaded yet")
    if name != current.graph.name:
        raise HTTPException(
            404, f"there is no model {name!r}; this server has {current.graph.name!r}"
        )
    return current.graph


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = error.detail
    if error.status_code == 404 and words == "Not Found":
        words = f"there is nothing at {request.url.path}: POST /predict, or GET /v2"
    if error.status_code == 405:
        words = f"{request.url.path} does not take {request.method}"
    return _json({"error": words}, error.status_code, dict(error.headers or {}))


def _json(reply: object, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(reply), code, headers, "application/json")
