"""Ray as what places a study's trainings: processes that join it, on the machines of a cluster.

`python -m polytask.study.on_ray` is the part that speaks to Ray, in a process of its own: the one that
leads a study forks, which Ray's threads do not survive.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from polytask.errors import UserError
from polytask.records.transfer_files import ORIGIN
from polytask.study.limits import die_with_parent

_SECONDS_TO_END = 60.0
_MOST_RETRIES = 3


@contextmanager
def placed_on_ray(
    folder: Path, *, storage: str | None, machines: int, workers: int | None
) -> Iterator[None]:
    """While the block leads the study in `folder`, so many processes of a Ray cluster take part in it.

    Each trains `workers` at a time (one, if that is left open). Where one dies, Ray starts it again, and
    its trials wait again. UserError without Ray, or without a storage that all machines reach.
    """
    if storage is None:
        raise UserError(
            "--on ray needs a data base that all machines reach: "
            "--storage postgresql+psycopg://user@host/base"
        )
    _require_ray()
    join = ["study", "--join", str(folder.resolve()), "--storage", storage]
    join += ["--workers", str(workers or 1)]
    asked = {"join": join, "machines": machines, "cores": workers or 1, "cwd": str(Path.cwd())}
    placing = subprocess.Popen(
        [sys.executable, "-m", "polytask.study.on_ray", json.dumps(asked)], stdin=subprocess.DEVNULL
    )
    try:
        yield
        # They end with the study, by themselves.
        with suppress(subprocess.TimeoutExpired):
            placing.wait(_SECONDS_TO_END)
    finally:
        placing.terminate()
        placing.wait()


def _require_ray() -> None:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise UserError("Ray is not installed: pip install 'polytask[ray]'")


def _place(join: Sequence[str], *, machines: int, cores: int, cwd: str) -> None:
    """Place the processes, and wait for their end."""
    import ray

    ray.init(log_to_driver=True)
    placed = ray.remote(_join).options(
        num_cpus=cores, max_retries=_MOST_RETRIES, scheduling_strategy="SPREAD"
    )
    ray.get([placed.remote([*join], cwd) for _ in range(machines)])
    ray.shutdown()


def _join(command: Sequence[str], cwd: str) -> None:
    """On a machine of the cluster: take part, once the study has begun, until it is over."""
    folder = Path(command[command.index("--join") + 1])
    while not (folder / ORIGIN).exists():
        time.sleep(0.2)
    polytask = [sys.executable, "-m", "polytask"]
    subprocess.run([*polytask, *command], cwd=cwd, check=True, preexec_fn=die_with_parent)


if __name__ == "__main__":
    die_with_parent()
    _asked = json.loads(sys.argv[1])
    _place(_asked["join"], machines=_asked["machines"], cores=_asked["cores"], cwd=_asked["cwd"])
