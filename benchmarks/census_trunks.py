"""Ways to share on Census-Income: the two groups of tasks of the MMoE paper.

    python benchmarks/census_trunks.py [--group 1] [--trials 6] [--seeds 5] [--epochs 3]

Group 1: income with never married; group 2: college (associate degree or above) with never married.
Inputs: all columns but education, marital status, instance weight and the labels. Each trunk gets
the same trials on a quarter of the training rows (learning rate, dropout, number of parameters; the
width follows from the number), chosen by the main task's validation AUC; then the chosen setting is
trained with each seed on all rows. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import random
import statistics
import time

import torch
from trials import DATA, Outcome, Trial, interval, run_trials

from polytask.trunks import TRUNKS, num_parameters, parameter_matched

FEATURES = 351
"""About the width of the encoded row: only the size of a trunk rests on it."""
GROUPS = {
    1: ("income", "income:binary:50000+"),
    2: (
        "college",
        "college=education:binary:Associates degree-academic program|"
        "Associates degree-occup /vocational|Bachelors degree(BA AB BS)|"
        "Masters degree(MA MS MEng MEd MSW MBA)|Prof school degree (MD DDS DVM LLB JD)|"
        "Doctorate degree(PhD EdD)",
    ),
}
COMPARED = ("single_task", "shared_bottom", "omoe", "mmoe", "cgc", "ple", "cross_stitch")
OTHERS = ("soft_sharing", "sluice", "mtan", "attention_moe")
EXPERTS = {
    "omoe": {"num_experts": 8},
    "mmoe": {"num_experts": 8},
    "attention_moe": {"num_experts": 8},
    "cgc": {"num_shared_experts": 4, "num_task_experts": 2},
    "ple": {"num_shared_experts": 4, "num_task_experts": 2, "num_levels": 2},
}


def base(group: int) -> dict[str, object]:
    return {
        "table": str(DATA / "census_income_train.parquet"),
        "test": str(DATA / "census_income_test.parquet"),
        "tasks": [GROUPS[group][1], "never_married=marital_status:binary:Never married"],
        "ignore": "education,marital_status,instance_weight",
        "monitor": f"{GROUPS[group][0]}.auc",
    }


def trunk_of(name: str, budget: int) -> dict[str, object]:
    """The trunk's options at the width (w, then w / 2) where it has about `budget` parameters."""

    def options(width: int) -> dict[str, object]:
        widths = (2 * width,) * 2 if name == "sluice" else (width, max(width // 2, 1))
        key = "expert_hidden" if name in EXPERTS else "hidden"
        return EXPERTS.get(name, {}) | {key: widths}

    def make(width: int) -> torch.nn.Module:
        return TRUNKS[name](FEATURES, 2, **options(width))

    return {"name": name} | options(parameter_matched(make, budget, count=num_parameters))


def draws(name: str, num_trials: int) -> list[dict[str, object]]:
    """The same settings for every trunk."""
    generator = random.Random(0)
    found = []
    for _ in range(num_trials):
        rate = 10 ** generator.uniform(-3.0, -2.0)
        dropout = generator.choice((0.0, 0.1, 0.2))
        budget = generator.choice((50_000, 100_000, 200_000))
        found.append({"learning_rate": rate, "dropout": dropout, "trunk": trunk_of(name, budget)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", type=int, choices=GROUPS, default=1)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    main_task = GROUPS[options.group][0]
    started = time.perf_counter()
    trials = [
        Trial(draw | {"epochs": options.epochs}, share=0.25, single=name == "single_task")
        for name in COMPARED + OTHERS
        for draw in draws(name, options.trials if name in COMPARED else 2)
    ]
    chosen: dict[str, Outcome] = {}
    for outcome in run_trials(base(options.group), trials, workers=options.workers):
        name = outcome.trial.options["trunk"]["name"]
        best = chosen.get(name)
        score = outcome.of("valid", main_task, "auc")
        if best is None or score > best.of("valid", main_task, "auc"):
            chosen[name] = outcome
    print(f"{len(trials)} trials, {time.perf_counter() - started:.0f} s", flush=True)
    finals = [
        Trial(dict(chosen[name].trial.options) | {"seed": seed}, single=name == "single_task")
        for name in COMPARED + OTHERS
        for seed in range(options.seeds if name in COMPARED else 1)
    ]
    outcomes: dict[str, list[Outcome]] = {}
    for outcome in run_trials(base(options.group), finals, workers=options.workers):
        outcomes.setdefault(outcome.trial.options["trunk"]["name"], []).append(outcome)
    show(outcomes, main_task)
    print(f"\n{time.perf_counter() - started:.0f} s in all")


def show(outcomes: dict[str, list[Outcome]], main_task: str) -> None:
    print(
        f"\n| trunk | {main_task} best | {main_task} mean | never married mean | "
        "never married at best | parameters | rate | s a run |\n|---|---|---|---|---|---|---|---|"
    )
    for name, runs in outcomes.items():
        first = [run.of("test", main_task, "auc") for run in runs]
        second = [run.of("test", "never_married", "auc") for run in runs]
        best = max(range(len(runs)), key=first.__getitem__)
        seconds = statistics.median(run.seconds for run in runs)
        rate = runs[0].trial.options["learning_rate"]
        print(
            f"| {name} | {first[best]:.4f} | {interval(first)} | {interval(second)} | "
            f"{second[best]:.4f} | {runs[0].parameters:,} | {rate:.4f} | {seconds:.0f} |"
        )
    reference = outcomes["single_task"]
    print(f"\nGain in {main_task} AUC over single-task, paired by seed, mean and 95 % interval:\n")
    for name in COMPARED[1:]:
        gains = [
            run.of("test", main_task, "auc") - single.of("test", main_task, "auc")
            for run, single in zip(outcomes[name], reference)
        ]
        print(f"- {name}: {interval(gains)}")


if __name__ == "__main__":
    main()
