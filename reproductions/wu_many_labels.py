"""Many labels on one input: does SVD-based reweighting raise the mean AUC, with and without noise?

    python reproductions/wu_many_labels.py                  # yeast, 2 seeds
    python reproductions/wu_many_labels.py --full           # yeast and scene, 5 seeds, as reported

Wu, Zhang and Re (ICLR 2020) report +0.4 % mean AUC on the 14 labels of ChestX-ray14. Here: yeast (14
labels; the one with 34 positives is left out of the mean) and scene (6 labels), official halves; one
shared layer of 64 units, 12 epochs of batches of 128, no choice by validation. Algorithm 2 looks at the
shared layer's output on all training rows before every epoch. Noise: the labels of every second task
are random on 20 % of the training rows, clean in the test. Static weights are Algorithm 2's last ones,
fixed from the start. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy import stats
from torch import Tensor

from polytask.balancing import Balancer, Equal, Static, SVDReweighting, Uncertainty
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import predict
from polytask.training.scoring import TaskRows
from polytask.trunks import SharedBottom

DATA = Path(
    os.environ.get("POLYTASK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
FEWEST_POSITIVES = 25
RULES = ("uncertainty", "Algorithm 2, r = 1", "Algorithm 2, r = T/2", "static")


def read(name: str) -> tuple[Batch, Batch]:
    """Training rows (and those for validation) and test rows; inputs standardised by the former."""
    table = pq.read_table(DATA / f"{name}.parquet")
    labels = [c for c in table.column_names if c.startswith("label_")]
    inputs = [c for c in table.column_names if c not in (*labels, "split")]
    x_BD = np.stack([table[c].to_numpy() for c in inputs], axis=1).astype(np.float32)
    is_test_B = np.array(table["split"].to_pylist()) == "test"
    x_BD = (x_BD - x_BD[~is_test_B].mean(0)) / (x_BD[~is_test_B].std(0) + 1e-6)
    y = {c: table[c].to_numpy().astype(np.float32) for c in labels}
    return tuple(  # type: ignore[return-value]
        Batch(
            {"x": torch.from_numpy(x_BD[rows])},
            {c: torch.from_numpy(v[rows]) for c, v in y.items()},
        )
        for rows in (~is_test_B, is_test_B)
    )


def with_noise(batch: Batch, seed: int) -> Batch:
    """Every second task's labels are random on a fifth of the rows."""
    generator = torch.Generator().manual_seed(seed)
    labels = dict(batch.labels)
    for name in [*labels][1::2]:
        is_random_B = torch.rand(len(batch), generator=generator) < 0.2
        random_B = (torch.rand(len(batch), generator=generator) < labels[name].mean()).float()
        labels[name] = torch.where(is_random_B, random_B, labels[name])
    return Batch(batch.inputs, labels)


def trained(rows: Batch, balancer: Balancer, seed: int) -> MultiTaskModel:
    """The model after 12 epochs; Algorithm 2 observes before each."""
    torch.manual_seed(seed)
    names = [*rows.labels]
    width = rows.inputs["x"].shape[1]
    trunk = SharedBottom(width, len(names), hidden=(64,))
    model = MultiTaskModel(SingleInput("x"), trunk, [binary(name) for name in names])
    run = TrainingRun.start(
        model, balancer, settings=Settings(epochs=12, learning_rate=3e-3, seed=seed)
    )
    observe(model, balancer, rows)
    stream = InMemoryStream(rows, batch_size=128)
    for step in train(run, stream):
        if step.step % stream.num_batches(0) == 0:
            observe(model, balancer, rows)
    return model


def observe(model: MultiTaskModel, balancer: Balancer, rows: Batch) -> None:
    if isinstance(balancer, SVDReweighting):
        labels_BT = torch.stack([*rows.labels.values()], dim=1)
        with torch.no_grad():
            balancer.observe(model(rows.inputs).features[0], labels_BT)


def mean_auc(model: MultiTaskModel, test: Batch) -> float:
    predictions = predict(model, test).values
    scores = [
        TaskRows.of(task, predictions[task.name], test).metric("auc")
        for task in model.tasks
        if test.labels[task.name].sum() >= FEWEST_POSITIVES
    ]
    return float(np.mean(scores))


def scores_of(rows: Batch, test: Batch, seed: int) -> Iterator[tuple[str, float]]:
    """The mean AUC of every rule under one seed."""
    num_tasks = len(rows.labels)
    observed = SVDReweighting(num_tasks, rank=1)
    yield "equal", mean_auc(trained(rows, Equal(num_tasks), seed), test)
    forms = ["classification"] * num_tasks
    yield RULES[0], mean_auc(trained(rows, Uncertainty(num_tasks, forms=forms), seed), test)
    yield RULES[1], mean_auc(trained(rows, observed, seed), test)
    half = SVDReweighting(num_tasks, rank=num_tasks // 2)
    yield RULES[2], mean_auc(trained(rows, half, seed), test)
    fixed: list[float] = observed.weights_T.tolist()
    yield RULES[3], mean_auc(trained(rows, Static(num_tasks, weights=fixed), seed), test)


def show(name: str, num_seeds: int) -> dict[str, Tensor]:
    """Prints each rule's mean AUC and its paired gain over equal weights; returns the gains by seed."""
    train_rows, test = read(name)
    gains: dict[str, Tensor] = {}
    for noise in (False, True):
        found: dict[str, list[float]] = {}
        for seed in range(num_seeds):
            rows = with_noise(train_rows, seed) if noise else train_rows
            for rule, score in scores_of(rows, test, seed):
                found.setdefault(rule, []).append(score)
        title = f"{name}, {'half of the tasks noisy' if noise else 'labels as they are'}"
        print(
            f"\n{title}: mean AUC, {num_seeds} seeds\n  {'equal':22s} {np.mean(found['equal']):.4f}"
        )
        for rule in RULES:
            gain_S = torch.tensor(found[rule]) - torch.tensor(found["equal"])
            gains[f"{title}, {rule}"] = gain_S
            reach = stats.t.ppf(0.975, num_seeds - 1) * float(gain_S.std()) / num_seeds**0.5
            print(
                f"  {rule:22s} {np.mean(found[rule]):.4f}  gain {gain_S.mean():+.4f} +- {reach:.4f}",
                flush=True,
            )
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="yeast and scene, 5 seeds")
    is_full = parser.parse_args().full
    torch.set_num_threads(1)
    started = time.perf_counter()
    for name in ("yeast", "scene") if is_full else ("yeast",):
        show(name, 5 if is_full else 2)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
