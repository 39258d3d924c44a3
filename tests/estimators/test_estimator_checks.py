"""scikit-learn's own checks, and the examples of the docstrings."""

import doctest

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import check_estimator

from polytask.sklearn import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor, estimators

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn by row: a row that stands "
    "twice is in other batches than a row of weight 2",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MultiTaskClassifier, MultiTaskRegressor, MultiTaskEstimator])
def test_scikit_learn_accepts_the_estimator(kind: type[BaseEstimator]) -> None:
    estimator = kind(trunk="shared_bottom", epochs=20, batch_size=16, learning_rate=1e-2, threads=1)
    check_estimator(estimator, on_skip=None, expected_failed_checks=EXPECTED_FAILURES)


def test_examples_show_what_they_say() -> None:
    assert doctest.testmod(estimators).failed == 0
