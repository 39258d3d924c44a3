"""What a user was shown, liked and watched long before the log begins: none, mean, attention, GRU.

    python benchmarks/history.py [--seeds 3] [--arms none,mean,attention,gru] [--keep history.jsonl]

KuaiRand-Pure, split by time, with the three lists of kuairand_history.parquet joined by user_id (98 %
of the rows have one; each is the last 50 videos at most, oldest first, none later than the log). The
lists and the video share one embedding table. Every arm has the same options and the same seeds;
gains over `none` are paired by seed. `--keep` adds to a file of outcomes, so that the arms can be run
one at a time. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from census import DATA
from seeds import interval

import polytask

LISTS = ("shown", "liked", "watched_long")
ITEM = "video_id"
TASKS = ("click", "long_view", "like", "profile")
METRICS = ("auc", "gauc")
BASE: Mapping[str, object] = {
    "tasks": ["click=is_click", "long_view", "like=is_like", "profile=is_profile_enter"],
    "derive": ("hour = hourmin // 100",),
    "after": "is_follow,is_comment,is_forward,is_hate,play_time_ms",
    "categorical": "hour",
    "group": "user_id",
    "time_column": "time_ms",
    "valid_from": 1651593600000,
    "test_from": 1651680000000,
    "epochs": 2,
    "validations_per_epoch": 4,
    "patience": 4,
    "embedding_dim": 8,
}
ARMS: Mapping[str, Mapping[str, object]] = {
    "none": {"ignore": LISTS},
    **{
        encoder: {
            "columns": {"sequence": (ITEM, *LISTS)},
            "input_options": {"sequence": {"encoder": encoder}},
        }
        for encoder in ("mean", "attention", "gru", "transformer")
    },
}
Outcomes = dict[str, dict[int, dict[str, float]]]


def joined() -> pa.Table:
    """The log with each user's lists; null for the 2 % that have none."""
    log = pq.read_table(DATA / "kuairand_pure.parquet")
    history = pq.read_table(DATA / "kuairand_history.parquet").select(["user_id", *LISTS])
    place = {user: row for row, user in enumerate(history["user_id"].to_pylist())}
    rows = pa.array([place.get(user) for user in log["user_id"].to_pylist()], pa.int64())
    for name in LISTS:
        log = log.append_column(name, history[name].combine_chunks().take(rows))
    return log


def run_arm(name: str, table: Path, seeds: list[int]) -> dict[int, dict[str, float]]:
    """The test metrics of each seed."""
    options = {**BASE, **ARMS[name], "baseline": "none", "intervals": False, "threads": 1}
    tasks, found = options.pop("tasks"), {}
    for seed in seeds:
        metrics = polytask.fit(table, tasks, seed=seed, **options).metrics
        test = {task: metrics.tasks[task].test for task in TASKS}
        found[seed] = {f"{t} {m}": test[t][m].value for t in TASKS for m in METRICS}
        found[seed]["seconds"] = metrics.speed.train_seconds
        print(name, seed, f"{metrics.speed.train_seconds:.0f} s", flush=True)
    return found


def show(outcomes: Outcomes) -> None:
    """A row an arm: the metric, and below it its gain over `none`, paired by seed."""
    print("\n| history | " + " | ".join(f"{task} AUC" for task in TASKS) + " | s |")
    print("|---" * (len(TASKS) + 2) + "|")
    for name, runs in outcomes.items():
        cells = [interval([run[f"{task} auc"] for run in runs.values()]) for task in TASKS]
        seconds = sum(run["seconds"] for run in runs.values()) / len(runs)
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")
    for metric in METRICS:
        print(f"\nGain in {metric.upper()} over none, paired by seed, mean +- 95 %:\n")
        for name, runs in outcomes.items():
            common = [seed for seed in runs if seed in outcomes.get("none", {})]
            if name == "none" or not common:
                continue
            cells = []
            for task in TASKS:
                key = f"{task} {metric}"
                cells.append(interval([runs[s][key] - outcomes["none"][s][key] for s in common]))
            print(f"- {name}: " + ", ".join(f"{t} {cell}" for t, cell in zip(TASKS, cells)))


def read(path: Path | None) -> Outcomes:
    """The outcomes kept so far."""
    found: Outcomes = {}
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    for line in lines:
        each = json.loads(line)
        found.setdefault(each["arm"], {})[each["seed"]] = each["metrics"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", default="none,mean,attention,gru")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    outcomes = read(options.keep)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "joined.parquet"
        pq.write_table(joined(), table)
        for name in options.arms.split(","):
            known = outcomes.setdefault(name, {})
            seeds = [seed for seed in range(1, options.seeds + 1) if seed not in known]
            known |= run_arm(name, table, seeds) if seeds else {}
            if options.keep is not None:
                lines = [
                    json.dumps({"arm": arm, "seed": seed, "metrics": metrics})
                    for arm, runs in outcomes.items()
                    for seed, metrics in runs.items()
                ]
                options.keep.write_text("\n".join(lines) + "\n")
    show(outcomes)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
