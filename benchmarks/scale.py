"""Tables larger than memory: processor seconds, memory and disk of each phase, by the number of rows.

    python benchmarks/scale.py                          1M and 4M rows
    python benchmarks/scale.py --rows 1000000 16000000 --memory

A log of 20 columns (four ids of long tails, four categories, eight numbers, a time, four labels) is
written to Parquet in pieces, then encoded onto disk and trained on for an epoch, each in a process of
its own. `--memory` does the same in memory beside it. Processor seconds are of all threads; the peak is that
of the resident set.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TASKS = ("click:binary", "like:binary", "follow:binary", "watch:regression")
NUM_FILES, ROW_GROUP = 20, 250_000


def zipf(drawn: np.random.Generator, size: int, most: int) -> np.ndarray:
    """Ids from 0 on with a long tail: id k about as often as 1 / (k + 10)."""
    uniform = drawn.random(size)
    return np.minimum(10 * ((most / 10 + 1) ** uniform - 1), most - 1).astype(np.int64)


def rows_of(drawn: np.random.Generator, size: int, first: int, fewer_ids: int) -> pa.Table:
    """Some rows: the label depends on the ids' hidden rates and on two numbers."""
    ids = {"user_id": 5_000_000, "item_id": 1_000_000, "author_id": 200_000, "device": 500_000}
    found = {name: zipf(drawn, size, most // fewer_ids) for name, most in ids.items()}
    columns: dict[str, object] = dict(found)
    for name in ("item_id", "device"):
        columns[name] = pc_text(name, found[name])
    for k, most in enumerate((3, 12, 40, 200)):
        columns[f"kind_{k}"] = pc_text(f"k{k}", drawn.integers(0, most, size))
    numbers = {f"number_{k}": drawn.normal(size=size) for k in range(8)}
    numbers["number_0"][drawn.random(size) < 0.1] = np.nan
    numbers["number_1"] = np.exp(numbers["number_1"])
    columns |= numbers
    columns["shown_at"] = (np.arange(first, first + size) * 1000).astype("datetime64[ms]")
    hidden = sum(np.sin(found[name] * 12.9898) for name in ("user_id", "item_id", "author_id"))
    score = 0.5 * hidden + 0.4 * numbers["number_2"] - 0.3 * np.abs(numbers["number_3"])
    for name, bias in (("click", 1.5), ("like", 3.5), ("follow", 5.0)):
        columns[name] = (score - bias + drawn.logistic(size=size) > 0).astype(np.int8)
    columns["watch"] = np.exp(0.5 * score + drawn.normal(size=size))
    return pa.table(columns)


def pc_text(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Ids as text."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "-")


def generate(folder: Path, num_rows: int, fewer_ids: int = 1) -> None:
    """Write the log, a file and a piece at a time."""
    folder.mkdir(parents=True)
    for number in range(NUM_FILES):
        start, stop = (num_rows * k // NUM_FILES for k in (number, number + 1))
        writer = None
        for first in range(start, stop, ROW_GROUP):
            size = min(ROW_GROUP, stop - first)
            table = rows_of(np.random.default_rng([number, first]), size, first, fewer_ids)
            writer = writer or pq.ParquetWriter(folder / f"{number:03}.parquet", table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def measure(
    folder: Path, cache: Path, on_disk: str, *, steps: int, batches: int, held_out: float
) -> dict[str, float]:
    """Encode and train for an epoch, or so many steps, in this process; what each took.

    An epoch has so many `batches` at most, if any are named; after it the test is scored.
    """
    from polytask.config import validate_config
    from polytask.fitting.events import ModelFinished, ModelStarted
    from polytask.fitting.fitting import fit_events
    from polytask.fitting.preparing.prepare import Prepared
    from polytask.streams import LaneStream
    from polytask.training.loop import TrainStep

    whole = LaneStream.num_batches
    if batches:
        LaneStream.num_batches = lambda stream, epoch: min(batches, whole(stream, epoch))
    options = {
        "table": folder,
        "tasks": TASKS,
        "on_disk": on_disk,
        "cache": cache,
        "epochs": 1,
        "baseline": "none",
        "threads": 1,
        "embedding_dim": 8,
        "time_column": "shown_at",
        "test_from": str(
            np.datetime64(0, "ms")
            + np.timedelta64(1000, "ms") * int((1 - 0.05 * held_out) * _rows(folder))
        ),
        "valid_fraction": 0.02 * held_out,
    }
    found: dict[str, float] = {"start MB": _peak()}
    last, wall = time.process_time(), time.perf_counter()

    def took(name: str) -> None:
        nonlocal last, wall
        now, clock = time.process_time(), time.perf_counter()
        found[f"{name} s"], found[f"{name} wall"], found[f"{name} MB"] = (
            now - last,
            clock - wall,
            _peak(),
        )
        last, wall = now, clock

    for event in fit_events(validate_config(options)):
        if isinstance(event, Prepared):
            took("prepare")
            found["train rows"] = event.num_train
        elif isinstance(event, ModelStarted):
            took("start")
            parameters = event.training.model.named_parameters()
            found["embedding MB"] = sum(
                p.numel() * 4 / 1e6 for name, p in parameters if name.startswith("encoder")
            )
            progress = event.training.progress
        elif isinstance(event, TrainStep):
            steps -= 1
        if isinstance(event, ModelFinished) or steps == 0:
            took("train")
            found["rows trained on"] = progress.rows
        if steps == 0:
            break
    took("evaluate")
    return found


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Each size in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000])
    parser.add_argument("--memory", action="store_true", help="in memory beside it")
    parser.add_argument("--steps", type=int, default=0, help="of training; an epoch by default")
    parser.add_argument("--keep", type=Path, help="folder of the tables, kept and found again")
    parser.add_argument(
        "--batches", type=int, default=0, help="of an epoch; then the test is scored"
    )
    parser.add_argument(
        "--fewer-ids", type=int, default=1, help="a number that divides those of ids"
    )
    parser.add_argument(
        "--held-out", type=float, default=1.0, help="times 2 %% and 5 %% of the rows"
    )
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        table, cache, on_disk = arguments.worker
        how = {"batches": arguments.batches, "held_out": arguments.held_out}
        steps = arguments.steps or -1
        print(json.dumps(measure(Path(table), Path(cache), on_disk, steps=steps, **how)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        for num_rows in arguments.rows:
            folder = (arguments.keep or Path(scratch)) / f"log-{num_rows}"
            if not folder.exists():
                generate(folder, num_rows, arguments.fewer_ids)
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
            print(f"\n{num_rows:,} rows, {size:.2f} GB of Parquet", flush=True)
            cache = Path(scratch) / f"cache-{num_rows}"
            for on_disk in ["always", "always", *(["never"] if arguments.memory else [])]:
                again = on_disk == "always" and cache.exists()
                worker = [sys.executable, __file__, "--worker", str(folder), str(cache), on_disk]
                worker += ["--steps", str(arguments.steps), "--batches", str(arguments.batches)]
                worker += ["--held-out", str(arguments.held_out)]
                found = json.loads(
                    subprocess.run(worker, check=True, stdout=subprocess.PIPE).stdout
                )
                print(
                    "  in memory"
                    if on_disk == "never"
                    else "  found on disk"
                    if again
                    else "  on disk"
                )
                for name in ("prepare", "start", "train", "evaluate"):
                    print(
                        f"    {name:9} {found[f'{name} s']:8.1f} s of processor, {found[f'{name} wall']:8.1f} s, "
                        f"peak {found[f'{name} MB']:7,.0f} MB"
                    )
                print(
                    f"    {found['train rows'] / found['prepare s']:,.0f} rows a second prepared, "
                    f"{found['rows trained on'] / found['train s']:,.0f} trained on; embeddings "
                    f"{found['embedding MB']:,.0f} MB",
                    flush=True,
                )
            stored = sum(path.stat().st_size for path in (cache).rglob("*.npy"))
            print(f"    on disk {stored / num_rows:.0f} bytes a row")


if __name__ == "__main__":
    main()
