"""Many labels on one input: does SVD-based reweighting raise the mean AUC, with and without noise?

    python reproductions/wu_many_labels.py                  # yeast, 2 seeds
    python reproductions/wu_many_labels.py --full           # all four tables, 5 seeds, as reported
    python reproductions/wu_many_labels.py --full --data bibtex

Wu, Zhang and Re (ICLR 2020) report +0.4 % mean AUC on the 14 labels of ChestX-ray14. Here: yeast (14
labels), scene (6), bibtex (159 labels of 1,836 words) and fashion (39 yes/no labels of pictures of 24 x
24), official parts; the mean is over labels with 25 positives or more in the test. One shared layer of 64 units,
on pictures behind a LeNet, 12 epochs (pictures 8) of batches of 128, no choice by validation. Algorithm 2 looks at the
shared layer's output on all training rows before every epoch. Noise: the labels of every second task
are random on 20 % of the training rows, clean in the test. Static weights are Algorithm 2's last ones,
fixed from the start. Finished trainings are kept in runs/many-labels, so that a run that was stopped resumes. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from polytask.balancing import Balancer, Equal, Static, SVDReweighting, Uncertainty
from polytask.inputs import SingleInput
from polytask.inputs.image_decoding import Form
from polytask.inputs.image_networks import LeNet
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
FOLDER = Path("runs/many-labels")
NAMES = ("yeast", "scene", "bibtex", "fashion")
FASHION = (
    "gender",
    "master_category",
    "sub_category",
    "article_type",
    "base_colour",
    "season",
    "usage",
)
Table = tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]
FEWEST_POSITIVES = 25
RULES = ("uncertainty", "Algorithm 2, r = 1", "Algorithm 2, r = T/2", "static")


def read(name: str) -> tuple[Batch, Batch]:
    """Training rows (and those for validation) and test rows."""
    x, y, is_test_B = {"bibtex": _bibtex, "fashion": _fashion}.get(name, lambda: _columns(name))()
    return tuple(  # type: ignore[return-value]
        Batch(
            {"x": torch.from_numpy(x[rows])},
            {c: torch.from_numpy(v[rows]) for c, v in y.items()},
        )
        for rows in (~is_test_B, is_test_B)
    )


def _columns(name: str) -> Table:
    """Columns label_*, and inputs standardised by the training rows."""
    table = pq.read_table(DATA / f"{name}.parquet")
    labels = [c for c in table.column_names if c.startswith("label_")]
    inputs = [c for c in table.column_names if c not in (*labels, "split")]
    x_BD = np.stack([table[c].to_numpy() for c in inputs], axis=1).astype(np.float32)
    is_test_B = np.array(table["split"].to_pylist()) == "test"
    x_BD = (x_BD - x_BD[~is_test_B].mean(0)) / (x_BD[~is_test_B].std(0) + 1e-6)
    return x_BD, {c: table[c].to_numpy().astype(np.float32) for c in labels}, is_test_B


def _bibtex() -> Table:
    """Words that are there or not, scaled to a mean square of about 1, and tags."""
    held = np.load(DATA / "bibtex.npz", allow_pickle=True)
    words_BD = np.unpackbits(held["words"], axis=1)[:, : int(held["num_words"])].astype(np.float32)
    tags_BT = np.unpackbits(held["labels"], axis=1)[:, : int(held["num_labels"])]
    y = {f"label_{t}": tag_B.astype(np.float32) for t, tag_B in enumerate(tags_BT.T)}
    return words_BD / words_BD.std(), y, held["split"] == 2


def _fashion() -> Table:
    """Pictures (B, 3, 24, 24), and every column=value that 3 % to 90 % of the rows have."""
    table = pq.read_table(DATA / "fashion_products.parquet")
    pictures = [
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((24, 24)), np.float32)
        for data in table["image"].to_pylist()
    ]
    x_BCHW = np.stack(pictures).transpose(0, 3, 1, 2) / 127.5 - 1
    y = {}
    for column in FASHION:
        values = np.array(table[column].to_pylist(), dtype=str)
        for value in np.unique(values):
            if 0.03 <= (values == value).mean() <= 0.9:
                y[f"{column}={value}".replace(".", "")] = (values == value).astype(np.float32)
    return x_BCHW, y, np.array(table["split"].to_pylist()) == "test"


def with_noise(batch: Batch, seed: int) -> Batch:
    """Every second task's labels are random on a fifth of the rows."""
    generator = torch.Generator().manual_seed(seed)
    labels = dict(batch.labels)
    for name in [*labels][1::2]:
        is_random_B = torch.rand(len(batch), generator=generator) < 0.2
        random_B = (torch.rand(len(batch), generator=generator) < labels[name].mean()).float()
        labels[name] = torch.where(is_random_B, random_B, labels[name])
    return Batch(batch.inputs, labels)


class Pictures(nn.Module):
    """A LeNet on the input x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = LeNet(Form(24, 24, 3), width)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        features_BD: Tensor = self.network(inputs["x"])
        return features_BD


def trained(rows: Batch, balancer: Balancer, seed: int) -> MultiTaskModel:
    """The model after 12 epochs; Algorithm 2 observes before each."""
    torch.manual_seed(seed)
    names = [*rows.labels]
    is_picture = rows.inputs["x"].ndim > 2
    width = 64 if is_picture else rows.inputs["x"].shape[1]
    encoder = Pictures(width) if is_picture else SingleInput("x")
    trunk = SharedBottom(width, len(names), hidden=(64,))
    model = MultiTaskModel(encoder, trunk, [binary(name) for name in names])
    epochs = 8 if is_picture else 12
    run = TrainingRun.start(
        model, balancer, settings=Settings(epochs=epochs, learning_rate=3e-3, seed=seed)
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
            pieces = [
                model(rows[i : i + 2000].inputs).features[0] for i in range(0, len(rows), 2000)
            ]
        balancer.observe(torch.cat(pieces), labels_BT)


def mean_auc(model: MultiTaskModel, test: Batch) -> float:
    predictions = predict(model, test).values
    scores = [
        TaskRows.of(task, predictions[task.name], test).metric("auc")
        for task in model.tasks
        if test.labels[task.name].sum() >= FEWEST_POSITIVES
    ]
    return float(np.mean(scores))


def score_of(
    rule: str, rows: Batch, test: Batch, seed: int, fixed: list[float] | None
) -> tuple[float, list[float] | None]:
    """The mean AUC of a rule under one seed, and the last weights of Algorithm 2, which `fixed` is for static."""
    num_tasks = len(rows.labels)
    forms = ["classification"] * num_tasks
    rules: dict[str, Callable[[], Balancer]] = {
        "equal": lambda: Equal(num_tasks),
        RULES[0]: lambda: Uncertainty(num_tasks, forms=forms),
        RULES[1]: lambda: SVDReweighting(num_tasks, rank=1),
        RULES[2]: lambda: SVDReweighting(num_tasks, rank=num_tasks // 2),
        RULES[3]: lambda: Static(num_tasks, weights=fixed),
    }
    balancer = rules[rule]()
    score = mean_auc(trained(rows, balancer, seed), test)
    return score, balancer.weights_T.tolist() if isinstance(balancer, SVDReweighting) else None


def kept(key: str, rows: Batch, test: Batch, seed: int) -> list[tuple[str, float]]:
    """The scores of a seed, from the folder where they are there."""
    path = FOLDER / f"{key}.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    for rule in ("equal", *RULES):
        if rule not in known:
            known[rule], weights = score_of(rule, rows, test, seed, known.get("weights"))
            if rule == RULES[1]:
                known["weights"] = weights
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known))
            print(f"  {key} {rule}", flush=True)
    return [(rule, known[rule]) for rule in ("equal", *RULES)]


def show(name: str, num_seeds: int, *, has_noise: bool = True) -> dict[str, Tensor]:
    """Prints each rule's mean AUC and its paired gain over equal weights; returns the gains by seed."""
    train_rows, test = read(name)
    gains: dict[str, Tensor] = {}
    for noise in (False, True) if has_noise else (False,):
        found: dict[str, list[float]] = {}
        for seed in range(num_seeds):
            rows = with_noise(train_rows, seed) if noise else train_rows
            for rule, score in kept(f"{name}-{noise}-{seed}", rows, test, seed):
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
    parser.add_argument("--full", action="store_true", help="all four tables, 5 seeds")
    parser.add_argument("--data", choices=NAMES, action="append")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--no-noise", action="store_true", help="labels as they are alone")
    given = parser.parse_args()
    is_full = given.full
    torch.set_num_threads(1)
    started = time.perf_counter()
    for name in given.data or (NAMES if is_full else NAMES[:1]):
        show(name, given.seeds or (5 if is_full else 2), has_noise=not given.no_noise)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
