"""A TrainingRun as tensors and facts, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

import torch
from torch import Tensor

from polytask import __version__
from polytask.errors import UserError
from polytask.training.run import Progress, TrainingRun, device_of
from polytask.training.state_files import State

PROGRESS, SETTINGS, ARITHMETIC, NUMBERS = "progress", "settings", "arithmetic", "optimizer numbers"


def state_of(run: TrainingRun, *, is_finished: bool = False) -> State:
    """All that the run holds; a finished one needs neither optimizers nor other weights again."""
    tensors = _with_prefix("model", run.model.state_dict())
    tensors |= _with_prefix("balancer", run.balancer.state_dict())
    numbers: dict[str, str] = {}
    if not is_finished:
        tensors |= _with_prefix("best", run.progress.best_weights or {})
        for name, value in _optimizer_values(run).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{name}"] = value
            else:
                numbers[name] = json.dumps(value)
    facts = {
        PROGRESS: _progress_facts(run.progress),
        SETTINGS: settings_facts(run),
        ARITHMETIC: arithmetic_of(run),
        NUMBERS: numbers,
    }
    return State(tensors, facts)


def share_state(run: TrainingRun) -> None:
    """Bring all of the run's ranks to where the first one is."""
    if run.ranks is None:
        return
    state = None
    if run.ranks.rank == 0:
        mine = state_of(run)
        state = State({name: tensor.cpu() for name, tensor in mine.tensors.items()}, mine.facts)
    state = run.ranks.share(state)
    if run.ranks.rank > 0:
        apply_state(run, state)


def settings_facts(run: TrainingRun) -> dict[str, str]:
    """How the run is trained. The precision is left out: it belongs to the arithmetic."""
    settings = asdict(run.settings)
    return {name: str(value) for name, value in settings.items() if name != "precision"}


def apply_state(run: TrainingRun, state: State) -> None:
    """Bring a fresh run to where `state_of` found the other one.

    Raises UserError where the state is that of another model or balancer.
    """
    best = _without_prefix("best", state.tensors)
    try:
        run.model.load_state_dict(_without_prefix("model", state.tensors))
        run.balancer.load_state_dict(_without_prefix("balancer", state.tensors))
        _restore_optimizers(run, state)
    except (RuntimeError, ValueError, LookupError) as error:
        raise UserError(f"the checkpoint is not one of this model: {error}") from error
    device = device_of(run.model)
    for field in fields(Progress):
        if field.name in state.facts[PROGRESS]:
            kind = type(getattr(Progress(), field.name))
            setattr(run.progress, field.name, kind(state.facts[PROGRESS][field.name]))
    run.progress.best_weights = {k: v.to(device) for k, v in best.items()} if best else None


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


def _progress_facts(progress: Progress) -> dict[str, str]:
    """Numbers as text: Python writes a float so that it is read back to the bit, inf as well."""
    names = [field.name for field in fields(progress) if field.name != "best_weights"]
    return {name: str(getattr(progress, name)) for name in names}


def _optimizer_values(run: TrainingRun) -> dict[str, object]:
    """OPTIMIZER.PARAMETER.SLOT -> what the optimizer remembers there, a tensor or a number."""
    return {
        f"{o}.{parameter}.{slot}": value
        for o, optimizer in enumerate(run.optimizers.all)
        for parameter, slots in optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
    }


def _restore_optimizers(run: TrainingRun, state: State) -> None:
    values: dict[str, object] = dict(_without_prefix("optimizer", state.tensors))
    values |= {name: json.loads(text) for name, text in state.facts[NUMBERS].items()}
    remembered: list[dict[int, dict[str, object]]] = [{} for _ in run.optimizers.all]
    for name, value in values.items():
        o, parameter, slot = name.split(".", maxsplit=2)
        remembered[int(o)].setdefault(int(parameter), {})[slot] = value
    for optimizer, slots in zip(run.optimizers.all, remembered):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def _product_precision() -> str:
    """What float32 products may be rounded to; torch 2.9 gave each backend a setting of its own."""
    backends = (torch.backends.mkldnn, torch.backends.cuda)
    settings = [
        getattr(getattr(backend, "matmul", None), "fp32_precision", None) for backend in backends
    ]
    if None in settings:
        return torch.get_float32_matmul_precision()
    return " / ".join(map(str, settings))
