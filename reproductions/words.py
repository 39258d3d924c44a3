"""Parts of speech in five web domains: does the frequency of the word help, or an adversary that hides the domain?

    python reproductions/words.py                         # five seeds, as reported
    python reproductions/words.py --quick

UD English EWT, a row a word: the word, its neighbours, its first two and last three letters, whether it has a
capital; 40,000 words of training, of which those of `answers` are unlabelled. FREQBIN (Plank, Soegaard and
Goldberg, ACL 2016) is `frequency` of the word, weight 1 as there and 0.1; the adversary is DANN's. Accuracy on test words of
the four domains and of the fifth, and on words that the training rows have once at most; the discriminator's
accuracy at the end, and that of one trained afresh, on features of test words. Chance is the share of the largest
domain. Finished trainings are kept in runs/words.jsonl. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from domains import fresh, in_words, late
from mnist_m import DOMAIN
from pictures import DATA, Scores

from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.planning import multi_task
from polytask.streams import Batch
from polytask.training import train
from polytask.training.evaluation import predict

UNLABELLED = "answers"
FREQUENCY = {"name": "frequency", "column": "word"}
ADVERSARY = {"name": DOMAIN, "column": "domain"}
TOLD = {**ADVERSARY, "weight": 1.0, "reversal": 0.0}
ARMS: dict[str, Sequence[dict[str, object]]] = {
    "nothing": [TOLD],
    "frequency, weight 0.1": [TOLD, {**FREQUENCY, "weight": 0.1}],
    "frequency, weight 1": [TOLD, {**FREQUENCY, "weight": 1.0}],
    "adversary, reversal 0.1": [{**ADVERSARY, "weight": 1.0, "reversal": 0.1}],
    "adversary, reversal 1": [{**ADVERSARY, "weight": 1.0, "reversal": 1.0}],
}
"""Every arm has a discriminator; at reversal 0 it changes nothing but its own weights."""


def table(split: str, number: int, seed: int) -> pa.Table:
    """A row a word, `number` of them drawn at random."""
    whole = pq.read_table(
        DATA / "ud_english_ewt.parquet", columns=["domain", "split", "words", "upos"]
    )
    rows = []
    for each in whole.filter(pc.equal(whole["split"], split)).to_pylist():
        words = [word.lower() for word in each["words"]]
        around = ["<s>", *words, "</s>"]
        for place, (written, tag) in enumerate(zip(each["words"], each["upos"])):
            word = words[place]
            rows.append(
                {
                    "word": word,
                    "before": around[place],
                    "after": around[place + 2],
                    "first": word[:2],
                    "last": word[-3:],
                    "has_capital": written != word,
                    "upos": tag,
                    "domain": each["domain"],
                }
            )
    chosen = np.random.default_rng(seed).permutation(len(rows))[:number]
    return pa.Table.from_pylist([rows[place] for place in chosen])


def trained(
    losses: Sequence[dict[str, object]], seed: int, number: int, epochs: int
) -> dict[str, float]:
    """Accuracies of one model."""
    parts = {part: table(part, most, seed) for part, most in (("train", number), ("test", 25_000))}
    config = validate_config(
        {
            "tasks": ["upos:multiclass"],
            "ignore": "domain",
            "allow": "word,first,last,before,after",
            "categorical": "word,before,after,first,last,has_capital",
            "embedding_dim": 24,
            "trunk": {"name": "shared_bottom", "hidden": [96]},
            "tower_hidden": (),
            "cross_layers": 0,
            "ensemble": 1,
            "batch_size": 256,
            "epochs": epochs,
            "learning_rate": 2e-3,
            "valid_fraction": 0.0,
            "threads": 1,
            "seed": seed,
            "auxiliary": losses,
        }
    )
    prepared = prepare(config, parts["train"], parts={"test": parts["test"]})
    plan = multi_task(prepared.config, prepared)
    is_open_B = torch.tensor([name == UNLABELLED for name in parts["train"]["domain"].to_pylist()])
    labels = dict(plan.train.labels)
    labels["upos"] = labels["upos"].masked_fill(is_open_B, torch.nan)
    plan = replace(plan, train=replace(plan.train, labels=labels))
    run = start_training(plan, prepared, OwnParts(), device=torch.device("cpu"))
    told = [float(step.accuracies[DOMAIN]) for step in train(run, plan.stream())]
    assert plan.test is not None
    right_B = (
        predict(run.model, plan.test).values["upos"].argmax(axis=1)
        == plan.test.labels["upos"].numpy()
    )
    return {
        **_accuracies(right_B, parts["train"], parts["test"]),
        "discriminator": late(told),
        "fresh": fresh(
            run.model,
            *(_domains(b, parts[p]) for p, b in (("train", plan.train), ("test", plan.test))),
        ),
    }


def _accuracies(right_B: np.ndarray, rows: pa.Table, tests: pa.Table) -> dict[str, float]:
    counts = Counter(rows["word"].to_pylist())
    is_rare_B = np.array([counts[word] <= 1 for word in tests["word"].to_pylist()])
    is_open_B = np.array([name == UNLABELLED for name in tests["domain"].to_pylist()])
    parts = {"labelled": ~is_open_B, UNLABELLED: is_open_B, "rare words": is_rare_B}
    return {name: float(right_B[part_B].mean()) for name, part_B in parts.items()}


def _domains(batch: Batch, rows: pa.Table) -> Batch:
    names = rows["domain"].to_pylist()
    order = sorted(set(names))
    return Batch(batch.inputs, {DOMAIN: torch.tensor([float(order.index(name)) for name in names])})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two seeds, 5,000 words")
    parser.add_argument("--seeds", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    number, epochs = (5_000, 2) if given.quick else (40_000, 6)
    num_seeds = given.seeds or (2 if given.quick else 5)
    Path("runs").mkdir(exist_ok=True)
    scores = Scores(Path("runs/words.jsonl"))
    plain: list[dict[str, float]] = []
    for arm, losses in ARMS.items():
        found = []
        for seed in range(num_seeds):
            key = f"{number} {epochs} {arm} {seed}"
            if key not in scores.known:
                started = time.perf_counter()
                scores.put(key, trained(losses, seed, number, epochs))
                print(f"  {key}: {time.perf_counter() - started:.0f} s", flush=True)
            found.append(scores.known[key])
        plain = plain or found
        cells = [in_words([each[name] for each in found]) for name in found[0]]
        gains = [in_words([a[n] - b[n] for a, b in zip(found, plain)]) for n in [*found[0]][:3]]
        print(f"| {arm} | {' | '.join(cells)} | gains {' | '.join(gains)} |", flush=True)


if __name__ == "__main__":
    main()
