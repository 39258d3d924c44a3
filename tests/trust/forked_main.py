"""Runs `polytask` command lines in forks of this process, with limits; see `conftest.Forked`.

A line of JSON on standard input is one request, a line on standard output its answer:
{"start": [ARGUMENT, ...], "folder": F, and perhaps "memory" and "file_bytes", the most bytes of both,
"stdout", a path, and "user", a number} -> {"pid": ...}
{"wait": PID, "seconds": S} -> {"code": ..., "out": ..., "err": ...}; code is None where it took longer,
and it is killed; -9 means killed by that signal.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import polytask.fitting.fitting
from polytask.cli import main

# What commands import on their way; torch's optimizers the last.
for name in (
    "polytask.report.page",
    "polytask.cli.fitting",
    "torch._dynamo",
):
    importlib.import_module(name)
if "--without-report" in sys.argv:
    # It takes longer than the rest of a small run.
    polytask.fitting.session.write_report = lambda folder: None


def child(request: dict[str, object], outputs: tuple[Path, Path]) -> None:
    os.chdir(str(request["folder"]))
    for target, path in zip((1, 2), outputs):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), target)
    if request.get("stdout"):
        os.dup2(os.open(request["stdout"], os.O_WRONLY), 1)
    if request.get("user"):
        os.setuid(request["user"])
    if request.get("memory"):
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"],) * 2)
    if request.get("file_bytes"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    sys.argv = ["polytask", *request["start"]]
    code = 1
    try:
        main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


def start(request: dict[str, object]) -> dict[str, object]:
    pid = os.fork()
    if pid == 0:
        child(request, outputs_of(os.getpid()))
    return {"pid": pid}


def outputs_of(pid: int) -> tuple[Path, Path]:
    return Path(f"{pid}.out").absolute(), Path(f"{pid}.err").absolute()


def wait(pid: int, seconds: float) -> dict[str, object]:
    end = time.monotonic() + seconds
    code: int | None = None
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    out, err = (path.read_text(errors="replace") for path in outputs_of(pid))
    return {"code": code, "out": out, "err": err}


for line in sys.stdin:
    asked = json.loads(line)
    answer = start(asked) if "start" in asked else wait(asked["wait"], asked["seconds"])
    print(json.dumps(answer), flush=True)
