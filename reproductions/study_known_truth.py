"""A goal with few labels, and four tasks that may be trained beside it: two help, one is useless, one harms.

    python reproductions/study_known_truth.py              # one table
    python reproductions/study_known_truth.py --full       # ten tables, as reported

`goal` has 300 training rows, of which every label is a bent function of 10 inputs under noise. `first` and
`second` are the same function on 600 rows of their own each: beside them the goal knows three and five times as much. `noise` is a label of
the goal's rows that nothing predicts. `greedy` has rows of its own, whose inputs have another covariance, and another
function, easy to learn and large enough for the whole shared layer of 8 units. `polytask study` compares training
the goal alone with sets of the four; printed is how often its verdicts and its advice are true. Studies are
kept in runs/study-known-truth, so that a run that was stopped goes on where it was.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polytask.config.study import StudyConfig, validate_study
from polytask.records.study import StudyRecord
from polytask.records.study_files import STUDY, read_record
from polytask.study import StudyFinished, study_events
from polytask.study.folder import StudyFolder

NUM_INPUTS, NUM_ROWS, NUM_MORE = 10, 6000, 12000
HELPFUL, USELESS, HARMFUL = ("first", "second"), "noise", "greedy"
SETS = (
    *((), HELPFUL[:1], HELPFUL[1:], HELPFUL),
    *((USELESS,), (HARMFUL,), (*HELPFUL, USELESS, HARMFUL)),
)
CORRECTED = "... and after Holm's correction"
QUICK_TABLES, FULL_TABLES = 1, 10
FOLDER = Path("runs/study-known-truth")


def table(seed: int) -> pa.Table:
    """The inputs and five labels, all quantities; missing where a row is not the task's."""
    rng = np.random.default_rng(seed)
    owner_B = np.repeat([0, 1, 2, 3], [NUM_ROWS, NUM_MORE, NUM_MORE, NUM_MORE])
    x_BD = rng.normal(size=(len(owner_B), NUM_INPUTS))
    x_BD[owner_B == 3] *= np.repeat([2.0, 0.5], NUM_INPUTS // 2)
    directions_DK = np.linalg.qr(rng.normal(size=(NUM_INPUTS, 6)))[0]
    bent_BK = np.abs(x_BD @ directions_DK)
    noisy_B = bent_BK[:, :2].sum(axis=1) + 0.7 * rng.normal(size=len(x_BD))
    labels = {
        name: np.where(owner_B == owner, noisy_B, np.nan)
        for owner, name in enumerate(("goal", *HELPFUL))
    }
    labels[USELESS] = np.where(owner_B == 0, rng.normal(size=len(x_BD)), np.nan)
    labels[HARMFUL] = np.where(owner_B == 3, bent_BK[:, 2:].sum(axis=1), np.nan)
    columns = {f"x{place:02d}": x_B for place, x_B in enumerate(x_BD.T)}
    return pa.table(columns | {k: pa.array(v, from_pandas=True) for k, v in labels.items()})


def config(seed: int, path: Path) -> StudyConfig:
    """A narrow shared layer; 5 % of the rows to train on, 25 % to validate on."""
    return validate_study(
        {
            "fit": {
                "table": str(path),
                "tasks": ["goal:regression"],
                "inputs": [f"x{place:02d}" for place in range(NUM_INPUTS)],
                "tower_hidden": [],
                "numeric_encoding": "standard",
                "ensemble": 16,
                "batch_size": 128,
                "epochs": 20,
                "learning_rate": 0.02,
                "valid_fraction": 0.25,
                "test_fraction": 0.7,
                "threads": 1,
            },
            "trunks": [{"name": "shared_bottom", "hidden": [8]}],
            "balancers": [],
            "auxiliary": [[f"{name}:regression" for name in each] for each in SETS],
            "search": {"width": [1.0], "dropout": [0.0]},
            "trials": 3,
            "seeds": 5,
            "seed": seed,
            "out": str(path.with_suffix("")),
        }
    )


def study(seed: int, folder: Path) -> StudyRecord:
    """The record of one table: read where it is there, gone on with where it was stopped."""
    path = folder / f"table-{seed:02d}.parquet"
    out = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if (out / STUDY).is_file():
        held, asked, places = StudyFolder.open(out)
        if (out / "study.json").is_file() and read_record(out).is_finished:
            held.release()
            return read_record(out)
        events = study_events(asked, folder=held, places=places)
    else:
        pq.write_table(table(seed), path)
        events = study_events(config(seed, path))
    return next(event.record for event in events if isinstance(event, StudyFinished))


def findings(record: StudyRecord) -> dict[str, list[bool]]:
    """What is true of the table, and whether the record says so."""
    over = {
        row.auxiliary: row.cells[0].over_single
        for row in record.rows
        if row.group == "equal" and row.cells and row.cells[0].over_single is not None
    }
    advised = next(row for row in record.rows if row.name == record.advice.row)
    return {
        "beside a helpful task the goal is better": [
            over[(name,)].verdict == "better" for name in HELPFUL
        ],
        "beside both it is better": [over[HELPFUL].verdict == "better"],
        "beside the useless task there is no detectable difference": [
            over[(USELESS,)].verdict == "none"
        ],
        "beside the harmful task it is worse, by its interval": [over[(HARMFUL,)].gain.high < 0],
        CORRECTED: [over[(HARMFUL,)].verdict == "worse"],
        "the advice has a helpful task": [bool({*HELPFUL} & {*advised.auxiliary})],
        "the advice has neither the useless nor the harmful one": [
            not {USELESS, HARMFUL} & {*advised.auxiliary}
        ],
        "trees are behind the advice, or equal": [_trees_are_behind(record, advised.name)],
    }


def _trees_are_behind(record: StudyRecord, advised: str) -> bool:
    cells = {row.name: row.cells[0].value.value for row in record.rows if row.cells}
    trees = next(row.name for row in record.rows if row.group == "trees")
    return cells[advised] >= cells[trees]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--tables", type=int, default=QUICK_TABLES, help="so many of them")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    started = time.perf_counter()
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for seed in range(FULL_TABLES if options.full else options.tables):
        record = study(seed, options.folder)
        for name, said in findings(record).items():
            right[name] += sum(said)
            asked[name] += len(said)
        if seed == 0:
            show(record)
    print("\n| finding | true |\n|---|--:|")
    for name, number in asked.items():
        print(f"| {name} | {right[name]} of {number} |")
    print(f"\n{time.perf_counter() - started:.0f} s")


def show(record: StudyRecord) -> None:
    """The first table's rows."""
    print("| way to train | R2 of the goal | gain over training alone | |\n|---|---|---|---|")
    for row in record.rows:
        if row.cells:
            [cell] = row.cells
            paired = cell.over_single
            gain = "" if paired is None else f"{paired.gain} | {paired.verdict}"
            mark = " (advised)" if row.name == record.advice.row else ""
            print(f"| {row.title}{mark} | {cell.value} | {gain or ' | '} |")


if __name__ == "__main__":
    main()
