"""The one-call face: fit, resume, load, and the run that they return."""

from polytask.fitting.events import Event, Finished, ModelFinished, ModelStarted, Notice
from polytask.fitting.fitting import fit, fit_events
from polytask.fitting.preparing.columns import inspect_table
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.fitting.run_folder.continuing import continued_events
from polytask.fitting.run_folder.loading import load
from polytask.fitting.run_folder.resuming import resume, resume_events
from polytask.fitting.run_folder.run import Run

__all__ = [
    "Event",
    "Finished",
    "ModelFinished",
    "ModelStarted",
    "Notice",
    "Prepared",
    "Run",
    "continued_events",
    "fit",
    "fit_events",
    "inspect_table",
    "load",
    "prepare",
    "resume",
    "resume_events",
]
