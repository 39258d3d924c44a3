"""Domains that are not to be told apart: does the discriminator fall to chance while accuracy holds?

    python reproductions/domains.py                       # both studies, as reported
    python reproductions/domains.py --study pictures --seeds 2 --quick

pictures: MNIST with labels and MNIST-M without (Ganin et al., JMLR 2016): a digit of MNIST subtracted from
a patch of a CIFAR-10 picture. 3,000 pictures of either, LeNet, the last weights. Accuracy on 2,000 test
pictures of either.
sentences: MR, CR, SST-2 and MPQA, which all ask whether a sentence is positive (Liu, Qiu and Huang, ACL
2017): a task and a domain each, 2,000 sentences each, convolutions over GloVe vectors.

Every arm trains a discriminator; where its gradient is not reversed (reversal 0) it changes nothing below it. Its
own accuracy is that of the last tenth of the steps. A discriminator that was outrun can be at chance though
the domain is still told by the features: so a fresh one, a logistic regression on the features of training rows, is
scored on those of test rows too. Finished trainings are kept in runs/domains. Reads the data from
POLYTASK_DATA (else ../shared/data).
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from mnist_m import DOMAIN, Pictures, digits, joined
from pictures import DATA, Scores
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from polytask.auxiliary import Adversarial, Orthogonality
from polytask.balancing import Equal
from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.planning import multi_task
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import multiclass
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import predict
from polytask.trunks import SharedBottom

PICTURES = {
    "labels of MNIST": (0.0, False),
    "... and an adversary": (1.0, False),
    "... and an adversary, reversal 0.1": (0.1, False),
    "labels of both": (0.0, True),
}
"""Reversal, and whether the target's labels are known."""
SETS = ("mr", "cr", "sst2", "mpqa")
BOTTOM = {"name": "shared_bottom", "hidden": [64]}
SPLIT = {"name": "shared_private", "hidden": [64], "private_hidden": [64]}
SENTENCES = {
    "shared bottom": (BOTTOM, 0.0, 0.0),
    "shared bottom, adversary": (BOTTOM, 1.0, 0.0),
    "shared-private": (SPLIT, 0.0, 0.0),
    "shared-private, adversary": (SPLIT, 1.0, 0.0),
    "shared-private, adversary, orthogonality": (SPLIT, 1.0, 0.1),
}
"""Trunk, reversal, and the weight of orthogonality."""
READING: Mapping[str, object] = {
    "tasks": [f"{name}:binary" for name in SETS],
    "columns": {"text": ["text"]},
    "input_options": {
        "text": {"encoder": "cnn", "vectors": str(DATA / "glove_50d.npz"), "max_length": 40}
    },
    "tower_hidden": (),
    "ensemble": 1,
    "batch_size": 64,
    "batch_by": "chance",
    "learning_rate": 2e-3,
    "threads": 1,
}
Found = dict[str, float]


def pictures(reversal: float, has_labels: bool, *, seed: int, number: int, epochs: int) -> Found:
    """Accuracy on source and target, and how well the domain is told."""
    source, target = digits("train", number, seed)
    rows = joined(source, target, has_labels=has_labels)
    torch.manual_seed(seed)
    task = multiclass("digit", num_classes=10)
    stream = InMemoryStream(rows, 128)
    adversary = Adversarial(1.0, "domain", ("mnist", "mnist-m"), (0.5, 0.5), reversal, 64)
    loss = adversary.objective(50, num_steps=epochs * stream.num_batches(0))
    model = MultiTaskModel(Pictures(), SharedBottom(50, 1, hidden=(50,)), [task], objectives=[loss])
    settings = Settings(epochs=epochs, learning_rate=2e-3, seed=seed)
    run = TrainingRun.start(model, Equal(1), settings=settings)
    told = [float(step.accuracies[DOMAIN]) for step in train(run, stream)]
    source_test, target_test = digits("test", min(number, 2000), seed)
    tests = joined(source_test, target_test, has_labels=True)
    found = {
        name: float(
            (predict(model, part).values["digit"].argmax(1) == part.labels["digit"].numpy()).mean()
        )
        for name, part in (("source", source_test), ("target", target_test))
    }
    return {**found, "discriminator": late(told), "fresh": fresh(model, rows, tests)}


def sentences(
    trunk: Mapping[str, object],
    reversal: float,
    apart: float,
    *,
    seed: int,
    number: int,
    epochs: int,
) -> Found:
    """The mean accuracy over the four sets, and how well the set is told from what is shared."""
    losses = [{"name": DOMAIN, "column": "set", "weight": 0.5, "reversal": reversal, "hidden": 64}]
    losses += [{"name": Orthogonality.name, "weight": apart}] if apart else []
    own = {"trunk": trunk, "auxiliary": losses, "epochs": epochs, "seed": seed}
    parts = {part: polarity(part, number, seed) for part in ("train", "valid", "test")}
    given = {part: parts[part] for part in ("valid", "test")}
    prepared = prepare(validate_config({**READING, **own}), parts["train"], parts=given)
    plan = multi_task(prepared.config, prepared)
    run = start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))
    steps = train(run, plan.stream(), valid=plan.valid)
    told = [float(step.accuracies[DOMAIN]) for step in steps if DOMAIN in step.accuracies]
    assert plan.test is not None
    found = {"accuracy": mean_accuracy(run.model, plan.test), "discriminator": late(told)}
    rows, tests = (
        Batch(batch.inputs, {DOMAIN: domains(parts[part])})
        for part, batch in (("train", plan.train), ("test", plan.test))
    )
    return {**found, "fresh": fresh(run.model, rows, tests)}


def mean_accuracy(model: MultiTaskModel, rows: Batch) -> float:
    """Over the four tasks, each on its own sentences."""
    values = predict(model, rows).values
    scores = []
    for name in SETS:
        labels_B = rows.labels[name].numpy()
        known_B = ~np.isnan(labels_B)
        scores.append(((values[name] > 0.5) == labels_B)[known_B].mean())
    return float(np.mean(scores))


def domains(table: pa.Table) -> Tensor:
    """The number of each row's set (B,)."""
    return torch.tensor([float(SETS.index(name)) for name in table["set"].to_pylist()])


def polarity(part: str, number: int, seed: int) -> pa.Table:
    """As many sentences of each set: the text, the set, and a label column a set."""
    whole = pq.read_table(DATA / "sentences.parquet", columns=["task", "split", "label", "text"])
    rng = np.random.default_rng(seed)
    pieces = []
    for name in SETS:
        rows = whole.filter(pc.and_(pc.equal(whole["task"], name), pc.equal(whole["split"], part)))
        rows = rows.take(rng.permutation(len(rows))[: number if part == "train" else 350])
        labels = {
            each: rows["label"] if each == name else pa.nulls(len(rows), pa.int64())
            for each in SETS
        }
        pieces.append(pa.table({"text": rows["text"], "set": [name] * len(rows), **labels}))
    return pa.concat_tables(pieces)


def late(values: list[float]) -> float:
    """The mean of the last tenth."""
    return float(np.mean(values[-max(1, len(values) // 10) :]))


def fresh(model: MultiTaskModel, rows: Batch, tests: Batch) -> float:
    """How well a fresh discriminator tells the domain of test rows by what is shared of the features."""
    model.eval()
    with torch.no_grad():
        seen = [
            np.concatenate(
                [model(part[i : i + 500].inputs).shared.numpy() for i in range(0, len(part), 500)]
            )
            for part in (rows, tests)
        ]
    scale = seen[0].std(axis=0) + 1e-6
    logistic = LogisticRegression(max_iter=2000).fit(seen[0] / scale, rows.labels[DOMAIN])
    return float(logistic.score(seen[1] / scale, tests.labels[DOMAIN]))


def show(study: str, scores: Scores, given: argparse.Namespace) -> None:
    """A line an arm: means over seeds with Student's 95 % intervals."""
    number, epochs = (400, 2) if given.quick else (3000, 10) if study == "pictures" else (2000, 6)
    arms = PICTURES if study == "pictures" else SENTENCES
    run = pictures if study == "pictures" else sentences
    lines = []
    for arm, options in arms.items():
        found = []
        for seed in range(given.seeds):
            key = f"{study} {number} {epochs} {arm} {seed}"
            if key not in scores.known:
                started = time.perf_counter()
                scores.put(key, run(*options, seed=seed, number=number, epochs=epochs))
                print(f"{key}: {time.perf_counter() - started:.0f} s", flush=True)
            found.append(scores.known[key])
        cells = [in_words([each[name] for each in found]) for name in found[0]]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    print(f"| {study} | {' | '.join(found[0])} |", *lines, sep="\n", flush=True)


def in_words(values: list[float]) -> str:
    reach = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} +- {reach:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", choices=("pictures", "sentences"), action="append")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, two epochs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    Path("runs").mkdir(exist_ok=True)
    scores = Scores(Path("runs/domains.jsonl"))
    for study in given.study or ("pictures", "sentences"):
        show(study, scores, given)


if __name__ == "__main__":
    main()
