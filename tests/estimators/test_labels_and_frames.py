"""Known answers through `fit` and `predict`: classes as they are spelt, frames with their index."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from forked import Forked
from polytask.errors import UserError
from polytask.sklearn import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor

FAST = {"trunk": "shared_bottom", "epochs": 25, "batch_size": 16, "threads": 1}


@pytest.fixture(scope="module")
def X() -> pd.DataFrame:
    values = np.linspace(-1, 1, 120)
    return pd.DataFrame({"a": values, "b": np.cos(9 * values)}, index=range(500, 620))


@pytest.fixture(scope="module")
def y(X: pd.DataFrame) -> pd.DataFrame:
    plan = np.select([X.a < -0.3, X.a < 0.3], ["basic", "free"], "pro")
    columns = {"plan": plan, "paid": X.a > 0, "cost": 10 + 4 * X.a}
    return pd.DataFrame(columns, index=X.index)


@pytest.fixture(scope="module")
def mixed(X: pd.DataFrame, y: pd.DataFrame) -> MultiTaskEstimator:
    return MultiTaskEstimator(**FAST, learning_rate=1e-2).fit(X, y)


def test_a_mixed_frame_comes_back_with_its_names_classes_and_index(
    mixed: MultiTaskEstimator, X: pd.DataFrame, y: pd.DataFrame
) -> None:
    predicted = mixed.predict(X)
    assert isinstance(predicted, pd.DataFrame)
    assert predicted.index.equals(X.index) and list(predicted) == list(y)
    assert [task.kind.name for task in mixed.run_.tasks] == ["multiclass", "binary", "regression"]
    assert (predicted.plan == y.plan).mean() > 0.9
    assert (predicted.paid == y.paid).mean() > 0.9
    assert np.abs(predicted.cost - y.cost).mean() < 0.5
    assert mixed.score(X, y) > 0.9


def test_probabilities_stand_in_the_order_of_the_classes(
    mixed: MultiTaskEstimator, X: pd.DataFrame
) -> None:
    plan, paid, cost = mixed.predict_proba(X)
    assert mixed.classes_[0].tolist() == ["basic", "free", "pro"] and cost is None
    assert mixed.classes_[1].tolist() == [False, True]
    assert plan[0].argmax() == 0 and plan[-1].argmax() == 2
    assert paid[0, 0] > 0.9 and paid[-1, 1] > 0.9


def test_polars_in_polars_out(mixed: MultiTaskEstimator, X: pd.DataFrame) -> None:
    predicted = mixed.predict(pl.DataFrame({name: X[name].to_numpy() for name in X}))
    assert isinstance(predicted, pl.DataFrame)
    assert predicted["plan"].to_list() == mixed.predict(X).plan.tolist()


def test_a_pickled_estimator_predicts_the_same(mixed: MultiTaskEstimator, X: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(mixed)).predict(X), mixed.predict(X))


def test_arrays_for_arrays_and_options_through_clone(X: pd.DataFrame, y: pd.DataFrame) -> None:
    model = clone(MultiTaskRegressor(**FAST, options={"tower_hidden": (8,)}))
    predicted = model.fit(X.to_numpy(), np.column_stack([y.cost, -y.cost])).predict(X.to_numpy())
    assert predicted.shape == (120, 2) and model.run_.config.tower_hidden == (8,)
    assert np.corrcoef(predicted[:, 0], y.cost)[0, 1] > 0.95
    assert np.corrcoef(predicted[:, 1], y.cost)[0, 1] < -0.95


def test_a_frame_predicts_like_its_array(X: pd.DataFrame, y: pd.DataFrame) -> None:
    whole = (3 * X).round()
    frame = MultiTaskRegressor(**FAST).fit(whole, y.cost).predict(whole)
    array = MultiTaskRegressor(**FAST).fit(whole.to_numpy(), y.cost).predict(whole.to_numpy())
    np.testing.assert_array_equal(frame, array)


def test_a_missing_label_trains_nothing_and_is_not_scored(X: pd.DataFrame, y: pd.DataFrame) -> None:
    plan = y.plan.where(y.plan != "free")
    model = MultiTaskClassifier(**FAST, learning_rate=1e-2).fit(X, plan)
    assert model.classes_.tolist() == ["basic", "pro"]
    known = plan.notna()
    right = accuracy_score(plan[known], model.predict(X)[known])
    assert model.score(X, plan) == right


def test_kinds_are_named_by_column(X: pd.DataFrame, y: pd.DataFrame) -> None:
    visits = y[["cost"]].round().rename(columns={"cost": "visits"})
    model = MultiTaskEstimator(kinds={"visits": "count"}, **FAST).fit(X, visits)
    assert model.run_.tasks[0].kind.name == "count"


def test_a_label_among_the_inputs_is_refused(X: pd.DataFrame, y: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="'cost' names a column of X and one of y"):
        MultiTaskRegressor(**FAST).fit(X.assign(cost=y.cost), y.cost)


def test_rows_of_weight_zero_do_not_count(X: pd.DataFrame, y: pd.DataFrame) -> None:
    wrong = y.cost.where(X.a < 0, -1000.0)
    model = MultiTaskRegressor(**FAST).fit(X, wrong, sample_weight=(X.a < 0).astype(float))
    unweighted = MultiTaskRegressor(**FAST).fit(X, wrong)
    assert np.median(model.predict(X[X.a > 0.5])) > np.median(unweighted.predict(X[X.a > 0.5]))


def test_polytask_itself_does_not_import_scikit_learn(forked_torch: Forked, tmp_path: Path) -> None:
    code = "import sys, polytask; polytask.fit; assert 'sklearn' not in sys.modules"
    forked_torch.script(code, tmp_path).ended()
