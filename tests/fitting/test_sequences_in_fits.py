"""Lists from the table to the report: target attention learns what a mean cannot, and a fit resumes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import fit_events, resume_events
from polytask.fitting.preparing.prepare import Prepared
from polytask.training.loop import TrainStep

NUM_ITEMS = 12
QUICK: Mapping[str, object] = {
    "columns": {"sequence": ["seen", "item"]},
    "epochs": 6,
    "batch_size": 64,
    "baseline": "none",
    "intervals": False,
    "threads": 1,
    "ensemble": 1,
    "num_experts": 2,
    "expert_hidden": (16,),
    "learning_rate": 2e-2,
}
TASKS = ["click:binary", "late:binary"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """A click where the item was seen before: neither the list nor the item alone says it."""
    random = np.random.default_rng(0)
    seen = [random.integers(0, NUM_ITEMS, random.integers(0, 6)).tolist() for _ in range(3000)]
    item = random.integers(0, NUM_ITEMS, 3000)
    clicks = [new in olds for olds, new in zip(seen, item)]
    rows = {"seen": seen, "item": item, "click": np.array(clicks, int)}
    late = (item > NUM_ITEMS // 2) ^ (random.random(3000) < 0.2)
    return pa.table({**rows, "late": late.astype(int)})


def test_attention_to_the_item_finds_what_a_mean_does_not(table: pa.Table, tmp_path: Path) -> None:
    run = polytask.fit(table, TASKS, out=tmp_path / "run", balancer="imtl_g", **QUICK)
    mean = polytask.fit(table, TASKS, input_options={"sequence": {"encoder": "mean"}}, **QUICK)
    found, without = (each.metrics.tasks["click"].test["auc"].value for each in (run, mean))
    assert found > 0.99 and without < 0.95
    again = polytask.load(tmp_path / "run")
    later = pa.table({"seen": [[1, None, 99], None], "item": [2, None]})
    assert again.predict(later).equals(run.predict(later))


@pytest.mark.parametrize("encoder", ["attention", "gru"])
def test_an_interrupted_fit_ends_with_the_same_bits(
    encoder: str, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table.slice(0, 500), tmp_path / "table.parquet")
    options = {
        **QUICK,
        "epochs": 2,
        "table": tmp_path / "table.parquet",
        "tasks": TASKS,
        "input_options": {"sequence": {"encoder": encoder}},
        "checkpoint_every": 2,
    }

    def fitted(out: Path, stop_after: int | None) -> dict[str, torch.Tensor]:
        steps = 0
        for event in fit_events(validate_config({**options, "out": out})):
            steps += isinstance(event, TrainStep)
            if steps == stop_after:
                break
        if stop_after is not None:
            list(resume_events(out))
        return polytask.load(out).model.state_dict()

    whole = fitted(tmp_path / "whole", None)
    parted = fitted(tmp_path / "parted", 9)
    assert all(torch.equal(whole[name], parted[name]) for name in whole)


def test_nulls_and_long_lists_are_told_and_a_list_says_what_reads_it(table: pa.Table) -> None:
    def prepared(**options: object) -> Prepared:
        config = validate_config({**QUICK, "tasks": TASKS, "valid_fraction": 0.0, **options})
        return next(event for event in fit_events(config, odd) if isinstance(event, Prepared))

    row = {"seen": [[None, 3]], "item": [1], "click": [0], "late": [0]}
    odd = pa.concat_tables([table, *[pa.table(row, schema=table.schema)] * 30])
    notes = " ".join(prepared(input_options={"sequence": {"max_length": 4}}).notes)
    assert "nulls in lists left out" in notes and "lists only the last 4 are read" in notes
    unused = prepared(columns={}).schema.unused_summary()
    assert unused is not None and "--columns=sequence=seen reads it" in unused
    with pytest.raises(UserError, match="lists and at most one plain column"):
        prepared(columns={"sequence": ["item"]})
