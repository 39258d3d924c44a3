"""Small tables with polytask's defaults, beside boosted trees and a linear model a task.

    python benchmarks/small_tables.py                      # all tables, five splits each
    python benchmarks/small_tables.py wine digits --repeats 3
    python benchmarks/small_tables.py rf1 --set epochs=40  # the same with other options

Needs scikit-learn; rf1, yeast and scene need the data folder (POLYTASK_DATA or ../shared/data).
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import polytask
from polytask.config import validate_config

DATA = Path(os.environ.get("POLYTASK_DATA", Path(__file__).parents[2] / "shared" / "data"))
MARGIN = 0.02


@dataclass(frozen=True)
class Problem:
    """A table of numbers and its tasks, COLUMN:KIND; `gap` splits by order, as for a series."""

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    gap: int | None = None

    @property
    def labels(self) -> list[str]:
        return [task.partition(":")[0] for task in self.tasks]

    def splits(self, repeats: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Training and test rows: a fifth for the test, more where that would be a handful."""
        rows = len(self.frame)
        if self.gap is not None:
            cut = int(0.8 * rows)
            yield self.frame.iloc[: cut - self.gap], self.frame.iloc[cut:]
            return
        share = 0.2 if rows >= 100 else 0.4
        for seed in range(repeats):
            order = np.random.default_rng(seed).permutation(rows)
            cut = int(share * rows)
            yield self.frame.iloc[order[cut:]], self.frame.iloc[order[:cut]]


def bunch(loader: Callable[..., object]) -> pd.DataFrame:
    return loader(as_frame=True).frame.copy()  # type: ignore[attr-defined]


def digits() -> Problem:
    frame = bunch(datasets.load_digits).rename(columns={"target": "digit"})
    frame["even"] = (frame["digit"] % 2 == 0).astype(int)
    frame["large"] = (frame["digit"] >= 5).astype(int)
    return Problem(frame, ("digit:multiclass", "even:binary", "large:binary"))


def breast_cancer() -> Problem:
    frame = bunch(datasets.load_breast_cancer)
    frame = frame.drop(columns=[name for name in frame if str(name).startswith("worst")])
    worst = bunch(datasets.load_breast_cancer)
    frame["worst_smoothness"] = worst["worst smoothness"]
    frame["worst_texture"] = worst["worst texture"]
    tasks = ("target:binary", "worst_smoothness:regression", "worst_texture:regression")
    return Problem(frame, tasks)


def wine() -> Problem:
    frame = bunch(datasets.load_wine).rename(columns={"target": "cultivar"})
    frame["strong"] = (frame.pop("alcohol") > 13).astype(int)
    return Problem(frame, ("cultivar:multiclass", "strong:binary"))


def diabetes() -> Problem:
    frame = bunch(datasets.load_diabetes).rename(columns={"target": "progression"})
    frame["high"] = (frame["progression"] > 140).astype(int)
    return Problem(frame, ("progression:regression", "high:binary"))


def linnerud() -> Problem:
    frame = bunch(datasets.load_linnerud)
    return Problem(frame, ("Weight:regression", "Waist:regression", "Pulse:regression"))


def rf1() -> Problem:
    frame = pq.read_table(DATA / "rf1.parquet").to_pandas()
    return Problem(frame, tuple(f"{name}:regression" for name in frame.columns[-8:]), gap=48)


def labelled(name: str) -> Problem:
    frame = pq.read_table(DATA / f"{name}.parquet").to_pandas().drop(columns="split")
    labels = [column for column in frame if column.startswith("label_")]
    # Class 14 of yeast has 34 positives in all: its AUC is chance.
    frame = frame.drop(columns=[c for c in labels if frame[c].sum() < 50])
    return Problem(frame, tuple(f"{c}:binary" for c in labels if c in frame))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "wine": wine,
    "diabetes": diabetes,
    "linnerud": linnerud,
    "rf1": rf1,
    "yeast": lambda: labelled("yeast"),
    "scene": lambda: labelled("scene"),
}


def score(kind: str, labels: np.ndarray, predicted: np.ndarray) -> float:
    """AUC of probabilities, accuracy of classes, R2 of numbers."""
    if kind == "binary":
        return float(roc_auc_score(labels, predicted))
    return float((accuracy_score if kind == "multiclass" else r2_score)(labels, predicted))


def models(kind: str) -> dict[str, BaseEstimator]:
    if kind == "regression":
        trees, linear = (
            HistGradientBoostingRegressor(random_state=0),
            RidgeCV(np.logspace(-3, 4, 15)),
        )
    else:
        trees, linear = (
            HistGradientBoostingClassifier(random_state=0),
            LogisticRegression(max_iter=2000),
        )
    prepared = make_pipeline(SimpleImputer(), StandardScaler(), linear)
    return {"trees": trees, "linear": prepared}


def peers(problem: Problem, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    inputs = [name for name in train if name not in problem.labels]
    for task in problem.tasks:
        label, _, kind = task.partition(":")
        for name, model in models(kind).items():
            model.fit(train[inputs], train[label])
            predict = (
                model.predict if kind != "binary" else lambda x, m=model: m.predict_proba(x)[:, 1]
            )
            found.setdefault(label, {})[name] = score(
                kind, test[label].to_numpy(), predict(test[inputs])
            )
    return found


def ours(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, options: dict[str, object]
) -> dict[str, float]:
    config = validate_config(options, from_text=True)
    chosen = {name: getattr(config, name) for name in options}
    run = polytask.fit(
        pa.Table.from_pandas(train, preserve_index=False),
        list(problem.tasks),
        allow=[name for name in train if name not in problem.labels],
        test_fraction=0.0,
        intervals=False,
        baseline="none",
        **chosen,  # type: ignore[arg-type]
    )
    predictions = run.predict(pa.Table.from_pandas(test, preserve_index=False))
    return {
        label: score(kind, test[label].to_numpy(), predictions[label].to_numpy())
        for label, _, kind in (task.partition(":") for task in problem.tasks)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[*PROBLEMS, []], default=[])
    parser.add_argument("--repeats", type=int, default=5, help="random splits a table")
    parser.add_argument("--set", nargs="*", default=[], help="options of fit, NAME=VALUE")
    arguments = parser.parse_args()
    options: dict[str, object] = dict(text.split("=", maxsplit=1) for text in arguments.set)
    warnings.filterwarnings("ignore")
    print("| table | rows | task | polytask | trees | linear | gap to the better | s |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    num_tasks = num_below = 0
    for name in arguments.tables or PROBLEMS:
        problem = PROBLEMS[name]()
        rows: dict[str, list[tuple[float, float, float]]] = {}
        seconds = 0.0
        for train, test in problem.splits(arguments.repeats):
            theirs = peers(problem, train, test)
            started = time.perf_counter()
            mine = ours(problem, train, test, options)
            seconds += time.perf_counter() - started
            for label, value in mine.items():
                rows.setdefault(label, []).append((value, *theirs[label].values()))
        for label, values in rows.items():
            mean, trees, linear = np.mean(values, axis=0)
            gap = mean - max(trees, linear)
            num_tasks, num_below = num_tasks + 1, num_below + (gap < -MARGIN)
            cells = f"{mean:.3f} | {trees:.3f} | {linear:.3f} | {gap:+.3f}"
            each = seconds / len(values)
            print(
                f"| {name} | {len(problem.frame):,} | {label} | {cells} | {each:.1f} |", flush=True
            )
    print(f"\n{num_below} of {num_tasks} tasks are more than {MARGIN} below the better of the two.")


if __name__ == "__main__":
    main()
