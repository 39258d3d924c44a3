"""Gradient-boosted trees on the same rows: scikit-learn's histogram trees, one model a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.inputs.categories import Categories
from polytask.kinds import Kind
from polytask.streams import Batch
from polytask.study.search import Chosen
from polytask.task import Task
from polytask.training.scoring import Array

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

MOST_CATEGORIES = 255
"""As many as scikit-learn's histogram has bins; columns with more are read as numbers, by frequency."""
_ITERATIONS, _PATIENCE = 600, 20
_UNREAD = ("frequent_values",)
"""Single values of numbers, which trees find by themselves."""

Floats = NDArray[np.float32]
ToPredictions = Callable[[Kind, NDArray[np.float64]], Array]


def _events(kind: Kind, raw: NDArray[np.float64]) -> Array:
    return np.asarray(raw[:, 1], dtype=np.float32)


def _classes(kind: Kind, raw: NDArray[np.float64]) -> Array:
    return np.asarray(raw, dtype=np.float32)


def _amounts(kind: Kind, raw: NDArray[np.float64]) -> Array:
    """In the label's unit: the scale of training is undone."""
    return np.asarray(kind.predict(torch.from_numpy(raw)[:, None]).numpy(), dtype=np.float32)


def _rates(kind: Kind, raw: NDArray[np.float64]) -> Array:
    return np.asarray(raw, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Loss:
    """scikit-learn's loss of a kind, and how its output becomes a prediction."""

    name: str | None
    predictions: ToPredictions


_LOSSES: Mapping[str, _Loss] = {
    "binary": _Loss(None, _events),
    "multiclass": _Loss(None, _classes),
    "regression": _Loss("squared_error", _amounts),
    "count": _Loss("poisson", _rates),
}


def goals_with_trees(tasks: Sequence[Task]) -> list[int]:
    """The positions of the goals whose kind has a loss here."""
    return [p for p, t in enumerate(tasks) if not t.auxiliary and t.kind.name in _LOSSES]


def require_trees() -> None:
    """UserError where scikit-learn is not there."""
    try:
        import sklearn.ensemble  # noqa: F401
    except ImportError as error:
        raise UserError(
            "gradient-boosted trees need scikit-learn: pip install 'polytask[study]', or leave them out "
            "(leave_out: [trees])"
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """One task's trees."""

    model: "HistGradientBoostingClassifier | HistGradientBoostingRegressor"
    task: Task
    inputs: FittedInputs

    @property
    def num_leaves(self) -> int:
        """Numbers that were learned: a value a leaf."""
        grown_trees = [tree for round_ in self.model._predictors for tree in round_]
        return sum(int(tree.get_n_leaf_nodes()) for tree in grown_trees)

    def predict(self, batch: Batch) -> Array:
        """In the label's own unit, as a network's predictions are."""
        x_BC, _ = features(batch, self.inputs)
        loss = _LOSSES[self.task.kind.name]
        if loss.name is not None:
            return loss.predictions(self.task.kind, self.model.predict(x_BC).astype(np.float64))
        found = self.model.predict_proba(x_BC)
        raw = np.zeros((len(found), max(self.task.kind.num_classes, 2)))
        raw[:, self.model.classes_.astype(int)] = found
        return loss.predictions(self.task.kind, raw)


def grown(
    task: Task, train: Batch, valid: Batch, inputs: FittedInputs, chosen: Chosen, seed: int
) -> Trees:
    """Trees that were stopped by the validation rows, with the options of a trial."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    loss = _LOSSES[task.kind.name]
    _, categorical = features(train[:1], inputs)
    options = {
        "learning_rate": float(chosen["learning_rate"]),
        "max_leaf_nodes": int(float(chosen["leaves"])),
        "min_samples_leaf": int(float(chosen["rows_a_leaf"])),
        "l2_regularization": float(chosen["l2"]),
        "max_iter": _ITERATIONS,
        "early_stopping": True,
        "n_iter_no_change": _PATIENCE,
        "categorical_features": categorical,
        "random_state": seed,
    }
    if loss.name is None:
        model = HistGradientBoostingClassifier(**options)
    else:
        model = HistGradientBoostingRegressor(loss=loss.name, **options)
    x_BC, y_B, weight_B = _labelled(task, train, inputs)
    valid_x, valid_y, valid_weight = _labelled(task, valid, inputs)
    model.fit(x_BC, y_B, weight_B, X_val=valid_x, y_val=valid_y, sample_weight_val=valid_weight)
    if task.kind.needs_calibration:
        outputs_BO = torch.from_numpy(model.predict(x_BC).astype(np.float64))[:, None]
        kind = task.kind.calibrated(outputs_BO, torch.from_numpy(y_B), torch.from_numpy(weight_B))
        task = Task(task.name, task.column, kind)
    return Trees(model, task, inputs)


def features(batch: Batch, inputs: FittedInputs) -> tuple[Floats, list[bool]]:
    """(B, C) of what trees can read of the encoded rows, and which columns are categories.

    Numbers are as they are encoded, which keeps their order; ids are categories where there are few
    enough, else numbers that rise as values get rarer. What has no column of its own is left out.
    """
    columns: list[Floats] = []
    categorical: list[bool] = []
    for name, one in inputs.by_name.items():
        tensor = batch.inputs[name]
        if name in _UNREAD or tensor.ndim != 2:
            continue
        columns.append(tensor.numpy().astype(np.float32))
        if isinstance(one, Categories):
            categorical += [each.num_ids <= MOST_CATEGORIES for each in one.vocabularies]
        elif tensor.is_floating_point():
            categorical += [False] * tensor.shape[1]
        else:
            columns.pop()
    if not columns:
        raise UserError("trees find no column that they can read among the inputs")
    return np.concatenate(columns, axis=1), categorical


def unread_inputs(batch: Batch, inputs: FittedInputs) -> list[str]:
    """The inputs that trees do without."""
    return [
        name
        for name, one in inputs.by_name.items()
        if name not in _UNREAD
        and (
            batch.inputs[name].ndim != 2
            or not (isinstance(one, Categories) or batch.inputs[name].is_floating_point())
        )
    ]


def _labelled(
    task: Task, batch: Batch, inputs: FittedInputs
) -> tuple[Floats, NDArray[np.float64], NDArray[np.float64]]:
    """x, labels as the loss reads them, and weights of the rows with a label."""
    labels_B = batch.labels[task.name]
    kept_B = task.kind.is_labelled(labels_B)
    weight_B = batch.weights.get(task.name)
    x_BC, _ = features(batch, inputs)
    y_B = labels_B[kept_B].double().numpy()
    if task.kind.has_one_logit:
        y_B = (y_B >= 0.5).astype(np.float64)
    weights = np.ones(len(y_B)) if weight_B is None else weight_B[kept_B].double().numpy()
    return x_BC[kept_B.numpy()], y_B, weights
