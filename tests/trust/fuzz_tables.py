"""Hostile tables and options, each a function of its seed; `test_fuzz` runs polytask on them."""

import datetime as dt
import decimal
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from polytask.balancing import BALANCERS
from polytask.trunks import TRUNKS

NAMES = (
    *("x", "y", "*", "loss", "multi-task", "a=b", "a:b", "a,b", "a/b", "../up", "", " ", " lead"),
    *(
        "trail ",
        "שלום",
        "😀",
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x1b[31mred",
        "[bold]m[/]",
        "[/]",
        "[red",
    ),
    *("a.b", "__class__", "name", "step", "train", "index", "<b>h</b>", "$x^2$", "$\\bad{", "_"),
    *("%s", "{x}", "{{ 7*7 }}", "e\u0301", "A" * 300, "\u202ertl", "x auc", "null", "true", "1"),
    *("1.5", "-1", "--task", "#c", "'q'", '"dq"', "\\", "\u2028", "\ufeffbom", "single"),
)

Draw = Callable[[np.random.Generator, random.Random, int], pa.Array]


def texts(*words: str | None) -> Draw:
    return lambda rng, r, n: pa.array([r.choice(words) for _ in range(n)], pa.string())


def numbers(draw: Callable[[np.random.Generator, int], object]) -> Draw:
    return lambda rng, r, n: pa.array(draw(rng, n))


def repeated(value: object, kind: pa.DataType | None = None) -> Draw:
    return lambda rng, r, n: pa.array([value] * n, kind)


def holed(rng: np.random.Generator, n: int) -> object:
    values = rng.normal(size=n)
    values[rng.random(n) < 0.1] = np.nan
    values[rng.random(n) < 0.1] = -0.0
    return values


def endless(rng: np.random.Generator, n: int) -> object:
    values = rng.normal(size=n)
    values[rng.random(n) < 0.02] = np.inf
    return values


DATES = (dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29), None)
COLUMNS: dict[str, Draw] = {
    "float": numbers(lambda rng, n: rng.normal(size=n)),
    "holed": numbers(holed),
    "endless": numbers(endless),
    "huge": numbers(lambda rng, n: rng.choice([1e308, -1e308, 1e-308, 5e-324, 0.0], n)),
    "1e30": numbers(lambda rng, n: rng.normal(size=n) * 1e30),
    "near": numbers(lambda rng, n: 1e9 + rng.normal(size=n) * 1e-9),
    "skew": numbers(lambda rng, n: np.exp(rng.normal(size=n) * 5)),
    "half": numbers(lambda rng, n: rng.normal(size=n).astype(np.float16)),
    "single": numbers(lambda rng, n: rng.normal(size=n).astype(np.float32)),
    "int": numbers(lambda rng, n: rng.integers(0, rng.choice([2, 3, 10, 1000]), n)),
    "int64": numbers(lambda rng, n: rng.choice(np.array([2**63 - 1, -(2**63), 0, 2**53 + 1]), n)),
    "uint64": numbers(lambda rng, n: rng.choice(np.array([2**64 - 1, 2**63, 0], np.uint64), n)),
    "int8": numbers(lambda rng, n: rng.integers(-128, 127, n).astype(np.int8)),
    "bool": numbers(lambda rng, n: rng.random(n) < 0.4),
    "counts": numbers(lambda rng, n: rng.poisson(3, n)),
    "negative": numbers(lambda rng, n: -rng.integers(0, 9, n)),
    "rare": numbers(lambda rng, n: (rng.random(n) < 2 / n).astype(int)),
    "classes": numbers(lambda rng, n: rng.integers(0, 30, n).astype(str)),
    "all different": numbers(lambda rng, n: [f"v{i}" for i in rng.permutation(n)]),
    "dictionary": lambda rng, r, n: pa.array(rng.choice(["p", "q"], n)).dictionary_encode(),
    "bytes": numbers(lambda rng, n: [bytes([int(b)]) for b in rng.integers(0, 255, n)]),
    "maybe": lambda rng, r, n: pa.array([r.choice([None, True, False]) for _ in range(n)]),
    "constant": lambda rng, r, n: pa.array([r.choice([0, 1.5, "x", True])] * n),
    "nothing": lambda rng, r, n: pa.nulls(n, r.choice([pa.float64(), pa.string(), pa.null()])),
    "text": texts("a", "b", "", "NA", "nan", "null", " ", "é"),
    "names": texts(*NAMES),
    "written numbers": texts("1", "2.5", "007", "1e5", "-0", "inf", "NaN"),
    "dates": lambda rng, r, n: pa.array([r.choice(DATES) for _ in range(n)], pa.date32()),
    "times": numbers(
        lambda rng, n: [dt.datetime(2024, 1, 1) + dt.timedelta(hours=int(h)) for h in range(n)]
    ),
    "zone": repeated(dt.datetime(2024, 1, 1), pa.timestamp("ns", "Europe/Berlin")),
    "clock": numbers(lambda rng, n: [dt.time(int(h)) for h in rng.integers(0, 24, n)]),
    "spans": numbers(lambda rng, n: [dt.timedelta(seconds=int(h)) for h in range(n)]),
    "decimal": repeated(decimal.Decimal("1.25"), pa.decimal128(10, 2)),
    "decimals": repeated(decimal.Decimal(10) ** 60, pa.decimal256(76, 0)),
    "list": repeated([1, 2]),
    "structure": repeated({"a": 1}),
    "map": repeated([("a", 1)], pa.map_(pa.string(), pa.int64())),
}
TAME = ("float", "int", "text", "dictionary", "single", "bool", "holed")
# Labels that fit their kind; the others have any column for a label and any kind or none.
LABELS = {
    "bool": "binary",
    "int": "regression",
    "float": "regression",
    "counts": "count",
    "text": "multiclass",
    "holed": "regression",
    "skew": "quantile",
    "dictionary": "multiclass",
}
KINDS = ("binary", "regression", "multiclass", "count", "quantile")


@dataclass(frozen=True)
class Case:
    """A table in a file, the options of a fit on it, and the tables to predict on."""

    table: Path
    options: tuple[str, ...]
    others: tuple[Path, ...]


def make_case(seed: int, folder: Path) -> Case:
    """Half of the cases are tame but for one or two things, so that they get to the end."""
    r, rng = random.Random(seed), np.random.default_rng(seed)
    num_rows = r.choice([1, 2, 5, 12, 40, 150, 300])
    is_tame = r.random() < 0.6
    kinds = [r.choice(TAME if is_tame else [*COLUMNS]) for _ in range(r.choice([1, 2, 4, 6]))]
    if is_tame:
        num_rows = max(num_rows, 40)
        kinds.append(r.choice([*COLUMNS]))
    names = r.sample(NAMES, 20) if r.random() < 0.6 else [f"c{i}" for i in range(20)]
    columns = {names.pop(): COLUMNS[kind](rng, r, num_rows) for kind in kinds}
    tasks = {}
    for _ in range(r.choice([1, 1, 2, 3])):
        drawn = r.choice([*LABELS] if is_tame or r.random() < 0.5 else [*COLUMNS])
        name = names.pop() if r.random() < 0.5 else f"lab{len(tasks)}"
        columns[name] = COLUMNS[drawn](rng, r, num_rows)
        kind = LABELS[drawn] if is_tame and drawn in LABELS else r.choice([*KINDS, ""])
        tasks[name] = f"{name}:{kind}" if kind else name
    table = pa.table(columns)
    options = (
        *(f"--task={task}" for task in tasks.values()),
        *draw_options(r, [*tasks], [*columns]),
    )
    others = (table, *(damaged(r, table) for _ in range(2)))
    return Case(
        written(r, table, folder / "table"),
        options,
        tuple(written(r, other, folder / f"other{i}") for i, other in enumerate(others)),
    )


def draw_options(r: random.Random, tasks: Sequence[str], columns: Sequence[str]) -> list[str]:
    task, column = r.choice(tasks), r.choice(columns)
    kept = [name for name in columns if "," not in name and name.strip()]
    likely = [f"--batch-size={r.choice([7, 64, 1024])}", f"--trunk={r.choice([*TRUNKS])}"]
    likely.append(f"--balancer={r.choice([*BALANCERS])}" if r.random() < 0.6 else "--no-intervals")
    likely += [f"--allow={','.join(kept)}"] if r.random() < 0.7 else []
    rare = [
        [f"--given={task}={r.choice(tasks)}", f"--given-conflict={r.choice(['stop', 'drop'])}"],
        [f"--weight={task}={r.choice(['0', '2', '-1', '1e30', column])}"],
        [f"--transform={task}=log1p"],
        [f"--group={column}"],
        [f"--split-by={column}"],
        [f"--time-column={column}", f"--test-from={r.choice(['0', '2024-03-01', 'b', 'nan'])}"],
        [f"--valid-fraction={r.choice([0, 0.5, 0.99])}"],
        [f"--numeric-encoding={r.choice(['standard', 'quantile'])}"],
        ["--precision=bf16"],
        [f"--min-count={r.choice([1, 50])}"],
        ["--measure-at=parameters"],
        [f"--monitor={task}.{r.choice(['auc', 'gauc', 'r2', 'log_loss'])}"],
        [f"--derive=d1 = {column} + 1"],
        [f"--learning-rate={r.choice([1e-300, 1e3, 1e30])}"],
        [f"--columns=time={column}"],
        [f"--inputs={column}"],
    ]
    chosen = [option for options in rare if r.random() < 0.1 for option in options]
    return [
        *likely,
        *chosen,
        "--epochs=1",
        "--ensemble=1",
        f"--baseline={r.choice(['none', 'none', 'single'])}",
    ]


def damaged(r: random.Random, table: pa.Table) -> pa.Table:
    """A table to predict on that is not as the training one in one column."""
    place = r.randrange(table.num_columns)
    name, n = table.column_names[place], table.num_rows
    changed = r.choice([*DAMAGE])
    if changed == "gone":
        return table.drop_columns([name]) if table.num_columns > 1 else table
    if changed == "shuffled":
        return table.select(r.sample(range(table.num_columns), table.num_columns))
    if changed == "no rows":
        return table.slice(0, 0)
    return table.set_column(place, name, pa.array([DAMAGE[changed]] * n))


DAMAGE: dict[str, object] = {
    "gone": None,
    "shuffled": None,
    "no rows": None,
    "missing": None,
    "text": "zz",
    "integers": 2**62,
    "lists": [1],
    "huge": 1e300,
    "bytes": b"\xff",
    "half": np.float16(60000),
    "spans": dt.timedelta(1),
}


def written(r: random.Random, table: pa.Table, path: Path) -> Path:
    """In the first format that takes it."""
    formats: dict[str, Callable[[Path], object]] = {
        ".csv": lambda path: pyarrow.csv.write_csv(table, path),
        ".parquet": lambda path: pq.write_table(table, path),
        ".arrow": lambda path: pyarrow.feather.write_feather(
            table, str(path), compression="uncompressed"
        ),
    }
    for suffix, write in formats.items():
        if suffix == ".csv" and r.random() < 0.7:
            continue
        try:
            write(path.with_suffix(suffix))
        except (pa.ArrowException, OSError):
            path.with_suffix(suffix).unlink(missing_ok=True)
            continue
        return path.with_suffix(suffix)
    raise AssertionError("Arrow writes every table of Arrow's")
