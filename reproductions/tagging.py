"""A label a word: parts of speech, finer tags and relations on one encoder, each alone, and with the word's frequency.

    python reproductions/tagging.py                       # three seeds, as reported; kept in runs/tagging.jsonl
    python reproductions/tagging.py --quick               # one seed, 1,000 sentences, two epochs

UD English EWT, 204,000 training words in 12,500 sentences; a bidirectional LSTM (128) over words, their ends and shapes;
Shared-Bottom (64). "all" is upos, xpos and deprel at once; each of them alone; FREQBIN (Plank, Soegaard and Goldberg, ACL 2016)
is upos with `frequency` of the word at weight 0.1 and 1; "replaced words" asks of each word of a further quarter of the rows
whether it is in its place (ELECTRA's question). Accuracy on all test words and on those that the training
sentences have once at most (lower case), in points, means of seeds with 95 % intervals, and paired differences to
the task alone. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA, Parts, Scores, interval, one_thread

TASKS = ("upos", "xpos", "deprel")
FREQUENCY = {"name": "frequency", "column": "words"}
ARMS: dict[str, tuple[tuple[str, ...], list[dict[str, object]]]] = {
    "all": (TASKS, []),
    **{task: ((task,), []) for task in TASKS},
    "upos, frequency 0.1": (("upos",), [{**FREQUENCY, "weight": 0.1}]),
    "upos, frequency 1": (("upos",), [{**FREQUENCY, "weight": 1.0}]),
    "upos, replaced words 0.1": (("upos",), [{"name": "replaced_tokens", "weight": 0.1}]),
}


def parts(most: int | None) -> Parts:
    """The official split: words and the labels of words."""
    whole = pq.read_table(DATA / "ud_english_ewt.parquet", columns=["split", "words", *TASKS])
    train, valid, test = (
        whole.filter(pc.equal(whole["split"], name)).drop_columns(["split"]).slice(0, most)
        for name in ("train", "valid", "test")
    )
    return Parts(train, valid, test)


def trained(tables: Parts, arm: str, seed: int, epochs: int) -> dict[str, float]:
    """Accuracies of one model, and how long it took."""
    tasks, auxiliary = ARMS[arm]
    kept = Parts(
        *(each.select(["words", *tasks]) for each in (tables.train, tables.valid, tables.test))
    )
    started = time.process_time()
    run = Scores(None).fit(
        kept,
        {
            "tasks": list(tasks),
            "auxiliary": auxiliary,
            "trunk": {"name": "shared_bottom", "hidden": [64]},
            "tower_hidden": (),
            "cross_layers": 0,
            "ensemble": 1,
            "batch_size": 32,
            "epochs": epochs,
            "learning_rate": 3e-3,
            "threads": 1,
            "intervals": False,
            "seed": seed,
            "input_options": {"words": {"dropout": 0.25}},
        },
    )
    seconds = time.process_time() - started
    predicted = run.predict(tables.test.select(["words"]))
    is_rare_W = rare(tables)
    scores = {"seconds": seconds}
    for task in tasks:
        right_W = flat(predicted[task]) == flat(tables.test[task])
        assert abs(right_W.mean() - run.metrics.tasks[task].test["accuracy"].value) < 1e-9
        scores |= {task: right_W.mean(), f"{task}, rare": right_W[is_rare_W].mean()}
    return {name: float(value) for name, value in scores.items()}


def flat(column: pa.ChunkedArray) -> np.ndarray:
    """The entries of lists."""
    return pc.list_flatten(column).to_numpy()


def rare(tables: Parts) -> np.ndarray:
    """Which test words the training sentences have once at most."""
    counts = Counter(word.lower() for word in flat(tables.train["words"]))
    return np.array([counts[word.lower()] <= 1 for word in flat(tables.test["words"])])


def most_frequent(tables: Parts, task: str) -> float:
    """The accuracy of the tag that each word has most often in training; the commonest tag for a new word."""
    words, tags = flat(tables.train["words"]), flat(tables.train[task])
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in zip(words, tags):
        counts[word.lower()][tag] += 1
    fallback = Counter(tags).most_common(1)[0][0]
    known = {word: each.most_common(1)[0][0] for word, each in counts.items()}
    said = [known.get(word.lower(), fallback) for word in flat(tables.test["words"])]
    return float((np.array(said) == flat(tables.test[task])).mean())


def report(found: dict[str, Sequence[dict[str, float]]]) -> None:
    """A line for each arm and task, with the difference to the task alone."""
    for arm, scores in found.items():
        seconds = np.mean([each["seconds"] for each in scores])
        print(f"{arm} ({seconds:.0f} s a training)")
        for task in ARMS[arm][0]:
            for name in (task, f"{task}, rare"):
                values = [each[name] for each in scores]
                line = f"  {name}: {interval(values)}"
                if arm != task and task in found:
                    gains = [a - b[name] for a, b in zip(values, found[task])]
                    line += f"; to {task} alone {interval(gains)}"
                print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, 1,000 sentences")
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="*", help="default: 0 1 2")
    given = parser.parse_args()
    one_thread()
    most, epochs = (1000, 2) if given.quick else (None, 5)
    seeds = given.seeds or ([0] if given.quick else [0, 1, 2])
    Path("runs").mkdir(exist_ok=True)
    scores, tables = Scores(Path("runs/tagging.jsonl")), parts(most)
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in given.arms}
    for seed in seeds:
        for arm in given.arms:
            key = f"{most} {epochs} {arm} {seed}"
            if key not in scores.known:
                scores.put(key, trained(tables, arm, seed, epochs))
                print(f"{key}: {scores.known[key]}", flush=True)
            found[arm].append(scores.known[key])
    floors = ", ".join(f"{task} {100 * most_frequent(tables, task):.1f}" for task in TASKS)
    print(f"the most frequent tag of each word: {floors}")
    report(found)


if __name__ == "__main__":
    main()
