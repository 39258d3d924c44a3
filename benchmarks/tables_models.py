"""What is compared on a table: polytask with its defaults, trees and linear models one a task, and peers."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, RidgeCV
from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables_problems import Problem

import polytask
from polytask.config import validate_config

Values = NDArray[np.float64]
_MOST_CATEGORIES = 255
"""Of a column of scikit-learn's trees; those with more are read as numbers in the order of their names."""


@dataclass(frozen=True)
class Fitted:
    """Predictions by task: probability of yes, class, or mean; seconds; parameters where known."""

    predictions: dict[str, Values]
    seconds: float
    predict_seconds: float
    parameters: int | None = None


Model = Callable[[Problem, pd.DataFrame, pd.DataFrame, dict[str, str]], Fitted]


def polytask_model(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
) -> Fitted:
    started = time.perf_counter()
    run = _fit(problem, train, list(problem.tasks), settings)
    fitted = time.perf_counter()
    predicted = run.predict(pa.Table.from_pandas(test, preserve_index=False))
    ended = time.perf_counter()
    predictions = {name: _values(predicted[name]) for name in problem.kinds}
    size = sum(p.numel() for p in run.model.parameters())
    return Fitted(predictions, fitted - started, ended - fitted, size)


def polytask_single(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
) -> Fitted:
    """The same, one model a task."""
    found: dict[str, Values] = {}
    seconds = predict_seconds = 0.0
    size = 0
    for task in problem.tasks:
        others = [name for name in problem.kinds if name != task.partition(":")[0]]
        alone = Problem(problem.frame.drop(columns=others), (task,), options=problem.options)
        one = polytask_model(alone, train.drop(columns=others), test, settings)
        found |= one.predictions
        seconds, predict_seconds = seconds + one.seconds, predict_seconds + one.predict_seconds
        size += one.parameters or 0
    return Fitted(found, seconds, predict_seconds, size)


def _fit(
    problem: Problem, train: pd.DataFrame, tasks: list[str], settings: dict[str, str]
) -> polytask.Run:
    config = validate_config(dict(settings), from_text=True)
    chosen = problem.options | {name: getattr(config, name) for name in settings}
    common = {"test_fraction": 0.0, "intervals": False, "baseline": "none", "threads": 1}
    return polytask.fit(
        pa.Table.from_pandas(train, preserve_index=False),
        tasks,
        allow=problem.inputs,
        **common | chosen,  # type: ignore[arg-type]
    )


def _values(column: pa.ChunkedArray) -> Values:
    return np.asarray(column.to_numpy())


def trees(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
) -> Fitted:
    """scikit-learn's histogram trees with their defaults."""
    return _one_a_task(problem, *_coded(problem, train, test), _trees)


def tuned_trees(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
) -> Fitted:
    """The best of 20 drawn settings on a fifth of the training rows, then fitted on all of them."""
    space = {
        "learning_rate": np.geomspace(0.01, 0.3, 30),
        "max_leaf_nodes": [7, 15, 31, 63, 127],
        "min_samples_leaf": [5, 10, 20, 50, 100],
        "l2_regularization": [0.0, 0.01, 0.1, 1.0, 10.0],
        "max_iter": [50, 100, 200, 400],
        "max_features": [0.3, 0.6, 1.0],
    }

    def tuned(kind: str) -> object:
        score = {"binary": "roc_auc", "multiclass": "accuracy"}.get(kind, "r2")
        parts = ShuffleSplit(1, test_size=0.2, random_state=0)
        return RandomizedSearchCV(
            _trees(kind), space, n_iter=20, cv=parts, scoring=score, random_state=0
        )

    return _one_a_task(problem, *_coded(problem, train, test), tuned)


def linear(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
) -> Fitted:
    """Ridge, logistic or Poisson regression on standardised numbers and one column a category."""
    categories = [c for c in problem.inputs if not pd.api.types.is_numeric_dtype(train[c])]
    numbers = [c for c in problem.inputs if c not in categories]

    def prepared(kind: str) -> object:
        model = {
            "regression": RidgeCV(np.logspace(-3, 4, 15)),
            "count": PoissonRegressor(alpha=1e-3, max_iter=1000),
        }.get(kind, LogisticRegression(max_iter=1000))
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore", min_frequency=5), categories),
        )
        return make_pipeline(columns, model)

    return _one_a_task(problem, train, test, prepared)


def _trees(kind: str) -> object:
    if kind == "regression":
        return HistGradientBoostingRegressor(random_state=0, categorical_features="from_dtype")
    if kind == "count":
        return HistGradientBoostingRegressor(
            loss="poisson", random_state=0, categorical_features="from_dtype"
        )
    return HistGradientBoostingClassifier(random_state=0, categorical_features="from_dtype")


def _coded(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Categories as pandas has them; those of too many values as numbers."""
    train, test = train.copy(), test.copy()
    for name in problem.inputs:
        if pd.api.types.is_numeric_dtype(train[name]):
            continue
        known = pd.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
        for part in (train, test):
            column = part[name].astype("object").where(part[name].notna()).astype(known)
            few = len(known.categories) <= _MOST_CATEGORIES
            part[name] = column if few else column.cat.codes.where(column.notna())
    return train, test


def _one_a_task(
    problem: Problem, train: pd.DataFrame, test: pd.DataFrame, make: Callable[[str], object]
) -> Fitted:
    predictions: dict[str, Values] = {}
    seconds = predict_seconds = 0.0
    for label, kind in problem.kinds.items():
        model = make(kind)
        started = time.perf_counter()
        model.fit(train[problem.inputs], train[label])  # type: ignore[attr-defined]
        fitted = time.perf_counter()
        ask = model.predict_proba if kind == "binary" else model.predict  # type: ignore[attr-defined]
        found = np.asarray(ask(test[problem.inputs]))
        predict_seconds += time.perf_counter() - fitted
        seconds += fitted - started
        predictions[label] = found[:, 1] if kind == "binary" else found
    return Fitted(predictions, seconds, predict_seconds)


def peer(name: str) -> Model:
    """A model of pytabkit's, one a task, in an environment of its own: POLYTASK_PEERS is its Python."""

    def fit(
        problem: Problem, train: pd.DataFrame, test: pd.DataFrame, settings: dict[str, str]
    ) -> Fitted:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            train.to_parquet(place / "train.parquet")
            test.to_parquet(place / "test.parquet")
            (place / "kinds.json").write_text(json.dumps(problem.kinds))
            script = Path(__file__).with_name("tables_peers.py")
            python = os.environ["POLYTASK_PEERS"]
            subprocess.run([python, str(script), name, folder], check=True, capture_output=True)
            told = json.loads((place / "told.json").read_text())
            with np.load(place / "predictions.npz") as file:
                predictions = {label: file[label] for label in problem.kinds}
        return Fitted(predictions, told["seconds"], told["predict_seconds"])

    return fit


MODELS: dict[str, Model] = {
    "polytask": polytask_model,
    "single": polytask_single,
    "trees": trees,
    "tuned trees": tuned_trees,
    "linear": linear,
    "RealMLP-TD": peer("RealMLP-TD"),
    "TabM": peer("TabM"),
}
