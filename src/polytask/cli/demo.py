"""The demo: the main job on data that needs no download."""

from pathlib import Path

from polytask.cli.fitting import show_fit
from polytask.config import FitConfig, validate_config
from polytask.data.generate import DAY_MS, FIRST_MS, short_video_log


def demo_config(out: Path, *, seed: int) -> FitConfig:
    """Four tasks of one impression; twelve days to train, one to validate, two to test on."""
    return validate_config(
        {
            "tasks": [
                "click:binary",
                "like:binary",
                "follow:binary",
                "watch_seconds:regression",
            ],
            "transform": {"watch_seconds": "log1p"},
            "group": "user_id",
            "time_column": "time_ms",
            "valid_from": FIRST_MS + 11 * DAY_MS,
            "test_from": FIRST_MS + 12 * DAY_MS,
            "trunk": "mmoe",
            "epochs": 2,
            "seed": seed,
            "out": str(out),
            "overwrite": True,
        }
    )


def run_demo(num_rows: int, out: Path, *, seed: int, verbose: bool) -> None:
    """Make the log up, train on it, print the comparison."""
    show_fit(demo_config(out, seed=seed), short_video_log(num_rows, seed=seed), verbose=verbose)
