"""`in_two_processes(RUN)`: RUN(0) and RUN(1), each in a fork of this process."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable


def in_two_processes(run: Callable[[int], None]) -> None:
    """AssertionError where one fails; the other, which may wait for it, is killed."""
    pids = [_forked(run, number) for number in (0, 1)]
    try:
        for _ in pids:
            _, status = os.wait()
            assert status == 0
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _forked(run: Callable[[int], None], number: int) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run(number)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid
