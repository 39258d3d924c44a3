"""Command lines and scripts in forks of one process, which imports what they need once."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# All that a command imports on its way; the last is what gradient rules make torch import.
POLYTASK = ("polytask.cli.fitting", "polytask.report.page", "polytask.fitting.fitting")
POLYTASK += ("torch.fx.experimental.symbolic_shapes",)

Limit = int | str | bool | dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a command ended; code None: it took too long."""

    code: int | None
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """Exit code 2 and one message that holds these words, no traceback."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err and self.err.count("error:") >= 1, self.err
        for word in words:
            assert word in self.err, self.err

    def ended(self) -> "Outcome":
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True)
class Running:
    """A command in a process of its own."""

    pid: int
    _ask: Callable[[dict[str, object]], dict[str, object]]

    def wait(self, seconds: float = 60) -> Outcome:
        return Outcome(**self._ask({"wait": self.pid, "seconds": seconds}))

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_for(self, path: Path, seconds: float = 60) -> None:
        """Until `path` is there."""
        end = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < end, f"{path} never came: {self.wait(0)}"
            time.sleep(0.002)


class Forked:
    """Forks of one process, with limits of memory, file sizes and time; see fork_server.py."""

    def __init__(self, folder: Path, *modules: str) -> None:
        self.folder = folder
        # Malloc's settings are read when a process starts, before a fork could choose its own.
        kept = {name: value for name, value in os.environ.items() if "MALLOC_" not in name}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), *modules],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "OMP_NUM_THREADS": "1"},
        )

    def start(self, *arguments: object, report: bool = False, **limits: Limit) -> Running:
        """`polytask` with these arguments; a fit draws no report, which takes longer than the rest."""
        asked = {"argv": [*map(str, arguments)], "folder": str(self.folder), "report": report}
        return Running(self._ask({**asked, **limits})["pid"], self._ask)

    def run(self, *arguments: object, seconds: float = 60, **limits: Limit) -> Outcome:
        return self.start(*arguments, **limits).wait(seconds)

    def script(self, text: str, folder: Path, seconds: float = 300, **environment: str) -> Outcome:
        """Python as a file of its own in `folder`, and run there."""
        path = folder / "script.py"
        path.write_text(text, encoding="utf-8")
        asked = {"script": str(path), "folder": str(folder), "environment": environment}
        return Running(self._ask(asked)["pid"], self._ask).wait(seconds)

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer
