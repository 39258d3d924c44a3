"""What the bits of a step depend on beside the run's own state."""

import torch

from polytask import __version__
from polytask.training.run import TrainingRun, device_of


def arithmetic_of(run: TrainingRun) -> dict[str, str]:
    """Processes, threads, precisions, device and versions by name: equal ones give equal bits on a CPU."""
    device = device_of(run.model)
    dtypes = {str(p.dtype).removeprefix("torch.") for p in run.model.parameters()}
    return {
        "processes": str(1 if run.ranks is None else run.ranks.world),
        "threads": str(torch.get_num_threads()),
        "precision": run.settings.precision,
        "matrix products": _product_precision(),
        "dtype": ", ".join(sorted(dtypes)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "polytask": __version__,
    }


def _product_precision() -> str:
    """What float32 products may be rounded to; torch 2.9 gave each backend a setting of its own."""
    backends = (torch.backends.mkldnn, torch.backends.cuda)
    settings = [
        getattr(getattr(backend, "matmul", None), "fp32_precision", None) for backend in backends
    ]
    if None in settings:
        return torch.get_float32_matmul_precision()
    return " / ".join(map(str, settings))
