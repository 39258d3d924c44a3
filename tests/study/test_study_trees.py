"""Trees read what networks read, and predict in the label's own unit."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.config import validate_config
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.study.search import tree_space
from polytask.study.trees import features, goals_with_trees, grown, unread_inputs
from polytask.training.scoring import TaskRows

CHOSEN = tree_space().defaults


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """A yes/no, a class, an amount on its logarithm and a count, all of a number and a category."""
    rng = np.random.default_rng(0)
    rows = 3000
    x_B = rng.normal(size=rows)
    place_B = rng.integers(0, 4, size=rows)
    signal_B = np.abs(x_B) + place_B
    table = pa.table(
        {
            "x": x_B,
            "place": np.array(["north", "east", "south", "west"])[place_B],
            "code": np.char.add("c", rng.integers(0, 400, size=rows).astype(str)),
            "click": (signal_B + rng.normal(size=rows) > 2).astype(np.int64),
            "topic": np.array(["a", "b", "c"])[
                (signal_B + rng.normal(size=rows)).clip(0, 2).astype(int)
            ],
            "spent": np.exp(signal_B + 0.3 * rng.normal(size=rows)),
            "visits": rng.poisson(signal_B),
        }
    )
    return prepare(
        validate_config(
            {
                "tasks": ["click", "topic", "spent:regression", "visits:count"],
                "transform": "spent=log1p",
                "inputs": ["x", "place", "code"],
                "min_count": 1,
            }
        ),
        table,
    )


def test_categories_are_categories_unless_there_are_too_many(prepared: Prepared) -> None:
    x_BC, categorical = features(prepared.train, prepared.inputs)
    columns = [c for one in prepared.inputs.by_name.values() for c in one.columns]
    assert columns[:3] == ["place", "code", "x"]
    assert categorical == [True, False, False] and x_BC.shape[1] == 3
    assert unread_inputs(prepared.train, prepared.inputs) == []
    assert goals_with_trees(prepared.tasks) == [0, 1, 2, 3]


@pytest.mark.parametrize("position", range(4))
def test_predictions_are_in_the_label_s_unit_and_good(prepared: Prepared, position: int) -> None:
    task = prepared.tasks[position]
    trees = grown(task, prepared.train, prepared.valid, prepared.inputs, CHOSEN, 0)
    rows = TaskRows.of(task, trees.predict(prepared.test), prepared.test)
    assert rows.metric(task.kind.main_metric) > {"regression": 0.5}.get(task.kind.name, 0.7)
    if task.kind.name in ("regression", "count"):
        # The mean of predictions is that of the labels: the logarithm's bias is undone.
        assert rows.metric("calibration") == pytest.approx(1, abs=0.12)
    assert trees.num_leaves > 10


def test_missing_labels_are_left_out(prepared: Prepared) -> None:
    task = prepared.tasks[0]
    some = prepared.train
    labels_B = some.labels["click"].clone()
    labels_B[::2] = torch.nan
    half = type(some)(some.inputs, {**some.labels, "click": labels_B})
    fewer = grown(task, half, prepared.valid, prepared.inputs, CHOSEN, 0)
    whole = grown(
        task, some[torch.arange(1, len(some), 2)], prepared.valid, prepared.inputs, CHOSEN, 0
    )
    assert np.allclose(fewer.predict(prepared.test), whole.predict(prepared.test))
