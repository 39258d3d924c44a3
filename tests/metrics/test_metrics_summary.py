"""Delta_m in both conventions, mean rank and MTL gain against the golden tables of the literature."""

import json

import numpy as np
import pytest
from scipy.stats import rankdata

from polytask.errors import UserError
from polytask.metrics import delta_m, mean_rank, mtl_gain

NYUV2_TASKS = ["segmentation"] * 2 + ["depth"] * 2 + ["normals"] * 5


@pytest.fixture(scope="module")
def goldens(goldens_folder):
    return json.loads((goldens_folder / "metrics.json").read_text())


def test_delta_m_in_both_conventions_on_nyuv2(goldens):
    table = goldens["nyuv2"]
    better = [bool(h) for h in table["higher_better"]]
    for row in table["methods"].values():
        per_metric = delta_m(row["values"], table["stl"], better, convention="per_metric")
        assert per_metric == pytest.approx(row["delta_m_drop"], abs=1e-10)
        per_task = delta_m(
            row["values"], table["stl"], better, convention="per_task", tasks=NYUV2_TASKS
        )
        assert per_task == pytest.approx(row["delta_m_per_task_first"], abs=1e-10)


def test_the_conventions_differ_in_sign_for_equal_weights(goldens):
    table = goldens["nyuv2"]
    better = [bool(h) for h in table["higher_better"]]
    values = table["methods"]["LS"]["values"]
    assert delta_m(values, table["stl"], better, convention="per_metric") > 5
    assert delta_m(values, table["stl"], better, convention="per_task", tasks=NYUV2_TASKS) < -0.8


def test_mean_rank_on_nyuv2(goldens):
    table = goldens["nyuv2"]
    rows = list(table["methods"].values())
    ranks = mean_rank([row["values"] for row in rows], [bool(h) for h in table["higher_better"]])
    expected = [row["mean_rank_among_these_11"] for row in rows]
    np.testing.assert_allclose(ranks, expected, atol=1e-12)


def test_mean_rank_shares_ranks_among_ties():
    random = np.random.default_rng(0)
    values = random.integers(0, 4, (9, 5)).astype(float)
    better = [True, False, True, False, False]
    costs = np.where(better, -values, values)
    expected = np.mean([rankdata(column) for column in costs.T], axis=0)
    np.testing.assert_allclose(mean_rank(values, better), expected, atol=1e-12)


def test_mtl_gain(goldens):
    for row in goldens["mtl_gain"]:
        is_better = row["kind"] == "positive"
        gain = mtl_gain(row["mtl"], row["single"], higher_is_better=is_better)
        assert gain == pytest.approx(row["gain"], abs=1e-10)


def test_what_cannot_be_summed_up_is_refused():
    with pytest.raises(UserError, match="tasks"):
        delta_m([1.0], [2.0], [True], convention="per_task")
    with pytest.raises(UserError, match="other than 0"):
        delta_m([1.0], [0.0], [True], convention="per_metric")
    with pytest.raises(UserError, match="one entry a metric"):
        delta_m([1.0, 2.0], [1.0], [True, True], convention="per_metric")
    with pytest.raises(UserError, match="methods, metrics"):
        mean_rank([1.0, 2.0], [True, True])
