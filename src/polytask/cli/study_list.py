"""The options of `study` beside those of a fit: type, what stands for the value, meaning."""

from collections.abc import Mapping
from pathlib import Path

STUDY_OPTIONS: Mapping[str, tuple[object, str | None, str]] = {
    "quick": (
        bool,
        None,
        "Few rules, two trials, three seeds, three epochs of 20,000 rows: under five minutes.",
    ),
    "trunks": (str | None, "NAMES", "Trunks to compare, comma-separated; --trunk if absent."),
    "balancers": (str | None, "NAMES", "Rules to compare, comma-separated; eight if absent."),
    "auxiliary": (
        list[str] | None,
        "NAMES",
        "A set of extra losses and tasks, comma-separated, or none; repeat for each set.",
    ),
    "leave_out": (str | None, "ROWS", "Rows to do without: single, static, rlw, trees."),
    "design": (str | None, "product|star", "star: change one thing at a time. [product]"),
    "trials": (int | None, "N", "Trials of each configuration. [8]"),
    "seeds": (int | None, "N", "Trainings of the best of each. [5]"),
    "rows": (int | None, "N", "Train on so many rows, drawn at random; all if absent."),
    "budget": (str | None, "TIME", "Time for everything, such as 90s, 60m or 2h. [60m]"),
    "workers": (int | None, "N", "Trainings at a time; one a core if absent."),
    "trial_time": (str | None, "TIME", "The longest that a training may take. [30m]"),
    "trial_memory": (float | None, "GB", "Memory that a training may take."),
    "storage": (str | None, "URL", "A data base that several machines share; a file if absent."),
    "on": (str | None, "ENGINE", "ray: place further processes on a Ray cluster; needs --storage."),
    "machines": (int | None, "N", "Processes that Ray places beside this one. [1]"),
    "search_seed": (int | None, "N", "Seed of the search. [0]"),
    "resume": (Path | None, "FOLDER", "Go on with a study that was stopped."),
    "join": (Path | None, "FOLDER", "Take part in a study of another machine, by its storage."),
}
