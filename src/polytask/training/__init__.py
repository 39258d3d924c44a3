"""From batches to a trained model: the loop, what stops it, and what it is judged by."""

from polytask.training.checkpoint import Checkpoints, Restored
from polytask.training.evaluation import Predictions, Validation, predict, validate
from polytask.training.loop import TrainStep, train
from polytask.training.monitor import Monitor, Term
from polytask.training.run import Progress, Settings, TrainingRun

__all__ = [
    "Checkpoints",
    "Monitor",
    "Predictions",
    "Progress",
    "Restored",
    "Settings",
    "Term",
    "TrainStep",
    "TrainingRun",
    "Validation",
    "predict",
    "train",
    "validate",
]
