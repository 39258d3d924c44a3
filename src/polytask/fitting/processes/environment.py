"""What a run does to the process, and undoes: threads, and the settings of torch."""

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch

import polytask
from polytask.balancing import Ranks
from polytask.errors import UserError, flag
from polytask.records import EnvironmentRecord


@contextmanager
def borrowed(threads: int | None = None) -> Iterator[None]:
    """torch's settings for the process as training and predicting need them; put back afterwards.

    These are the threads, the type and device of new tensors, gradients and autocasting: what a
    caller has set for models of his own would make another model here, or none.
    """
    before, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with ExitStack() as put_back:
        put_back.callback(torch.set_num_threads, before)
        put_back.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        if threads is not None:
            torch.set_num_threads(threads)
        for setting in _changed_settings():
            put_back.enter_context(setting)
        yield


def _changed_settings() -> Iterator[AbstractContextManager[object]]:
    """Only what is not as by default: a context for the device makes every call of torch slower."""
    if torch.get_default_device().type != "cpu":
        yield torch.device("cpu")
    if torch.is_inference_mode_enabled():
        yield torch.inference_mode(False)
    if not torch.is_grad_enabled():
        yield torch.enable_grad()
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)


def pick_device(name: str, ranks: Ranks | None = None) -> torch.device:
    """The device by name; `auto` is the first CUDA device if there is one, and each rank's own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise UserError(
            f"{flag('device', name)}: torch {torch.__version__} sees no CUDA device here"
        )
    return device if ranks is None else _own_cuda_device()


def _own_cuda_device() -> torch.device:
    """One a process, by the process's number on this machine."""
    place, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= count:
        raise UserError(
            f"torch sees {count} CUDA device(s) here, but there are more processes: start {count} "
            "(torchrun's nproc-per-node), or pass --device=cpu"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def environment(processes: int) -> EnvironmentRecord:
    """What the figures of a run depend on beside its options."""
    return EnvironmentRecord(
        processes=processes,
        polytask=polytask.__version__,
        torch=str(torch.__version__),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cpus=os.cpu_count() or 0,
        threads=torch.get_num_threads(),
    )
