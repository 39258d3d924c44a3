"""Built-in data: a short-video app's log, and the MMoE paper's tasks of a chosen correlation."""

from polytask.data.generate.correlated import (
    Waves,
    correlated_tasks,
    draw_waves,
    label_correlation,
)
from polytask.data.generate.short_video import DAY_MS, FIRST_MS, short_video_log

__all__ = [
    "DAY_MS",
    "FIRST_MS",
    "Waves",
    "correlated_tasks",
    "draw_waves",
    "label_correlation",
    "short_video_log",
]
