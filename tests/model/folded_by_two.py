"""`train_both(FOLDER)`: two processes, forked from this one, train a folded model and write their losses to FOLDER."""

from pathlib import Path

import torch
from torch import distributed

import folding
from polytask.balancing import Ranks
from polytask.task import binary
from two_processes import in_two_processes


def train_both(folder: Path) -> None:
    """Raises where a rank fails."""
    in_two_processes(lambda number: _train(number, folder))


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
