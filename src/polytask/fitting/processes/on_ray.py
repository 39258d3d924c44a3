"""Ray as the launcher: Ray Train places the processes of a fit on a cluster, and starts them again when one dies."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.errors import UserError, flag
from polytask.files.reading import read_text
from polytask.files.writing import write_text
from polytask.fitting.processes.torchrun import PATIENCE, is_first
from polytask.fitting.run_folder.continuing import continued_events
from polytask.fitting.run_folder.folder import RunFolder
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.run import Run
from polytask.fitting.telling import lines_of

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

_MOST_RESTARTS = 3
_FOLDER, _MISTAKE = "folder", "mistake"


def fit_on_ray(config: FitConfig, *, workers: int, continues: bool = False) -> Run:
    """Train one model in so many processes of a Ray cluster, which act as one, as torchrun's do.

    The cluster is that of RAY_ADDRESS, or the one of this machine, begun where there is none. The
    table and the run's folder have to be visible to all of its machines. A process that dies costs the
    steps since the last checkpoint, up to three times; the weights are those of an undisturbed run.
    UserError where Ray is not installed, and for all that `fit` refuses.
    """
    if config.out is None:
        raise UserError(
            f"a fit on Ray needs a folder that all machines see, to resume from: {flag('out', 'runs/first')}"
        )
    require_ray()
    if not continues:
        # Processes that are started again find their own run; another one is refused here.
        _, lock = RunFolder.create(config.out, overwrite=config.overwrite)
        lock.release()
    own = config.out.resolve().with_name(f".{config.out.name}.ray")
    try:
        _fitted(config, workers, own)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return load(config.out)


def _fitted(config: FitConfig, workers: int, own: Path) -> None:
    """Ray keeps what it notes in a folder of its own, which has to be visible to all machines too."""
    from ray.train import TrainingFailedError

    mistake = own / _MISTAKE
    try:
        _trainer(config, workers, own).fit()
    except TrainingFailedError as error:
        raise UserError(
            f"a process died {_MOST_RESTARTS + 1} times ({str(error).partition(chr(10))[0]}); what was "
            f"saved stays, and the same command with --continue resumes it"
        ) from error
    if mistake.is_file():
        raise UserError(read_text(mistake))


def require_ray() -> None:
    """UserError where Ray is not installed."""
    try:
        import ray.train.torch  # noqa: F401
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'polytask[ray]'") from error


def _trainer(config: FitConfig, workers: int, own: Path) -> "TorchTrainer":
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(ignore_reinit_error=True, log_to_driver=True)
    on_gpu = config.device != "cpu" and ray.cluster_resources().get("GPU", 0) >= workers
    return TorchTrainer(
        _work,
        train_loop_config={"config": config, _FOLDER: str(Path.cwd()), _MISTAKE: own / _MISTAKE},
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            timeout_s=int(PATIENCE.total_seconds()),
        ),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=on_gpu,
            resources_per_worker={"CPU": config.threads or 1},
        ),
        run_config=RunConfig(
            name="fit",
            storage_path=str(own),
            failure_config=FailureConfig(max_failures=_MOST_RESTARTS),
        ),
    )


def _work(asked: Mapping[str, object]) -> None:
    """In each process, whose default group Ray has made. What a user can mend is not tried again."""
    config, mistake = asked["config"], Path(str(asked[_MISTAKE]))
    assert isinstance(config, FitConfig)
    if mistake.is_file():
        return
    os.chdir(str(asked[_FOLDER]))
    ranks = Ranks()
    try:
        for event in continued_events(config, ranks=ranks):
            if is_first(ranks):
                for line in lines_of(event):
                    print(line, flush=True)
    except UserError as error:
        write_text(mistake, error.message)
        raise
