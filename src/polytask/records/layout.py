"""What lies in a run folder: every name that polytask gives, checked by one function, removed by another.

No other name is ever removed, and no link is followed: a run folder may come from a stranger.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from polytask.errors import UserError, nearest
from polytask.files.lock import LOCK
from polytask.files.plain import fresh_part, is_part, require_plain
from polytask.files.writing import act_on

OPTIONS, ENCODER, WEIGHTS = "run.yaml", "encoder.json", "model.safetensors"
METRICS, FIGURES, STEPS = "metrics.json", "figures.json", "steps.jsonl"
REPORT, GRAPH = "report.html", "model.onnx"
FILES = (OPTIONS, ENCODER, WEIGHTS, STEPS, METRICS, FIGURES, REPORT, GRAPH)
CHECKPOINTS = "checkpoints"

TENSORS, FACTS = "tensors.safetensors", "facts.json"
STATE_FILES = (TENSORS, FACTS)
STEP = re.compile(r"step-\d{10}")
FINISHED = "finished"

# Folders of checkpoints/: one a model by its number, and the start of modules of the user's own.
_MODEL = re.compile(r"\d{1,9}")
_OWN_MODULES = ("encoder", "trunk")


def check_folder(run: Path) -> None:
    """UserError where there is no folder, or a name that polytask gives stands for a link, a device or anything else odd.

    The run folder itself may be reached through a link.
    """
    if not run.is_dir():
        runs = sorted(str(options.parent) for options in run.parent.glob(f"*/{OPTIONS}"))
        advice = nearest(str(run), runs) or "; `polytask fit` makes one (--out names it)"
        raise UserError(f"{run}: no such run folder{advice}")
    for name in (*FILES, LOCK):
        require_plain(run / name)
    for checkpoints in _checkpoint_folders(run):
        for state in _states(checkpoints):
            for name in STATE_FILES:
                require_plain(state / name)


def remove_parts(run: Path) -> None:
    """What a kill left half written, or half removed."""
    for path in _children(run):
        if is_part(path.name, FILES):
            act_on(path, path.unlink)
        elif is_part(path.name, (CHECKPOINTS,)):
            remove_checkpoints(path)


def remove_files(run: Path) -> None:
    """All but the checkpoints. run.yaml goes last: until then the folder is known to hold a run."""
    for name in reversed(FILES):
        if require_plain(run / name):
            act_on(run / name, (run / name).unlink)


def retire_checkpoints(run: Path) -> None:
    """Rename them first, so that a kill in the middle leaves no half of them to go on from."""
    checkpoints = run / CHECKPOINTS
    if require_plain(checkpoints, "folder"):
        going = fresh_part(checkpoints)
        act_on(checkpoints, lambda: checkpoints.rename(going))
        remove_checkpoints(going)


def remove_checkpoints(checkpoints: Path) -> None:
    """A folder of checkpoints, but for what polytask did not put there."""
    if not require_plain(checkpoints, "folder"):
        return
    for folder in _models(checkpoints):
        remove_model(folder)
    for state in _own_states(checkpoints):
        remove_state(state)
    _remove_if_empty(checkpoints)


def remove_model(folder: Path) -> None:
    """The checkpoints of one model."""
    if not require_plain(folder, "folder"):
        return
    for state in states_of(folder):
        remove_state(state)
    _remove_if_empty(folder)


def remove_state(path: Path) -> None:
    """One state: its two files, whole or in parts, and its folder."""
    if not require_plain(path, "folder"):
        return
    for file in _children(path):
        if file.name in STATE_FILES or is_part(file.name, STATE_FILES):
            act_on(file, file.unlink)
    _remove_if_empty(path)


def model_number(folder: Path) -> int | None:
    """The number of the model whose checkpoints lie there; None if the name is none of ours."""
    return int(folder.name) if _MODEL.fullmatch(folder.name) else None


def states_of(model: Path) -> list[Path]:
    """The states of one model, whole or in parts."""
    return [path for path in _children(model) if _is_state(path.name)]


def _is_state(name: str) -> bool:
    whole = name.partition(".")[0]
    is_ours = whole == FINISHED or STEP.fullmatch(whole) is not None
    return is_ours and (name == whole or is_part(name, (whole,)))


def _checkpoint_folders(run: Path) -> Iterator[Path]:
    if require_plain(run / CHECKPOINTS, "folder"):
        yield run / CHECKPOINTS
    for path in _children(run):
        if is_part(path.name, (CHECKPOINTS,)) and require_plain(path, "folder"):
            yield path


def _states(checkpoints: Path) -> Iterator[Path]:
    for folder in _models(checkpoints):
        require_plain(folder, "folder")
        yield from (state for state in states_of(folder) if require_plain(state, "folder"))
    yield from (state for state in _own_states(checkpoints) if require_plain(state, "folder"))


def _models(checkpoints: Path) -> list[Path]:
    return [path for path in _children(checkpoints) if model_number(path) is not None]


def _own_states(checkpoints: Path) -> list[Path]:
    return [
        path
        for path in _children(checkpoints)
        if path.name in _OWN_MODULES or is_part(path.name, _OWN_MODULES)
    ]


def _children(folder: Path) -> list[Path]:
    """In one order everywhere; none of a folder that is not there."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove_if_empty(folder: Path) -> None:
    if require_plain(folder, "folder") and not _children(folder):
        act_on(folder, folder.rmdir)
