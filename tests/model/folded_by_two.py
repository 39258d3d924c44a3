"""`train_both(FOLDER)`: two processes, forked from this one, train a folded model and write their losses to FOLDER."""

import os
import sys
import traceback
from pathlib import Path

import torch
from torch import distributed

import folding
from polytask.balancing import Ranks
from polytask.task import binary


def train_both(folder: Path) -> None:
    """Raises where a rank fails."""
    pids = [_forked(number, folder) for number in (0, 1)]
    for _ in pids:
        _, status = os.wait()
        assert status == 0


def _forked(number: int, folder: Path) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _train(number, folder)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def _train(number: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    distributed.init_process_group("gloo", init_method=store, rank=number, world_size=2)
    inputs = folding.fitted()
    tasks = [binary("a"), binary("b")]
    run = folding.make_run(inputs, tasks, folds=True, epochs=5, ranks=Ranks())
    losses = folding.losses_of(run, folding.labelled(inputs))
    distributed.destroy_process_group()
    torch.save(losses, folder / str(number))
