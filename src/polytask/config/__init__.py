"""Text -> objects: run.yaml, the options of the command line, and the names of trunks and rules.

The only place where a string becomes an object. What builds them is in `polytask.config.build`;
this much does without torch, so that help and a mistyped option answer at once.
"""

from polytask.config.fields import FitConfig, TaskConfig
from polytask.config.tasks import parse_task
from polytask.config.yaml import read_config, validate_config, write_config

__all__ = [
    "FitConfig",
    "TaskConfig",
    "parse_task",
    "read_config",
    "validate_config",
    "write_config",
]
