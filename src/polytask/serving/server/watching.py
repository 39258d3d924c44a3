"""The graph that is served now; a file that is replaced is loaded beside it and takes its place."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from polytask.errors import UserError
from polytask.serving.server.model import Graph
from polytask.serving.server.monitoring import Tally

_log = logging.getLogger("polytask.serving")


@dataclass(slots=True)
class Current:
    """One file, and what was last loaded of it. Requests that run go on with the graph that they began with."""

    path: Path
    threads: int
    every: float = 1.0
    """Seconds between looks at the file."""
    counts: Tally = field(default_factory=Tally)
    graph: Graph | None = None
    _seen: tuple[int, int, int] | None = None

    def load(self) -> None:
        """Load the file. UserError where it cannot be served; the earlier graph stays then."""
        self._seen = self._look()
        self.graph = Graph.load(self.path, threads=self.threads)

    async def watch(self) -> None:
        """Load the file anew whenever it has changed, for good."""
        while True:
            await asyncio.sleep(self.every)
            if self._look() in (None, self._seen):
                continue
            try:
                await run_in_threadpool(self.load)
                self.counts.reloads["done"] += 1
                _log.warning("%s: loaded anew", self.path)
            except UserError as error:
                self.counts.reloads["failed"] += 1
                _log.error("%s; the graph from before is served on", error.message)

    def _look(self) -> tuple[int, int, int] | None:
        """What changes when a file is replaced or written to; None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
