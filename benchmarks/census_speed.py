"""Training speed on Census-Income beside torch-rechub and DeepCTR-Torch, as ratios.

    python benchmarks/census_speed.py [--repeats 3] [--epochs 2] [--trunk ple] [--runs NAME ...]

MMoE with embeddings of 8, 8 experts 64-32, towers 16 (or PLE, two levels of 4 + 4 such experts),
batches of 1,024, Adam at a constant 1e-3 (ours after a warm-up of a twentieth of the steps). All read
the same encoded rows, numbers standardised, and use the same number of threads: "polytask" is the peers'
network, "unfolded" the same with products of rows alone, "without kernels" by torch's operators; "piecewise numbers" reads numbers in bins, "defaults" has
frequent values, cross layers and shortcuts as well. "floor" are the products of the peers' network alone, forward and back, by torch. The runs are interleaved, each in a process
of its own; a ratio is that of the medians. The peers get an environment of their own, build/peers,
at the first call. Reads the data from POLYTASK_DATA (else ../shared/data).

`--profile` prints where the time of our step goes instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from census_peers import (
    BATCH_SIZE,
    EMBEDDING_DIM,
    EXPERT_HIDDEN,
    LEARNING_RATE,
    NUM_EXPERTS,
    NUM_LEVELS,
    NUM_OWN,
    NUM_SHARED,
)
from main_job import CENSUS, DATA, ROOT
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from polytask.fitting.plan import ModelPlan
    from polytask.training.run import TrainingRun

PEERS = {"torch-rechub": "torch-rechub==0.9.0", "deepctr-torch": "deepctr-torch==0.3.0"}
# The second one imports it and does not say so.
UNDECLARED = ("requests",)
PLAIN: dict[str, object] = {"numeric_values": "none", "cross_layers": 0, "shortcuts": False}
STANDARD = PLAIN | {"numeric_encoding": "standard"}
OURS = {
    "polytask": STANDARD,
    "polytask, unfolded": STANDARD | {"fold": False},
    "polytask, without kernels": STANDARD,
    "polytask, piecewise numbers": PLAIN,
    "polytask, defaults": {},
    "polytask, bf16": STANDARD | {"precision": "bf16"},
}
USUAL = [name for name in OURS if "bf16" not in name]
FLOOR = "floor"
TRUNKS = {
    "mmoe": {"name": "mmoe", "num_experts": NUM_EXPERTS},
    "ple": {
        "name": "ple",
        "num_levels": NUM_LEVELS,
        "num_shared_experts": NUM_SHARED,
        "num_task_experts": NUM_OWN,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trunk", choices=TRUNKS, default="mmoe")
    parser.add_argument(
        "--runs",
        nargs="+",
        choices=[*OURS, *PEERS, FLOOR],
        default=[*USUAL, *PEERS, FLOOR],
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", choices=[*OURS, FLOOR], help="one run of ours, as a line of JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.profile:
        return profile(options.trunk)
    if options.one == FLOOR:
        print(json.dumps(run_floor(options.trunk)))
        return None
    if options.one:
        print(json.dumps(run_ours(options.one, options.trunk, options.epochs)))
        return None
    rows = ROOT / "runs" / "census_rows.npz"
    write_rows(rows)
    needs_peers = not set(options.runs).isdisjoint(PEERS)
    python = peers_environment(ROOT / "build" / "peers") if needs_peers else ""
    here = Path(__file__)
    ours = [sys.executable, str(here), "--trunk", options.trunk, "--epochs", str(options.epochs)]
    ours += ["--threads", str(options.threads)]
    commands = {name: [*ours, "--one", name] for name in (*OURS, FLOOR)}
    for peer in PEERS:
        script = str(here.with_name("census_peers.py"))
        commands[peer] = [python, script, peer, str(rows), *ours[2:]]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    commands = {name: commands[name] for name in options.runs}
    results: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            kernels = {"POLYTASK_KERNELS": "off"} if name.endswith("without kernels") else {}
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment | kernels
            )
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, results[name][-1], file=sys.stderr, flush=True)
    show(results)
    return None


def show(results: dict[str, list[dict]]) -> None:
    rates = {n: statistics.median(r["rows_per_second"] for r in v) for n, v in results.items()}
    beside = (*PEERS, FLOOR)
    print(
        f"\n| | rows a processor second | AUC income | AUC never married |{''.join(f' x {p} |' for p in beside)}"
    )
    print("|---|---|---|---|" + "---|" * len(beside))
    for name, runs in results.items():
        aucs = [
            statistics.median(run["auc"][t] for run in runs) for t in range(len(runs[0]["auc"]))
        ]
        shown = " | ".join(f"{auc:.4f}" for auc in aucs) if aucs else " | "
        ratios = "".join(
            f" {rates[name] / rates[peer]:.2f} |" if peer in rates else " |" for peer in beside
        )
        print(f"| {name} | {rates[name]:,.0f} | {shown} |{ratios}")
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads")


def peers_environment(folder: Path) -> str:
    """A virtual environment with the peers in it, built at the first call."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        torch_itself = f"torch=={torch.__version__.split('+')[0]}"
        wanted = [torch_itself, *PEERS.values(), *UNDECLARED]
        constraints = ("-c", str(ROOT / "constraints.txt"))
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *constraints, *wanted], check=True
        )
        (folder / "complete").touch()
    return str(python)


def configuration(name: str, trunk: str, epochs: int):
    """The options of `polytask fit` that are compared."""
    from polytask.config import validate_config

    values: dict[str, object] = {"tasks": []}
    for flag, value in zip(CENSUS[::2], CENSUS[1::2]):
        key = flag.removeprefix("--").replace("-", "_")
        if key == "task":
            values["tasks"].append(value)
        else:
            values[key] = value
    return validate_config(
        values
        | OURS[name]
        | {
            "table": str(DATA / "census_income_train.parquet"),
            "trunk": TRUNKS[trunk],
            "embedding_dim": EMBEDDING_DIM,
            "expert_hidden": ",".join(map(str, EXPERT_HIDDEN)),
            "tower_hidden": "16",
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "epochs": epochs,
        }
    )


def prepared_rows(name: str, trunk: str, epochs: int):
    from polytask.fitting.preparing.prepare import prepare

    config = configuration(name, trunk, epochs)
    return prepare(config)


def write_rows(path: Path) -> None:
    """The encoded rows for the peers: standardised numbers, ids, labels."""
    prepared = prepared_rows("polytask", "mmoe", 1)
    categories = prepared.inputs.by_name["categorical"]
    arrays = {"vocabulary_sizes": np.array([v.num_ids for v in categories.vocabularies])}
    for part, examples in (("train", prepared.train), ("test", prepared.test)):
        numeric_BN, categorical_BC = (
            examples.inputs[name].numpy() for name in ("numeric", "categorical")
        )
        arrays |= {
            f"{part}_numeric": np.nan_to_num(numeric_BN),
            f"{part}_categorical": categorical_BC,
            f"{part}_labels": np.stack(
                [label_B.numpy() for label_B in examples.labels.values()], axis=1
            ),
        }
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **arrays)


def begun(name: str, trunk: str, epochs: int) -> tuple["ModelPlan", "TrainingRun"]:
    """Our model before its first step, and what it is trained on."""
    from polytask.fitting.building import start_training
    from polytask.fitting.own_parts import OwnParts
    from polytask.fitting.planning import multi_task

    prepared = prepared_rows(name, trunk, epochs)
    plan = multi_task(prepared.config, prepared)
    return plan, start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))


def run_ours(name: str, trunk: str, epochs: int) -> dict[str, object]:
    from polytask.training.evaluation import predict
    from polytask.training.loop import train

    plan, run = begun(name, trunk, epochs)
    started = time.process_time()
    for _ in train(run, plan.stream()):
        pass
    seconds = time.process_time() - started
    test = plan.test
    scores = predict(run.model, test).values
    auc = [roc_auc_score(test.labels[name], score) for name, score in scores.items()]
    return {"rows_per_second": epochs * len(plan.train) / seconds, "auc": auc}


def layers_of(trunk: str) -> list[tuple[int, int, int]]:
    """The peers' network as products: how many side by side, inputs, outputs."""
    width = 32 * EMBEDDING_DIM + 8
    hidden, narrow = EXPERT_HIDDEN
    towers = [(1, narrow, 16)] * 2
    if trunk == "mmoe":
        experts = [(1, width, NUM_EXPERTS * hidden), (NUM_EXPERTS, hidden, narrow)]
        return [*experts, *[(1, width, NUM_EXPERTS)] * 2, *towers]
    assert NUM_LEVELS == 2
    own, all_experts = NUM_OWN + NUM_SHARED, 2 * NUM_OWN + NUM_SHARED
    first = [(1, width, all_experts * hidden), (all_experts, hidden, narrow)]
    first += [(1, width, own)] * 2 + [(1, width, all_experts)]
    second = [(1, narrow, NUM_OWN * hidden)] * 2 + [(1, narrow, NUM_SHARED * hidden)]
    second += [(all_experts, hidden, narrow), *[(1, narrow, own)] * 2]
    return [*first, *second, *towers]


def run_floor(trunk: str) -> dict[str, object]:
    """The products of the peers' network by torch alone: each layer's output, and the gradients of both factors."""
    layers = layers_of(trunk)
    tensors = [
        (torch.randn(n, BATCH_SIZE, i), torch.randn(n, i, o), torch.randn(n, BATCH_SIZE, o))
        for n, i, o in layers
    ]
    num_steps = 100
    started = time.process_time()
    for _ in range(num_steps):
        for x_NBI, weight_NIO, gradient_NBO in tensors:
            torch.bmm(x_NBI, weight_NIO)
            torch.bmm(gradient_NBO, weight_NIO.transpose(1, 2))
            torch.bmm(x_NBI.transpose(1, 2), gradient_NBO)
    seconds = time.process_time() - started
    return {"rows_per_second": num_steps * BATCH_SIZE / seconds, "auc": []}


def profile(trunk: str) -> None:
    """Where our step's time goes: torch's operators by their own CPU time."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    from polytask.training.loop import train

    plan, run = begun("polytask", trunk, 1)
    steps = train(run, plan.stream())
    for _ in range(20):
        next(steps)
    with torch_profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(100):
            next(steps)
    print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


if __name__ == "__main__":
    main()
