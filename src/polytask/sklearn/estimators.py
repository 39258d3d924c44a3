"""`polytask.fit` as three estimators, which differ in the kinds of labels that they take."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from polytask.config.keywords import FitOptions
from polytask.data.frames import as_table
from polytask.errors import UserError
from polytask.fitting import fit
from polytask.fitting.own_parts import BalancerChoice, TrunkChoice
from polytask.kinds import Binary, Kind, Multiclass, Regression, infer_kind, make_kind
from polytask.sklearn.classes import class_probabilities, has_classes
from polytask.sklearn.columns import (
    Data,
    Values,
    as_arrow,
    as_numbers,
    frame_like,
    is_frame,
    is_number,
    label_columns,
)
from polytask.task import Task

_FEWEST_ROWS_TO_VALIDATE = 500
_FEWEST_STEPS = 400


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """A column of y: its task, the labels to train on, and its classes (C,), ascending, if it has some."""

    task: Task
    labels: pa.Array
    classes: Values | None


class _MultiTask(BaseEstimator):  # type: ignore[misc]
    """What the three estimators have in common. `run_` is the `polytask.Run`."""

    def __init__(
        self,
        *,
        kinds: Mapping[str, str | Mapping[str, object]] | None = None,
        trunk: TrunkChoice = "mmoe",
        balancer: BalancerChoice = "equal",
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 3e-3,
        valid_fraction: float | None = None,
        random_state: int | RandomState | None = 0,
        threads: int | None = None,
        options: FitOptions | None = None,
    ) -> None:
        self.kinds = kinds
        self.trunk = trunk
        self.balancer = balancer
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.valid_fraction = valid_fraction
        self.random_state = random_state
        self.threads = threads
        self.options = options

    def fit(self, X: Data, y: Data, sample_weight: ArrayLike | None = None) -> Self:
        """Train one model for the columns of y, (n,) or (n, T); a missing label trains nothing.

        X may hold numbers, text and categories, and missing values.
        """
        validate_data(self, X, y, skip_check_array=True)
        table = self._table(X, reset=True)
        check_consistent_length(table, y)
        options = self._fit_options(table)
        targets = [self._target(name, values) for name, values in label_columns(y).items()]
        for target in targets:
            if target.task.column in table.column_names:
                raise UserError(
                    f"{target.task.name!r} names a column of X and one of y: take it out of X"
                )
            table = table.append_column(target.task.column, target.labels)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, table, ensure_non_negative=True)
            column = max(["sample_weight", *(f"{name}_" for name in table.column_names)], key=len)
            table = table.append_column(column, pa.array(weights))
            options["weight"] = {"*": column}
        self.run_ = fit(
            table,
            [target.task for target in targets],
            trunk=self.trunk,
            balancer=self.balancer,
            verbose=False,
            **options,
        )
        self._classes = {target.task.name: target.classes for target in targets}
        classes = list(self._classes.values())
        if any(each is not None for each in classes):
            self.classes_ = classes[0] if len(classes) == 1 else classes
        self._has_named_labels = is_frame(y)
        return self

    def predict(self, X: Data) -> Values | Data:
        """A class, or a value in the label's own unit: an array (n,) or (n, T).

        A frame with X's index where this X and the y of `fit` are frames.
        """
        columns = self._decided(X)
        if self._has_named_labels and is_frame(X):
            return frame_like(X, columns)
        values = list(columns.values())
        if len(values) == 1:
            return values[0]
        # Text beside numbers: in an array of objects each keeps its type.
        are_mixed = len({each.dtype.kind for each in values}) > 1
        return np.column_stack([each.astype(object) for each in values] if are_mixed else values)

    def score(self, X: Data, y: Data, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of classes and R2 of numbers, on the labelled rows; the mean over the columns."""
        scores = []
        for (name, predicted), labels in zip(self._decided(X).items(), label_columns(y).values()):
            known = as_arrow(labels).is_valid().to_numpy(zero_copy_only=False)
            measure = r2_score if self._classes[name] is None else accuracy_score
            weights = None if sample_weight is None else np.asarray(sample_weight)[known]
            scores.append(measure(labels[known], predicted[known], sample_weight=weights))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.target_tags.required = tags.target_tags.multi_output = True
        return tags

    @abstractmethod
    def _guessed(self, labels: pa.Array, name: str) -> Kind:
        """The kind of a column that `kinds` does not name."""

    def _target(self, name: str, values: Values) -> _Target:
        labels = as_arrow(values)
        named = (self.kinds or {}).get(name)
        kind = self._guessed(labels, name) if named is None else make_kind(named)
        if not has_classes(kind):
            return _Target(Task(name, name, kind), labels, None)
        known = labels.is_valid().to_numpy(zero_copy_only=False)
        classes, codes = np.unique(values[known], return_inverse=True)
        if len(classes) < 2:
            raise UserError(f"{name!r} has {len(classes)} class; there is nothing to learn")
        numbers = np.zeros(len(labels), dtype=np.int64)
        numbers[known] = codes
        if isinstance(kind, Multiclass):
            kind = replace(kind, classes=tuple(range(len(classes))))
        elif len(classes) > 2:
            raise UserError(
                f"{name!r} is binary, but has {len(classes)} classes: make it multiclass"
            )
        return _Target(Task(name, name, kind), pa.array(numbers, mask=~known), classes)

    def _fit_options(self, table: pa.Table) -> FitOptions:
        """The options of `polytask.fit`; small tables get smaller batches and more epochs."""
        names, rows = table.column_names, table.num_rows
        categorical = (self.options or {}).get("categorical", ())
        batch_size = self.batch_size or min(1024, max(16, rows // 20))
        valid_fraction = self.valid_fraction
        if valid_fraction is None:
            valid_fraction = 0.1 if rows >= _FEWEST_ROWS_TO_VALIDATE else 0.0
        steps_per_epoch = math.ceil(rows * (1 - valid_fraction) / batch_size)
        seed = self.random_state
        if not isinstance(seed, int):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        options: FitOptions = {
            "epochs": self.epochs or max(6, math.ceil(_FEWEST_STEPS / steps_per_epoch)),
            "batch_size": batch_size,
            "learning_rate": self.learning_rate,
            "valid_fraction": valid_fraction,
            "test_fraction": 0.0,
            "seed": seed,
            "split_seed": seed,
            "threads": self.threads,
            "allow": names,
            "numeric": [n for n in names if is_number(table[n]) and n not in categorical],
            "baseline": "none",
            "intervals": False,
        }
        return {**options, **(self.options or {})}

    def _table(self, X: Data, *, reset: bool = False) -> pa.Table:
        """X under the names that its columns have in the run: their own, or x0, x1, ..."""
        if is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            table = as_table(X)
        else:
            values = validate_data(
                self,
                X,
                reset=reset,
                dtype=None,
                ensure_all_finite="allow-nan",
                ensure_min_samples=2 if reset else 1,
            )
            table = pa.table(
                [as_arrow(column) for column in values.T], names=[""] * values.shape[1]
            )
        numbered = [f"x{i}" for i in range(self.n_features_in_)]
        return table.rename_columns([str(n) for n in getattr(self, "feature_names_in_", numbered)])

    def _predicted(self, X: Data) -> pa.Table:
        check_is_fitted(self)
        return self.run_.predict(self._table(X))

    def _probabilities(self, X: Data) -> Values | list[Values | None]:
        """(n, C) in the order of `classes_`; a list, with None for numbers, if columns are several."""
        predicted = self._predicted(X)
        found: list[Values | None] = [
            None if classes is None else class_probabilities(predicted, task, len(classes))
            for task, classes in zip(self.run_.tasks, self._classes.values())
        ]
        if all(each is None for each in found):
            raise UserError("predict_proba: no column of y has classes")
        return found[0] if len(found) == 1 and found[0] is not None else found

    def _decided(self, X: Data) -> dict[str, Values]:
        """(n,) of each column: the likeliest class, or the value."""
        predicted = self._predicted(X)
        decided: dict[str, Values] = {}
        for task in self.run_.tasks:
            classes = self._classes[task.name]
            if classes is None:
                decided[task.name] = as_numbers(predicted[task.name])
            else:
                likeliest = class_probabilities(predicted, task, len(classes)).argmax(axis=1)
                decided[task.name] = classes[likeliest]
        return decided


class MultiTaskClassifier(ClassifierMixin, _MultiTask):  # type: ignore[misc]
    """One network for several columns of classes, two or more each.

    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.column_stack([np.where(X[:, 0] > 0, "hot", "cold"), np.where(X[:, 0] > 0.5, "up", "down")])
    >>> model = MultiTaskClassifier(trunk="shared_bottom").fit(X, y)
    >>> model.predict([[-0.9], [0.9]]).tolist()
    [['cold', 'down'], ['hot', 'up']]
    >>> [each.tolist() for each in model.classes_]
    [['cold', 'hot'], ['down', 'up']]
    """

    predict_proba = _MultiTask._probabilities
    score = _MultiTask.score

    def _guessed(self, labels: pa.Array, name: str) -> Kind:
        check_classification_targets(labels.drop_null().to_numpy(zero_copy_only=False))
        return Binary() if len(labels.drop_null().unique()) == 2 else Multiclass()


class MultiTaskRegressor(RegressorMixin, _MultiTask):  # type: ignore[misc]
    """One network for several columns of numbers.

    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> model = MultiTaskRegressor(trunk="shared_bottom").fit(X, np.column_stack([X, 3 - X**2]))
    >>> model.predict([[0.5]]).round(0).tolist()
    [[0.0, 3.0]]
    """

    score = _MultiTask.score

    def _guessed(self, labels: pa.Array, name: str) -> Kind:
        return Regression()


class MultiTaskEstimator(_MultiTask):
    """One network for columns of several kinds: classes, quantities, counts, quantiles.

    A column's kind follows from its type, as in `polytask.fit`, unless `kinds` names it.

    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": np.linspace(20, 60, 40)})
    >>> y = pd.DataFrame({"plan": np.where(X.age > 40, "pro", "free"), "visits": X.age // 10})
    >>> model = MultiTaskEstimator(kinds={"visits": "count"}, trunk="shared_bottom").fit(X, y)
    >>> model.predict(X.head(1)).plan.tolist()
    ['free']
    """

    predict_proba = _MultiTask._probabilities

    def _guessed(self, labels: pa.Array, name: str) -> Kind:
        return infer_kind(pa.chunked_array([labels]), repr(name))[0]
