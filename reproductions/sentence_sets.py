"""Six sets of sentences as one mixture: each task beside the same network alone, by the share of batches of each set.

    python reproductions/sentence_sets.py                 # two seeds; kept in runs/sentence_sets.jsonl
    python reproductions/sentence_sets.py --encoder lstm  # an LSTM in the place of convolutions
    python reproductions/sentence_sets.py --quick         # one seed, a tenth of the sentences, two epochs

MR, CR, MPQA, SUBJ, SST-2 and TREC: one encoder, convolutions (Kim 2014) or an LSTM, over GloVe vectors, which are trained, and one
Shared-Bottom (96); a batch is of one set, and an epoch as many batches as all sets have together. `proportional` shares
see each sentence once an epoch, `uniform` those of the smallest set (CR) most often. "alone" is the same network for one
set, as many steps as it has under `proportional` shares. The weights of the best validated epoch; test
accuracy in points, means of seeds with 95 % intervals. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA, Scores, interval, one_thread

import polytask

SETS = ("mr", "cr", "mpqa", "subj", "sst2", "trec")
SHARES = ("proportional", "sqrt", "uniform")
Tables = Mapping[str, Mapping[str, pa.Table]]


def tables(share: float) -> Tables:
    """Text and label of each set, by part."""
    whole = pq.read_table(DATA / "sentences.parquet", columns=["task", "split", "label", "text"])
    found = {}
    for name in SETS:
        of_set = whole.filter(pc.equal(whole["task"], name))
        # Some sets come sorted by label.
        of_set = of_set.take(np.random.default_rng(0).permutation(len(of_set)))
        parts = {
            part: of_set.filter(pc.equal(of_set["split"], part)).select(["text", "label"])
            for part in ("train", "valid", "test")
        }
        found[name] = {
            part: rows.slice(0, int(share * len(rows)) if part == "train" else None)
            for part, rows in parts.items()
        }
    return found


def trained(sets: Tables, encoder: str, shares: str, seed: int, epochs: int) -> dict[str, float]:
    """Test accuracy of each set's task, of one model for all of these sets."""
    run = polytask.fit(
        data={
            name: {"table": parts["train"], "valid": parts["valid"], "test": parts["test"]}
            for name, parts in sets.items()
        },
        tasks=[f"{name}.label:multiclass" for name in sets],
        columns={"text": ["text"]},
        input_options={
            "text": {
                "encoder": encoder,
                "vectors": str(DATA / "glove_50d.npz"),
                "dropout": 0.3,
                "max_length": 50,
            }
        },
        trunk={"name": "shared_bottom", "hidden": [96]},
        tower_hidden=(),
        cross_layers=0,
        ensemble=1,
        batch_size=64,
        epochs=epochs,
        learning_rate=2e-3,
        monitor=",".join(f"{name}.label.accuracy" for name in sets),
        shares=shares,
        baseline="none",
        intervals=False,
        threads=1,
        seed=seed,
    )
    scores = run.metrics.tasks
    return {name: scores[f"{name}.label"].test["accuracy"].value for name in sets}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, a tenth of the sentences")
    parser.add_argument("--seeds", type=int, nargs="*", help="default: 0 1")
    parser.add_argument("--encoder", default="cnn", choices=("cnn", "lstm", "gru", "mean"))
    given = parser.parse_args()
    one_thread()
    share, epochs = (0.1, 2) if given.quick else (1.0, 5)
    seeds = given.seeds or ([0] if given.quick else [0, 1])
    Path("runs").mkdir(exist_ok=True)
    scores, sets = Scores(Path("runs/sentence_sets.jsonl")), tables(share)
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ("alone", *SHARES)}
    for seed in seeds:
        for arm, known in found.items():
            key = f"{given.encoder} {share} {epochs} {arm} {seed}"
            if key not in scores.known:
                groups = [[name] for name in SETS] if arm == "alone" else [[*SETS]]
                values: dict[str, float] = {}
                for group in groups:
                    shares = "proportional" if arm == "alone" else arm
                    values |= trained(
                        {n: sets[n] for n in group}, given.encoder, shares, seed, epochs
                    )
                scores.put(key, values)
                print(f"{key}: {statistics.mean(values.values()):.4f}", flush=True)
            known.append(scores.known[key])
    print(f"| | {' | '.join(SETS)} | mean |")
    for arm, known in found.items():
        cells = [[each[name] for each in known] for name in SETS]
        if arm != "alone":
            cells = [
                [a - b[name] for a, b in zip(cell, found["alone"])]
                for cell, name in zip(cells, SETS)
            ]
        means = [statistics.mean(column) for column in zip(*cells)]
        print(f"| {arm} | {' | '.join(map(interval, (*cells, means)))} |", flush=True)


if __name__ == "__main__":
    main()
