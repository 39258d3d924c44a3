"""What is to be predicted: tasks, their kinds, and how noisy their labels are."""

from polytask.task.task import (
    Kind,
    KindName,
    Noise,
    Task,
    binary,
    check_tasks,
    count,
    joint_logit,
    multiclass,
    regression,
)

__all__ = [
    "Kind",
    "KindName",
    "Noise",
    "Task",
    "binary",
    "check_tasks",
    "count",
    "joint_logit",
    "multiclass",
    "regression",
]
