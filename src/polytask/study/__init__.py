"""The comparison that can be believed: every way to train tuned alike, beside the rows that are usually missing.

    record = run_study(validate_study({"fit": {"table": "log.parquet", "tasks": ["click", "like"]}, "out": "s"}))

is `polytask study`. What is compared: `configurations`; what trials choose: `search`; who trains when:
`agenda` and `conducting`, in `processes` of their own, remembered by a `store`; what it says: `statistics`, `outcomes`,
`choosing`, `summary`.
"""

from polytask.config.study import StudyConfig, quick, read_study, validate_study
from polytask.study.configurations import Configuration, configurations
from polytask.study.events import StudyFinished
from polytask.study.running import run_study, study_events
from polytask.study.statistics import (
    MetricPair,
    delta_m,
    holm,
    mean_over_seeds,
    mean_ranks,
)

__all__ = [
    "Configuration",
    "MetricPair",
    "StudyConfig",
    "StudyFinished",
    "configurations",
    "delta_m",
    "holm",
    "mean_over_seeds",
    "mean_ranks",
    "quick",
    "read_study",
    "run_study",
    "study_events",
    "validate_study",
]
