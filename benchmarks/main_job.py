"""The main job on real data: `polytask fit` as a person would run it, timed from outside.

    python benchmarks/main_job.py [census] [kuairand] [kuairand_history] [-- --seed 3 --baseline none]

Reads the data sets from POLYTASK_DATA (else ../shared/data) and writes the runs to runs/. What stands behind `--` are
further options of `polytask fit`.
Prints one table a data set: each task's metrics, single-task beside multi-task, the gain with its
interval, the wall-clock time and the peak resident memory of the whole command.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from polytask.records import Gain, MetricValue, RunRecord, read_metrics

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYTASK_DATA", ROOT.parent / "shared" / "data"))

CENSUS = (
    *("--task", "income:binary:50000+"),
    *("--task", "never_married=marital_status:binary:Never married"),
    *("--ignore", "education,marital_status,instance_weight"),
    *("--test", str(DATA / "census_income_test.parquet")),
)
# One epoch: on the validation rows every task is at its best after it, and the rate has fallen by then.
KUAIRAND = (
    *("--task", "click=is_click", "--task", "long_view", "--task", "like=is_like"),
    *("--derive", "play_seconds = play_time_ms / 1000", "--derive", "hour = hourmin // 100"),
    *("--task", "play_seconds:regression", "--transform", "play_seconds=log1p"),
    *("--after", "is_follow,is_comment,is_forward,is_hate,is_profile_enter"),
    *("--categorical", "hour", "--group", "user_id"),
    *("--time-column", "time_ms", "--valid-from", "1651593600000", "--test-from", "1651680000000"),
    *("--epochs", "1", "--validations-per-epoch", "4", "--patience", "4"),
)
HISTORY = (
    *KUAIRAND,
    "--history",
    "user_id,video_id,author_id,music_id,user_id*tag,user_id*author_id,user_id*tab,video_id*tab",
)
_KUAIRAND_METRICS = ("auc", "gauc", "log_loss", "mae", "rmse", "xauc", "gxauc")
JOBS = {
    "census": ("census_income_train.parquet", CENSUS, ("auc", "log_loss", "calibration")),
    "kuairand": ("kuairand_pure.parquet", KUAIRAND, _KUAIRAND_METRICS),
    "kuairand_history": ("kuairand_pure.parquet", HISTORY, _KUAIRAND_METRICS),
}


def main() -> None:
    names, more = sys.argv[1:], []
    if "--" in names:
        more = names[names.index("--") + 1 :]
        names = names[: names.index("--")]
    for name in names or JOBS:
        file, options, metrics = JOBS[name]
        out = ROOT / "runs" / name
        command = [sys.executable, "-m", "polytask", "fit", str(DATA / file), *options, *more]
        started = time.perf_counter()
        subprocess.run([*command, "--out", str(out), "--overwrite"], check=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        show(name, read_metrics(out), metrics)
        print(
            f"\n{seconds:.0f} s in all, {used.ru_utime + used.ru_stime:.0f} of the processor so far, "
            f"{used.ru_maxrss / 1024**2:.2f} GiB resident at most\n"
        )


def show(name: str, record: RunRecord, metrics: Sequence[str]) -> None:
    print(
        f"\n## {name}\n\n| task | metric | single-task | multi-task | gain |\n|---|---|---|---|---|"
    )
    for task, result in record.tasks.items():
        for metric in metrics:
            if metric in result.test:
                single = None if result.single is None else result.single.test[metric]
                gain = None if single is None else result.gain(metric)
                shown = (single, result.test[metric], gain)
                print(f"| {task} | {metric} | {' | '.join(map(cell, shown))} |")
    speed = record.speed
    print(
        f"\n{speed.train_rows_per_second:,.0f} training rows/s, {speed.train_seconds:.1f} s, "
        f"{speed.steps} steps, best at {speed.best_step}; {asdict(record.environment)}"
    )


def cell(shown: MetricValue | Gain | None) -> str:
    if shown is None:
        return "-"
    interval = "" if shown.low is None else f" [{shown.low:.4f}, {shown.high:.4f}]"
    return f"{shown.value:.4f}{interval}"


if __name__ == "__main__":
    main()
