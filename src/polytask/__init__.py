"""polytask: several tasks on one body of data.

Shape letters, the same in all files and used as suffixes (`x_BD`, `gram_TT`):
B batch, T tasks, D input features, H representation, E experts, P shared parameters flattened,
N numeric and C categorical columns, O outputs. Task order is the order of the `tasks` list.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polytask import auxiliary as auxiliary
    from polytask import balancing as balancing
    from polytask import config as config
    from polytask import data as data
    from polytask import fitting as fitting
    from polytask import inputs as inputs
    from polytask import kinds as kinds
    from polytask import metrics as metrics
    from polytask import model as model
    from polytask import records as records
    from polytask import report as report
    from polytask import seq2seq as seq2seq
    from polytask import serving as serving
    from polytask import streams as streams
    from polytask import study as study
    from polytask import training as training
    from polytask import transfer as transfer
    from polytask import trunks as trunks
    from polytask.errors import UserError as UserError
    from polytask.fitting import Run as Run
    from polytask.fitting import fit as fit
    from polytask.fitting import load as load
    from polytask.fitting import resume as resume
    from polytask.kinds import Binary as Binary
    from polytask.kinds import Count as Count
    from polytask.kinds import Kind as Kind
    from polytask.kinds import Multiclass as Multiclass
    from polytask.kinds import Quantile as Quantile
    from polytask.kinds import Regression as Regression
    from polytask.kinds import Tags as Tags
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
    from polytask.task import tags as tags
    from polytask.training import Settings as Settings
    from polytask.training import TrainingRun as TrainingRun
    from polytask.training import train as train

__version__ = "0.1.0"

_ROOMS = (
    *("auxiliary", "balancing", "config", "data", "inputs", "fitting", "kinds", "metrics", "model"),
    *(
        "records",
        "report",
        "seq2seq",
        "serving",
        "streams",
        "study",
        "training",
        "transfer",
        "trunks",
    ),
)
_NAMES = {
    "errors": ("UserError",),
    "fitting": ("Run", "fit", "load", "resume"),
    "kinds": ("Binary", "Count", "Kind", "Multiclass", "Quantile", "Regression", "Tags"),
    "model": ("MultiTaskModel",),
    "streams": ("Batch", "InMemoryStream", "Stream"),
    "task": ("Task", "binary", "count", "multiclass", "quantile", "regression", "tags"),
    "training": ("Settings", "TrainingRun", "train"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> object:
    """Import a room or a public name when it is first asked for: `polytask --version` loads no torch."""
    if name in _ROOMS:
        return import_module(f"polytask.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'polytask' has no attribute {name!r}")
    return getattr(import_module(f"polytask.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
