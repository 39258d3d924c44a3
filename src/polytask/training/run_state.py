"""A TrainingRun as tensors and facts, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

import torch
from torch import Tensor

from polytask import __version__, kernels
from polytask.errors import UserError
from polytask.products import onednn_is_faster
from polytask.training.optimizer import Stepped
from polytask.training.row_adam import HISTORY, LAST
from polytask.training.rowwise_adagrad import ROW_SUM
from polytask.training.run import Progress, TrainingRun, device_of
from polytask.training.state_files import DamagedStateError, ForeignStateError, State
from polytask.training.tensor_files import differences, layouts_of

PROGRESS, SETTINGS, ARITHMETIC, NUMBERS = "progress", "settings", "arithmetic", "optimizer numbers"

_OF_ROWS = (LAST, ROW_SUM)
"""Slots that have a number a row of a table."""
_ENDLESS = float(1 << 63)


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


def require_whole(run: TrainingRun, state: State) -> None:
    """DamagedStateError unless the state has what a run of this model needs: a ForeignStateError
    where it is another model's. `run` is left alone."""
    groups = (("model", run.model.state_dict()), ("balancer", run.balancer.state_dict()))
    best = _without_prefix("best", state.tensors)
    found = [(name, _without_prefix(name, state.tensors), tensors) for name, tensors in groups]
    found += [("best", best, run.model.state_dict())] if best else []
    for name, theirs, ours in found:
        others = differences(layouts_of(theirs), layouts_of(ours))
        if others:
            raise ForeignStateError(f"it is not one of this model: {name}.{others[0]}")
    _parse_progress(state)
    _optimizer_slots(run, state)


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
    for name, number in _parse_progress(state).items():
        setattr(run.progress, name, number)
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
        "float32 products by": "oneDNN" if onednn_is_faster() else "torch's choice",
        "kernels": "C" if kernels.library() else "torch's operators",
        "dtype": ", ".join(sorted(dtypes)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "polytask": __version__,
    }


def _progress_facts(progress: Progress) -> dict[str, str]:
    """Numbers as text: Python writes a float so that it is read back to the bit, inf as well."""
    return {name: str(getattr(progress, name)) for name in _progress_names()}


def _progress_names() -> list[str]:
    return [field.name for field in fields(Progress) if field.name != "best_weights"]


def _optimizer_values(run: TrainingRun) -> dict[str, object]:
    """OPTIMIZER.PARAMETER.SLOT -> what the optimizer remembers there, a tensor or a number."""
    return {
        f"{o}.{parameter}.{slot}": value
        for o, optimizer in enumerate(run.optimizers.all)
        for parameter, slots in optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
    }


def _parse_progress(state: State) -> dict[str, int | float]:
    """How far the run had come; DamagedStateError where a number is missing or cannot be."""
    facts = state.facts.get(PROGRESS, {})
    numbers: dict[str, int | float] = {}
    for name in _progress_names():
        kind = type(getattr(Progress(), name))
        try:
            numbers[name] = kind(facts[name])
        except (KeyError, ValueError) as error:
            raise DamagedStateError(f"its facts lack {PROGRESS}: {name}") from error
        # Only a score may be below 0, or infinite: none was better yet.
        if name != "best_score" and not 0 <= numbers[name] < _ENDLESS:
            raise DamagedStateError(f"its {PROGRESS} is impossible: {name} is {facts[name]}")
    return numbers


def _optimizer_slots(run: TrainingRun, state: State) -> list[dict[int, dict[str, object]]]:
    """By optimizer, parameter and slot; DamagedStateError where the run has none of them."""
    values: dict[str, object] = dict(_without_prefix("optimizer", state.tensors))
    if NUMBERS not in state.facts:
        raise DamagedStateError(f"its facts lack {NUMBERS}")
    remembered: list[dict[int, dict[str, object]]] = [{} for _ in run.optimizers.all]
    known = [_parameters_of(optimizer) for optimizer in run.optimizers.all]
    try:
        values |= {name: json.loads(text) for name, text in state.facts[NUMBERS].items()}
        for name, value in values.items():
            o, parameter, slot = name.split(".", maxsplit=2)
            shape = known[int(o)][int(parameter)].shape
            if isinstance(value, Tensor) and not _may_be_of(shape, slot, value):
                raise ForeignStateError(f"it is not one of this model: optimizer.{name}")
            remembered[int(o)].setdefault(int(parameter), {})[slot] = value
    except (ValueError, LookupError, RecursionError) as error:
        raise DamagedStateError(f"its optimizers cannot be read: {error}") from error
    return remembered


def _may_be_of(shape: torch.Size, slot: str, value: Tensor) -> bool:
    """Whether a slot of a parameter of this shape can hold the value; a number fits all."""
    return (
        not value.ndim
        or slot == HISTORY
        or value.shape == (shape[:1] if slot in _OF_ROWS else shape)
    )


def _parameters_of(optimizer: Stepped) -> list[Tensor]:
    """In the order by which an optimizer's state counts them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _restore_optimizers(run: TrainingRun, state: State) -> None:
    for optimizer, slots in zip(run.optimizers.all, _optimizer_slots(run, state)):
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
