"""Whatever the table and the options: success, or one message and exit code 2."""

import importlib.util
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forked import Forked, Outcome
from polytask.records.layout import FILES, GRAPH, REPORT

# Imported by its place: tests are no package.
spec = importlib.util.spec_from_file_location(
    "fuzz_tables", Path(__file__).with_name("fuzz_tables.py")
)
fuzz_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz_tables)

SECONDS = 120
MEMORY = 8 << 30


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in JSON")


def fault_of(ended: Outcome) -> str | None:
    """None where it is success, or one message."""
    if ended.code == 0:
        return None
    if ended.code is None:
        return "it took too long"
    is_message = ended.code == 2 and "Traceback" not in ended.err and ended.err.strip()
    return None if is_message else f"exit code {ended.code}: {ended.err[-300:]}"


def require_sound(run: Path) -> None:
    """A finished run: all of its files and no other, JSON, and finite numbers."""
    names = {path.name for path in run.iterdir()}
    assert names == {*FILES} - {REPORT, GRAPH}, names
    for name in ("metrics.json", "figures.json", "encoder.json"):
        json.loads((run / name).read_text(), parse_constant=refuse)
    for line in (run / "steps.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def require_finite(path: Path, num_rows: int) -> None:
    predictions = pq.read_table(path)
    assert predictions.num_rows == num_rows
    for name in predictions.column_names:
        if pa.types.is_floating(predictions[name].type):
            assert np.isfinite(predictions[name].to_numpy()).all(), name


def outcomes_of(seed: int, folder: Path, forked: Forked) -> list[tuple[str, str]]:
    """Command and outcome of a case: "success", "message", or what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    case = fuzz_tables.make_case(seed, folder)
    run, out = folder / "run", folder / "p.parquet"
    found = []

    def ask(*arguments: object) -> bool:
        ended = forked.run(*arguments, seconds=SECONDS, memory=MEMORY)
        told = fault_of(ended)
        found.append((arguments[0], told or ("success" if ended.code == 0 else "message")))
        if ended.code == 0 and arguments[0] == "evaluate":
            assert not re.search(r"\b(NaN|-?Infinity)\b", ended.out)
        return bool(ended.code == 0)

    # A command line cannot hold a NUL character, and the shell of a name with one is a column's.
    if ask("fit", case.table, *case.options, "--threads=1", "--out", run):
        require_sound(run)
        for number, other in enumerate(case.others):
            if (seed + number) % 3 == 0:
                ask("evaluate", run, other)
            elif ask("predict", run, other, "--out", out, "--overwrite"):
                require_finite(out, rows_of(other))
    elif run.exists():
        assert not (run / "metrics.json").exists()
    if seed % 3 == 0:
        tasks = [option for option in case.options if option.startswith("--task=")]
        ask("inspect", case.table, *tasks)
    return found


def rows_of(path: Path) -> int:
    if path.suffix == ".csv":
        import pyarrow.csv

        return int(pyarrow.csv.read_csv(path).num_rows)
    read = pq.read_table if path.suffix == ".parquet" else pa.feather.read_table
    return int(read(str(path)).num_rows)


def run_all(seeds: range, folder: Path, forked: Forked) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    faults = []
    for seed in seeds:
        try:
            found = outcomes_of(seed, folder / "case", forked)
        except AssertionError as error:
            found = [("fit", f"unsound: {error}")]
        for name, outcome in found:
            is_sound = outcome in ("success", "message")
            counts[name, outcome if is_sound else "FAULT"] += 1
            faults += [] if is_sound else [f"seed {seed}, {name}: {outcome}"]
    print(f"\n{len(seeds)} tables: {dict(sorted(counts.items()))}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("first", [0, 20, 40])
def test_twenty_hostile_tables(first: int, tmp_path: Path, forked: Forked) -> None:
    """In three parts, which may run side by side."""
    run_all(range(first, first + 20), tmp_path, forked)


@pytest.mark.slow
def test_three_hundred_hostile_tables(tmp_path: Path, forked: Forked) -> None:
    """POLYTASK_FUZZ=300:600 asks for others."""
    first, _, last = os.environ.get("POLYTASK_FUZZ", "60:360").partition(":")
    run_all(range(int(first), int(last)), tmp_path, forked)
