"""Which tasks of the two large tables belong together: `polytask transfer`, as a person would run it.

    python benchmarks/transfer.py [census] [kuairand] [--rows N] [--epochs N] [--seeds 2]
    python benchmarks/transfer.py --cost        # of covariance similarity and of the grouping, on one thread

Census-Income: income, never married, weeks worked and college (associate degree or above).
KuaiRand-Pure, split by time: click, long view, like, profile entry and play time, and the four rare
feedbacks, which have too few labels to be judged. Trained on samples of 20,000 and 12,000 rows, so that it
takes minutes; --rows takes others. Writes runs/transfer-NAME and its report.html;
reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import subprocess
import sys
import time

from census import GROUPS
from main_job import CENSUS, DATA, ROOT

COLLEGE = GROUPS[2][1]
JOBS = {
    "census": (
        "census_income_train.parquet",
        (
            *CENSUS,
            *("--task", "weeks_worked:regression", "--task", COLLEGE),
        ),
        *("20000", "3"),
    ),
    "kuairand": (
        "kuairand_pure.parquet",
        (
            *("--task", "click=is_click", "--task", "long_view", "--task", "like=is_like"),
            *("--task", "profile=is_profile_enter", "--task", "play_seconds:regression"),
            *("--task", "is_comment", "--task", "is_follow", "--task", "is_forward"),
            *("--task", "is_hate", "--transform", "play_seconds=log1p"),
            *(
                "--derive",
                "play_seconds = play_time_ms / 1000",
                "--derive",
                "hour = hourmin // 100",
            ),
            *("--categorical", "hour", "--time-column", "time_ms"),
            *("--valid-from", "1651593600000", "--test-from", "1651680000000"),
        ),
        *("12000", "2"),
    ),
}


def cost() -> None:
    """Ten tasks of 100,000 x 256 features, and the grouping of twelve tasks."""
    import numpy as np
    import torch

    from polytask.transfer import best_partition
    from polytask.transfer.grouping import mean_incoming
    from polytask.transfer.similarity import second_moment, similarity_matrices

    torch.set_num_threads(1)
    features = [torch.randn(100_000, 256) for _ in range(10)]
    started = time.perf_counter()
    similarity_matrices([second_moment(each) for each in features])
    print(f"covariance similarity: {time.perf_counter() - started:.1f} s")
    value = mean_incoming(np.random.default_rng(0).normal(size=(12, 12)))
    started = time.perf_counter()
    best_partition(12, value)
    print(f"grouping of 12 tasks: {time.perf_counter() - started:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *JOBS], default=[])
    parser.add_argument("--rows")
    parser.add_argument("--epochs")
    parser.add_argument("--seeds", default="2")
    parser.add_argument("--cost", action="store_true", help="of similarity and grouping, alone")
    options = parser.parse_args()
    if options.cost:
        cost()
        return
    for name in options.names or JOBS:
        file, own, rows, epochs = JOBS[name]
        out = ROOT / "runs" / f"transfer-{name}"
        command = [sys.executable, "-m", "polytask", "transfer", str(DATA / file), *own]
        command += ["--rows", options.rows or rows, "--epochs", options.epochs or epochs]
        command += ["--seeds", options.seeds, "--out", str(out)]
        if out.exists():
            command = [sys.executable, "-m", "polytask", "transfer", "--resume", str(out)]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        print(f"\n{name}: {time.perf_counter() - started:.0f} s in all\n")


if __name__ == "__main__":
    main()
