"""Weights go by column, value and task name; what is new starts fresh."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from polytask import Run, fit
from polytask.errors import UserError
from polytask.fitting.warm_start import warm_start

QUICK = {
    "batch_size": 512,
    "num_experts": 2,
    "expert_hidden": (8,),
    "baseline": "none",
    "intervals": False,
    "threads": 1,
}
STILL = QUICK | {"epochs": 1, "learning_rate": 1e-12}


@pytest.fixture(scope="module")
def first(clicks: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Run:
    rows = clicks.filter(pc.not_equal(clicks["category"].cast(pa.string()), "music"))
    out = tmp_path_factory.mktemp("first") / "run"
    return fit(rows, ["click", "like"], epochs=6, learning_rate=1e-2, out=out, **QUICK)


def rows_of(run: Run, name: str) -> dict[object, torch.Tensor]:
    categories = run.inputs.by_name["categorical"]
    place = categories.columns.index(name)
    rows = run.model.encoder.parts["categorical"].rows_of(place)
    return {value: rows[i + 2] for i, value in enumerate(categories.vocabularies[place].values)}


def test_shared_values_keep_their_vectors_and_new_ones_are_fresh(
    first: Run, clicks: pa.Table
) -> None:
    second = fit(clicks, ["like", "follow"], init_from=first.config.out, **STILL)
    old, new = rows_of(first, "category"), rows_of(second, "category")
    assert set(new) - set(old) == {"music"}
    for value, vector in old.items():
        torch.testing.assert_close(new[value], vector, atol=1e-8, rtol=0)
    torch.testing.assert_close(
        second.model.towers[0][0].weight, first.model.towers[1][0].weight, atol=1e-8, rtol=0
    )
    torch.testing.assert_close(
        second.model.trunk.gates[0].linear.weight[:, :8],
        first.model.trunk.gates[1].linear.weight[:, :8],
        atol=1e-8,
        rtol=0,
    )


def test_missing_and_unknown_values_keep_their_own_vectors(first: Run, clicks: pa.Table) -> None:
    """They are the first two rows of a column's table, whatever values follow."""
    second = fit(clicks, ["like", "follow"], init_from=first.config.out, **STILL)
    old, new = (
        run.model.encoder.parts["categorical"].rows_of(
            run.inputs.by_name["categorical"].columns.index("category")
        )
        for run in (first, second)
    )
    torch.testing.assert_close(new[:2], old[:2], atol=1e-8, rtol=0)
    assert (old[0] - old[1]).abs().max() > 1e-3


def test_a_table_with_other_columns_keeps_the_common_ones(first: Run, clicks: pa.Table) -> None:
    second = fit(
        clicks, ["click", "like"], ignore="device,hour", init_from=first.config.out, **STILL
    )
    old, new = rows_of(first, "category"), rows_of(second, "category")
    torch.testing.assert_close(new["news"], old["news"], atol=1e-8, rtol=0)
    places, their_places = (
        [i for i, f in enumerate(run.inputs.features()) if f.column == "category"]
        for run in (second, first)
    )
    assert len(second.inputs.features()) < len(first.inputs.features())
    weight = second.model.trunk.experts.first.weight
    theirs = first.model.trunk.experts.first.weight
    torch.testing.assert_close(weight[:, places], theirs[:, their_places], atol=1e-8, rtol=0)


def test_a_warm_start_is_ahead_of_a_cold_one(first: Run, clicks: pa.Table) -> None:
    cold = fit(clicks, ["click", "like"], **STILL)
    warm = fit(clicks, ["click", "like"], init_from=first.config.out, **STILL)
    auc = [run.metrics.tasks["click"].test["auc"].value for run in (cold, warm)]
    assert auc[1] > auc[0] + 0.03


def test_what_was_carried_is_counted_and_what_was_not_is_named(
    first: Run, clicks: pa.Table
) -> None:
    second = fit(clicks, ["like", "follow"], **STILL)
    carried = warm_start(second.model, second.inputs, first.model, first.inputs)
    trained = [name for name, _ in second.model.named_parameters() if "encoder." not in name]
    # A task that the earlier run lacks has nothing there; all else fits.
    own = [name for name in trained if name.startswith(("towers.1.", "heads.1.", "trunk.gates.1."))]
    assert sorted(carried.skipped) == sorted(own) and own
    assert carried.parameters == len(trained) - len(own)


def test_matrices_of_other_widths_are_skipped(first: Run, clicks: pa.Table) -> None:
    wide = fit(clicks, ["click", "like"], **{**STILL, "expert_hidden": (16,)})
    before = {name: value.clone() for name, value in wide.model.trunk.experts.named_parameters()}
    carried = warm_start(wide.model, wide.inputs, first.model, first.inputs)
    for name, value in wide.model.trunk.experts.named_parameters():
        assert f"trunk.experts.{name}" in carried.skipped
        assert torch.equal(value, before[name])


def test_runs_with_nothing_in_common_are_refused(first: Run) -> None:
    table = pa.table({"a": [0.5, 1.5, 2.5, 3.5] * 10, "y": [0, 1] * 20})
    with pytest.raises(UserError, match="no column"):
        fit(
            table,
            ["y"],
            init_from=first.config.out,
            trunk="shared_bottom",
            baseline="none",
            tower_hidden=(3,),
        )


def test_a_run_that_grows_knows_what_both_days_have(tmp_path: Path) -> None:
    """Day by day: ids keep their vectors although a day lacks them, new ones get some, and scales stay."""
    drawn = np.random.default_rng(0)

    def day(first: int, shift: float) -> pa.Table:
        ids = drawn.integers(first, first + 40, 1200)
        return pa.table(
            {
                "item_id": ids,
                "price": drawn.normal(shift, 1, 1200),
                "click": (drawn.random(1200) < 0.2 + 0.6 * (ids % 2)).astype(int),
            }
        )

    options = {"epochs": 2, "baseline": "none", "seed": 1}
    first = fit(day(0, 0.0), ["click"], out=tmp_path / "1", **options)  # type: ignore[arg-type]
    more = {**options, "init_from": tmp_path / "1", "epochs": 1, "learning_rate": 1e-9}
    grown = fit(day(20, 5.0), ["click"], grow=True, **more)  # type: ignore[arg-type]
    fresh = fit(day(20, 5.0), ["click"], **more)  # type: ignore[arg-type]
    assert grown.inputs.by_name["numeric"] == first.inputs.by_name["numeric"]
    known, both = (
        run.inputs.by_name["categorical"].vocabularies[0].values  # type: ignore[attr-defined]
        for run in (first, grown)
    )
    assert both[: len(known)] == known and set(both) == set(range(60))
    # Of day one, which the second day has next to no rows of, the grown run still predicts the same.
    asked = pa.table({"item_id": [*range(15)], "price": [0.1] * 15})
    due, mine, theirs = (run.predict(asked)["click"].to_numpy() for run in (first, grown, fresh))
    np.testing.assert_allclose(mine, due, atol=1e-3)
    assert np.abs(theirs - due).max() > 0.05


def test_growth_needs_a_run(tmp_path: Path) -> None:
    table = pa.table({"x": [1.5, 2.5] * 50, "click": [0, 1] * 50})
    with pytest.raises(UserError, match="init_from"):
        fit(table, ["click"], grow=True)
