"""Processes that torchrun started: they train one model together, and the first speaks for all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from polytask.balancing import Ranks
from polytask.errors import UserError

Result = TypeVar("Result")

# The others wait while the first one evaluates and writes.
PATIENCE = timedelta(days=1)


def number_of_processes() -> int:
    """As many as torchrun started; one without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number_of_restarts() -> int:
    """How often torchrun has started its processes again, after one of them had died (--max-restarts).

    >>> number_of_restarts()
    0
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def launched() -> Iterator[Ranks | None]:
    """The processes that torchrun started, while they work together; None where there is but one."""
    if number_of_processes() == 1:
        yield None
        return
    has_nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if has_nccl else "gloo",
        # torchrun keeps one store for all its restarts: without a name of its own a restarted process
        # reads the address of a dead one there, and is refused ("Gloo connectFullMesh failed").
        store=distributed.PrefixStore(f"restart {number_of_restarts()}", store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=world,
        timeout=PATIENCE,
    )
    try:
        yield Ranks()
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def is_first(ranks: Ranks | None) -> bool:
    """Whether this process is the one that evaluates, writes and prints."""
    return ranks is None or ranks.rank == 0


def raise_on_all(ranks: Ranks | None, act: Callable[[], Result]) -> Result:
    """What `act` returns here. A UserError of one rank is raised on all, so that none waits for it."""
    if ranks is None:
        return act()
    try:
        result = act()
    except UserError as error:
        ranks.gather(error.message)
        raise
    told = next(filter(None, ranks.gather("")), None)
    if told is not None:
        raise UserError(told)
    return result
