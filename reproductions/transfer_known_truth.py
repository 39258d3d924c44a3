"""A table whose truth is known: two tasks that help each other, one useless, one harmful. Who finds it?

    python reproductions/transfer_known_truth.py              # one table
    python reproductions/transfer_known_truth.py --full       # 20 tables, as reported

`first` and `second` have 300 training rows each, of which every label is the same bent function of 10
inputs under noise: together they know twice as much. `noise` is a label of the same rows that nothing
predicts. `greedy` has rows of its own, whose inputs have another covariance, and another function,
easy to learn and large enough for the whole shared layer of 8 units. Every table is studied by
`polytask transfer`; printed is how often each of its findings, and each cheap score, says what is
true. Studies are kept in runs/known-truth, so that a run that was stopped goes on where it was.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polytask.config import FitConfig, validate_config
from polytask.records.transfer import CheapScore, TransferOptions, TransferRecord
from polytask.records.transfer_files import TRANSFER, read_transfer
from polytask.transfer.folder import TransferFolder
from polytask.transfer.measuring import TransferFinished, transfer_events

NUM_INPUTS, NUM_ROWS, NUM_GREEDY = 10, 2000, 4000
HELPFUL, USELESS, HARMFUL = ("first", "second"), "noise", "greedy"
QUICK_TABLES, FULL_TABLES = 1, 20
NUM_SEEDS = 2
FOLDER = Path("runs/known-truth")


def table(seed: int) -> pa.Table:
    """The inputs and four labels, all quantities; missing where a row is not the task's."""
    rng = np.random.default_rng(seed)
    owner_B = np.repeat([0, 1, 2], [NUM_ROWS, NUM_ROWS, NUM_GREEDY])
    x_BD = rng.normal(size=(len(owner_B), NUM_INPUTS))
    x_BD[owner_B == 2] *= np.repeat([2.0, 0.5], NUM_INPUTS // 2)
    directions_DK = np.linalg.qr(rng.normal(size=(NUM_INPUTS, 6)))[0]
    bent_BK = np.abs(x_BD @ directions_DK)
    noisy_B = bent_BK[:, :2].sum(axis=1) + 0.7 * rng.normal(size=len(x_BD))
    labels = {
        "first": np.where(owner_B == 0, noisy_B, np.nan),
        "second": np.where(owner_B == 1, noisy_B, np.nan),
        USELESS: np.where(owner_B < 2, rng.normal(size=len(x_BD)), np.nan),
        HARMFUL: np.where(owner_B == 2, bent_BK[:, 2:].sum(axis=1), np.nan),
    }
    columns = {f"x{place:02d}": x_B for place, x_B in enumerate(x_BD.T)}
    return pa.table(columns | {k: pa.array(v, from_pandas=True) for k, v in labels.items()})


def options(seed: int, path: Path) -> FitConfig:
    """A narrow shared layer; 15 % of the rows to train on, 60 % to validate on."""
    return validate_config(
        {
            "table": str(path),
            "tasks": [f"{name}:regression" for name in (*HELPFUL, USELESS, HARMFUL)],
            "trunk": {"name": "shared_bottom", "hidden": [8]},
            "tower_hidden": (),
            "numeric_encoding": "standard",
            "ensemble": 2,
            "batch_size": 128,
            "epochs": 20,
            "learning_rate": 0.02,
            "valid_fraction": 0.6,
            "test_fraction": 0.25,
            "seed": seed,
            "threads": 1,
            "out": str(path.with_suffix("")),
        }
    )


def study(seed: int, folder: Path) -> TransferRecord:
    """The record of one table: read where it is there, gone on with where it was stopped."""
    path = folder / f"table-{seed:02d}.parquet"
    out = path.with_suffix("")
    if (out / TRANSFER).is_file():
        return read_transfer(out)
    folder.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        held, config, asked = TransferFolder.open(out)
        events = transfer_events(config, asked, folder=held)
    else:
        pq.write_table(table(seed), path)
        events = transfer_events(options(seed, path), TransferOptions(budget=60, seeds=NUM_SEEDS))
    return next(event.record for event in events if isinstance(event, TransferFinished))


def findings(record: TransferRecord) -> dict[str, list[bool]]:
    """What is true of the table, once a helpful task or once a table, and whether the record says so."""
    gains = {(each.cause, each.task): each.gain for each in (*record.pairs, *record.together)}
    left = {(each.cause, each.task): each.gain for each in record.left_out}
    groups = next(each.groups for each in record.groupings if each.title == "recommended")
    others = dict(zip(HELPFUL, reversed(HELPFUL)))
    found = {
        "beside the other helpful task the mean gain is above 0": [
            gains[others[task], task].value > 0 for task in HELPFUL
        ],
        "... and detectably so": [gains[others[task], task].low > 0 for task in HELPFUL],
        "beside the harmful task it is detectably worse than alone": [
            gains[HARMFUL, task].high < 0 for task in HELPFUL
        ],
        "in one model for all it is detectably worse than alone": [
            gains["all", task].high < 0 for task in HELPFUL
        ],
        "leaving the harmful task out makes it detectably better": [
            left[HARMFUL, task].low > 0 for task in HELPFUL
        ],
        "leaving the useless task out does not": [left[USELESS, task].low <= 0 for task in HELPFUL],
        "the grouping has the helpful pair in one model": [
            any({*HELPFUL} <= {*group} for group in groups)
        ],
        "the grouping keeps the harmful task from both": [
            not any(HARMFUL in group and {*HELPFUL} & {*group} for group in groups)
        ],
    }
    for score in record.scores:
        for other, which in ((HARMFUL, "harmful"), (USELESS, "useless")):
            says = f"{score.title}: the helpful pair is above those with the {which} task"
            found[says] = [_is_above(score, record.order, other)]
    return found


def _is_above(score: CheapScore, order: Sequence[str], other: str) -> bool:
    """Whether the helpful pair's score is above those of its tasks with another; False where unknown."""
    place = {name: position for position, name in enumerate(order)}

    def value(cause: str, task: str) -> float:
        found = score.matrix[place[cause]][place[task]]
        if found is None:
            return math.nan
        return abs(found) if score.name == "labels" else found

    first, second = HELPFUL
    helpful = min(value(first, second), value(second, first))
    return all(
        helpful > each for task in HELPFUL for each in (value(other, task), value(task, other))
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="20 tables, not one")
    parser.add_argument("--tables", type=int, help="so many tables")
    given = parser.parse_args()
    number = given.tables or (FULL_TABLES if given.full else QUICK_TABLES)
    started, counts = time.perf_counter(), Counter[str]()
    trials = Counter[str]()
    for seed in range(number):
        for name, found in findings(study(seed, FOLDER)).items():
            counts[name] += sum(found)
            trials[name] += len(found)
        print(f"table {seed} after {time.perf_counter() - started:.0f} s", flush=True)
    for name, count in counts.items():
        print(f"  {count:3d} of {trials[name]}: {name}")


if __name__ == "__main__":
    main()
