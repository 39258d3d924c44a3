"""Macro F1 against scikit-learn's, on classes that rows have, and its place among resamples."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from polytask.kinds import Tags
from polytask.metrics import evaluate

KIND = Tags(classes=("a", "b", "c", "d"))


def drawn(seed: int, number: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels_B = random.choice(4, number, p=[0.6, 0.3, 0.1, 0.0]).astype(float)
    logits_BC = random.normal(size=(number, 4)) + 1.5 * np.eye(4)[labels_B.astype(int)]
    return np.exp(logits_BC) / np.exp(logits_BC).sum(axis=1, keepdims=True), labels_B


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns_mean_over_the_classes_that_are_there(seed: int) -> None:
    predictions_BC, labels_B = drawn(seed)
    weights_B = np.random.default_rng(seed).integers(1, 4, len(labels_B))
    found = evaluate(KIND, predictions_BC, labels_B, weights=weights_B)
    expected = f1_score(
        labels_B,
        predictions_BC.argmax(axis=1),
        labels=np.unique(labels_B),
        average="macro",
        sample_weight=weights_B,
        zero_division=0,
    )
    metric = found["macro_f1"]
    assert metric.value == pytest.approx(expected)
    assert metric.low < metric.value < metric.high


def test_a_class_unknown_to_training_is_a_miss_and_no_class() -> None:
    predictions_BC, labels_B = drawn(0)
    labels_B[:20] = -1
    found = evaluate(KIND, predictions_BC, labels_B, intervals=False)
    expected = f1_score(labels_B, predictions_BC.argmax(axis=1), labels=[0, 1, 2], average="macro")
    assert found["macro_f1"].value == pytest.approx(expected)
