"""Balancers on KuaiRand-Pure at equally tuned learning rates, beside single-task and static weights.

    python benchmarks/kuairand_balancers.py [--seeds 5]

Click, long view, like, profile entry and play time (log1p) of the same impressions, split by time;
MMoE. Every row is tuned with the same number of trainings, one a learning rate (static weights: one
a rate and draw of weights, which is more), chosen by the validation score, the mean of the goals'
main metrics; then one training a seed. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import random
import statistics
import time

from trials import DATA, Outcome, Trial, interval, run_trials

BALANCERS = (
    *("equal", "uncertainty", "dwa", "gradnorm", "mgda"),
    *("pcgrad", "cagrad", "nash_mtl", "famo"),
)
RATES = (2e-3, 5e-3)
NUM_STATIC = 4
TASKS = ("click", "long_view", "like", "profile", "play_seconds")
MAIN = {task: "xauc" if task == "play_seconds" else "auc" for task in TASKS}
BASE = {
    "table": str(DATA / "kuairand_pure.parquet"),
    "tasks": [
        "click=is_click",
        "long_view",
        "like=is_like",
        "profile=is_profile_enter",
        "play_seconds:regression",
    ],
    "derive": ("play_seconds = play_time_ms / 1000", "hour = hourmin // 100"),
    "transform": "play_seconds=log1p",
    "after": "is_follow,is_comment,is_forward,is_hate",
    "categorical": "hour",
    "group": "user_id",
    "time_column": "time_ms",
    "valid_from": 1651593600000,
    "test_from": 1651680000000,
    "epochs": 2,
    "validations_per_epoch": 4,
    "patience": 4,
    "embedding_dim": 8,
    "monitor": ",".join(f"{task}.{metric}" for task, metric in MAIN.items()),
}
METRICS = ("auc", "gauc", "xauc")


def candidates(name: str) -> list[dict[str, object]]:
    if name != "static":
        balancer = "equal" if name == "single" else name
        return [{"learning_rate": rate, "balancer": balancer} for rate in RATES]
    generator = random.Random(0)
    found = []
    for number in range(NUM_STATIC):
        raw = [generator.expovariate(1.0) for _ in TASKS]
        weights = tuple(round(len(TASKS) * w / sum(raw), 3) for w in raw)
        rate = RATES[number % len(RATES)]
        found.append({"learning_rate": rate, "balancer": {"name": "static", "weights": weights}})
    return found


def score(outcome: Outcome, part: str) -> float:
    return statistics.mean(outcome.of(part, task, metric) for task, metric in MAIN.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    names = ("single", "static", *BALANCERS)
    started = time.perf_counter()
    owners = [(name, values) for name in names for values in candidates(name)]
    trials = [Trial(values, single=name == "single", metrics=METRICS) for name, values in owners]
    chosen: dict[str, Outcome] = {}
    for (name, _), outcome in zip(owners, run_trials(BASE, trials, workers=options.workers)):
        if name not in chosen or score(outcome, "valid") > score(chosen[name], "valid"):
            chosen[name] = outcome
    print(f"{len(trials)} trials, {time.perf_counter() - started:.0f} s", flush=True)
    finals = [
        Trial(
            dict(chosen[name].trial.options) | {"seed": seed},
            single=name == "single",
            metrics=METRICS,
        )
        for name in names
        for seed in range(1, options.seeds + 1)
    ]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for position, outcome in enumerate(run_trials(BASE, finals, workers=options.workers)):
        outcomes[names[position // options.seeds]].append(outcome)
    show(outcomes)
    print(f"\n{time.perf_counter() - started:.0f} s in all")


def show(outcomes: dict[str, list[Outcome]]) -> None:
    titles = [f"{task} {metric.upper()}" for task, metric in MAIN.items()]
    print(f"\n| balancer | rate | {' | '.join(titles)} | mean | s |")
    print("|---" * (len(titles) + 4) + "|")
    for name, runs in outcomes.items():
        cells = [
            interval([run.of("test", task, metric) for run in runs])
            for task, metric in MAIN.items()
        ]
        mean = interval([score(run, "test") for run in runs])
        rate = runs[0].trial.options["learning_rate"]
        seconds = statistics.median(run.seconds for run in runs)
        print(f"| {name} | {rate:g} | {' | '.join(cells)} | {mean} | {seconds:.0f} |")
    print("\nMean score less that of equal weights, paired by seed, 95 %:\n")
    for name, runs in outcomes.items():
        if name != "equal":
            pairs = zip(runs, outcomes["equal"])
            gains = [score(run, "test") - score(equal, "test") for run, equal in pairs]
            print(f"- {name}: {interval(gains)}")
    print("\nstatic weights:", outcomes["static"][0].trial.options["balancer"]["weights"])


if __name__ == "__main__":
    main()
