"""Runs `polytask` command lines in processes of their own, and kills them with SIGKILL when told to.

A line of JSON on standard input is one command: {"argv": [...], "run": FOLDER, "kill_after": S}.
The answer is a line too: {"code": ..., "seconds": ...}; code -9 means killed, seconds count from
the moment that FOLDER/run.yaml was there. Each process is a fork of this one, which has imported
everything and computed nothing: starting Python and torch anew would take most of the time.
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import polytask.fitting.fitting
from polytask.cli import main

POLL_SECONDS = 0.002

# What a fit imports on its way; torch's optimizers the last.
for name in ("polytask.report.page", "polytask.cli.fitting", "torch._dynamo"):
    importlib.import_module(name)
if "--without-report" in sys.argv:
    # It takes longer than the rest of a small run.
    polytask.fitting.session.write_report = lambda folder: None


def run_child(arguments: list[str]) -> None:
    sys.argv = ["polytask", *arguments]
    log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(argv: list[str], folder: Path, kill_after: float | None) -> dict[str, float]:
    child = os.fork()
    if child == 0:
        run_child(argv)
    began: float | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        if began is None and (folder / "run.yaml").exists():
            began = now
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code, "seconds": now - (began or now)}
        if kill_after is not None and began is not None and now - began >= kill_after:
            os.kill(child, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


for line in sys.stdin:
    command = json.loads(line)
    answer = run(command["argv"], Path(command["run"]), command["kill_after"])
    print(json.dumps(answer), flush=True)
