"""Six GLUE tasks and a small pretrained encoder: alone, all together, in pairs, in pairs with alignment.

    python reproductions/glue.py --checkpoint FOLDER                  # frozen; 200 rows a task, one seed, 3 pairs
    python reproductions/glue.py --checkpoint FOLDER --full           # frozen; 3,000 rows a task, three seeds, 10 pairs
    python reproductions/glue.py --checkpoint FOLDER --freeze 4 --pairs 0   # the last two of six layers are trained too

FOLDER holds an encoder of BERT's type as `transformers` saves it, such as all-MiniLM-L6-v2 (6 layers,
384 wide). CoLA, MRPC, QNLI, QQP, RTE (yes or no) and STS-B (how alike, 0 to 5) of Wang et al. (ICLR 2019), in
the cut of glue_pairs.parquet, whose scores are not those of the leaderboard. Both texts go through one encoder and
are compared as u, v, |u - v|, u * v (Conneau et al. 2017); one shared layer of 64 units. Test AUC, of STS-B
Spearman's rank correlation. Finished trainings are kept in runs/glue, so that a run that was stopped goes
on where it was. Reads the data from POLYTASK_DATA (else ../shared/data).

DIFF: Wu, Zhang and Re (ICLR 2020) train all of BERT-large; alignment stands where it does in wu_text.py.
"""

import argparse
import statistics
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from pictures import interval
from scipy.stats import spearmanr
from wu_text import DATA, show, study

from polytask.config import FitConfig, validate_config
from polytask.fitting import prepare
from polytask.transfer.trainings import Outcome, Trainings, TrainingSpec

TASKS = ("mrpc", "rte", "cola", "stsb", "qnli", "qqp")
NUM_PAIRED = 5
"""The first so many are trained in pairs, as in the paper, which leaves QQP out."""
QUICK_PAIRS = ((0, 3), (1, 4), (0, 2))


def tables(num_rows: int) -> dict[str, pa.Table]:
    """Train, valid and test: two texts, and a label column a task, missing on the others' rows."""
    whole = pq.read_table(DATA / "glue_pairs.parquet")
    rng = np.random.default_rng(0)
    found = {}
    for split, most in (("train", num_rows), ("valid", num_rows // 3), ("test", num_rows)):
        pieces = []
        for name in TASKS:
            is_mine = pc.and_(pc.equal(whole["task"], name), pc.equal(whole["split"], split))
            rows = whole.filter(is_mine)
            rows = rows.take(rng.permutation(len(rows))[:most])
            missing = pa.nulls(len(rows), pa.float32())
            labels = {
                each: rows["label"].cast(pa.float32()) if each == name else missing
                for each in TASKS
            }
            pieces.append(pa.table({"text_a": rows["text_a"], "text_b": rows["text_b"], **labels}))
        found[split] = pa.concat_tables(pieces)
    return found


def options(checkpoint: Path, freeze: bool | int) -> FitConfig:
    reads = {
        "checkpoint": str(checkpoint),
        "freeze": freeze,
        "pair": ["text_a", "text_b"],
        "max_length": 64,
    }
    is_frozen = freeze is True
    return validate_config(
        {
            "tasks": [f"{n}:{'regression' if n == 'stsb' else 'binary'}" for n in TASKS],
            "columns": {"pretrained": ["text_a", "text_b"]},
            "input_options": {"pretrained": reads},
            "trunk": {"name": "shared_bottom", "hidden": [64]},
            "tower_hidden": (),
            "cross_layers": 0,
            "ensemble": 1,
            "dropout": 0.1,
            "batch_size": 64 if is_frozen else 32,
            "epochs": 12 if is_frozen else 3,
            "learning_rate": 1e-3 if is_frozen else 2e-4,
            "threads": 1,
        }
    )


def score(trainings: Trainings, outcome: Outcome, place: int) -> float:
    """Test AUC, of STS-B Spearman's rank correlation."""
    rows = trainings.rows(outcome, place, "test")
    if trainings.names[place] != "stsb":
        return rows.metric("auc")
    known_B = ~np.isnan(rows.labels)
    return float(spearmanr(rows.predictions[known_B], rows.labels[known_B]).statistic)


def everything(trainings: Trainings, num_seeds: int) -> None:
    """Each task alone, and what one model for all six adds, in points."""
    places = range(len(TASKS))
    alone, gains = [], []
    for seed in range(num_seeds):
        singles = [trainings.outcome(TrainingSpec((p,), seed)) for p in places]
        together = trainings.outcome(TrainingSpec(tuple(places), seed))
        alone.append([score(trainings, single, p) for single, p in zip(singles, places)])
        joint = [score(trainings, together, p) for p in places]
        gains.append([both - own for both, own in zip(joint, alone[-1])])
    print(f"\n| | {' | '.join(TASKS)} | mean |\n|{'---|' * (len(TASKS) + 2)}")
    for name, values in (("alone", alone), ("one model for all", gains)):
        means = [statistics.mean(each) for each in values]
        cells = [interval(column) for column in (*zip(*values), means)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--freeze", type=int, help="so many first layers; all of them without it")
    parser.add_argument("--rows", type=int, help="training rows a task")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--pairs", type=int, help="only the first so many")
    given = parser.parse_args()
    started = time.perf_counter()
    torch.set_num_threads(1)
    num_rows = given.rows or (3000 if given.full else 200)
    num_seeds = given.seeds or (3 if given.full else 1)
    pairs = [*combinations(range(NUM_PAIRED), 2)] if given.full else [*QUICK_PAIRS]
    freeze = True if given.freeze is None else given.freeze
    parts = tables(num_rows)
    train = parts.pop("train")
    prepared = prepare(options(given.checkpoint, freeze), train, parts=parts)
    print(f"prepared in {time.perf_counter() - started:.0f} s", flush=True)
    frozen = "frozen" if freeze is True else f"first-{freeze}-frozen"
    folder = Path("runs") / "glue" / f"{frozen}-{num_rows}"
    trainings = Trainings(prepared, torch.device("cpu"), folder)
    everything(trainings, num_seeds)
    chosen = pairs[: given.pairs]
    if chosen:
        show([study(trainings, places, num_seeds, score) for places in chosen])
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
