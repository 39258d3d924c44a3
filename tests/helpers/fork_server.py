"""Runs `polytask` command lines and scripts in forks of this process; `forked.Forked` asks for them.

`python fork_server.py MODULE ...` imports these modules once and computes nothing: starting Python and torch
anew would take most of the time of a small test. One line of JSON on standard input is one request, one
line on standard output its answer:
{"argv": [ARGUMENT, ...] or "script": PATH, "folder": F, "report": whether a fit draws one, and perhaps
"memory" and "file_bytes", the most bytes of both, "stdout", a path, "user", a number, and "environment"}
-> {"pid": ...}
{"wait": PID, "seconds": S} -> {"code": ..., "out": ..., "err": ...}; code is None where it took longer,
and it is killed; -9 means killed by that signal.
"""

import contextlib
import importlib
import json
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path


def work(request: dict[str, object]) -> None:
    if "script" in request:
        sys.argv = [str(request["script"])]
        runpy.run_path(str(request["script"]), run_name="__main__")
        return
    from polytask.cli import main

    if not request["report"]:
        importlib.import_module("polytask.fitting.session").write_report = lambda folder: None
    sys.argv = ["polytask", *request["argv"]]
    main()


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
    os.environ.update(request.get("environment", {}))
    code = 0
    try:
        work(request)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
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
    for path in outputs_of(pid):
        path.unlink()  # The number comes again.
    return {"code": code, "out": out, "err": err}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = wait(asked["wait"], asked["seconds"]) if "wait" in asked else start(asked)
        print(json.dumps(answer), flush=True)
