"""What is drawn while a model runs or is made, as a function of a seed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# torch's own generator is one for the whole process: only one run at a time may draw from it.
_DRAWING = threading.RLock()


@contextmanager
def drawn_from(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Modules inside draw from `seed`: start weights, dropout. The caller's state stays as it was.

    Threads wait for each other here, so that two runs in one process do not disturb each other.

    >>> with drawn_from(3):
    ...     first = torch.rand(2)
    >>> with drawn_from(3):
    ...     assert torch.equal(torch.rand(2), first)
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with _DRAWING, torch.random.fork_rng(devices=devices):
        # torch.manual_seed asks every kind of accelerator too, which costs two hundred times as much.
        torch.default_generator.manual_seed(seed)
        for each in devices:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield
