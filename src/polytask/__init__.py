"""polytask: several tasks on one body of data.

Shape letters, the same in all files and used as suffixes (`x_BD`, `gram_TT`):
B batch, T tasks, D input features, H representation, E experts, P shared parameters flattened,
N numeric and C categorical columns, O outputs. Task order is the order of the `tasks` list.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polytask.fitting import Run as Run
    from polytask.fitting import fit as fit
    from polytask.fitting import load as load
    from polytask.fitting import resume as resume
    from polytask.model import MultiTaskModel as MultiTaskModel
    from polytask.streams import Batch as Batch
    from polytask.streams import InMemoryStream as InMemoryStream
    from polytask.streams import Stream as Stream
    from polytask.task import Task as Task
    from polytask.task import binary as binary
    from polytask.task import count as count
    from polytask.task import multiclass as multiclass
    from polytask.task import quantile as quantile
    from polytask.task import regression as regression
    from polytask.training import Settings as Settings
    from polytask.training import TrainingRun as TrainingRun
    from polytask.training import train as train

__version__ = "0.1.0"

_HOMES = {
    "Batch": "polytask.streams",
    "InMemoryStream": "polytask.streams",
    "MultiTaskModel": "polytask.model",
    "Run": "polytask.fitting",
    "Settings": "polytask.training",
    "Stream": "polytask.streams",
    "Task": "polytask.task",
    "TrainingRun": "polytask.training",
    "binary": "polytask.task",
    "count": "polytask.task",
    "fit": "polytask.fitting",
    "load": "polytask.fitting",
    "multiclass": "polytask.task",
    "quantile": "polytask.task",
    "regression": "polytask.task",
    "resume": "polytask.fitting",
    "train": "polytask.training",
}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: `polytask --version` need not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'polytask' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
