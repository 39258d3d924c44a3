"""Nothing is left untrained by default: how long is trained follows from the number of rows."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import polytask
from polytask.choices import Preset
from polytask.config import FitConfig, read_config, validate_config
from polytask.config.presets import PRESETS, with_preset
from polytask.fitting import Notice, fit_events
from polytask.fitting.budget import (
    FEWEST_STEPS,
    advice,
    budget_in_words,
    still_rises,
    with_budget,
)
from polytask.fitting.processes.threads import fastest


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [
        (20, 16, 40),
        (124, 16, 40),
        (400, 16, 40),
        (1_437, 16, 12),
        (8_000, 128, 16),
        (20_000, 256, 13),
        # As ever: the figures of Census-Income and KuaiRand-Pure rest on these.
        (180_000, 1024, 6),
        (1_200_000, 1024, 6),
    ],
)
def test_the_budget_follows_from_the_rows(rows: int, batch_size: int, epochs: int) -> None:
    config = with_budget(validate_config({}), rows)
    assert (config.batch_size, config.epochs) == (batch_size, epochs)
    steps = epochs * -(-rows // batch_size)
    assert steps >= FEWEST_STEPS or epochs == 40


def test_small_tables_have_an_ensemble_and_large_ones_cross_layers() -> None:
    small, large = (with_budget(validate_config({}), rows) for rows in (10_000, 10_001))
    assert (small.ensemble, small.cross_layers) == (8, 0)
    assert (large.ensemble, large.cross_layers) == (1, 2)
    asked = with_budget(validate_config({"ensemble": 3, "cross_layers": 0}), 50_000)
    assert (asked.ensemble, asked.cross_layers) == (3, 0)


@pytest.mark.parametrize("rows", [1_000, 50_000])
def test_a_trunk_that_reads_maps_is_one_network_without_cross_layers_and_shortcuts(
    rows: int,
) -> None:
    config = with_budget(validate_config({"trunk": {"name": "conv_mtan", "hidden": [8]}}), rows)
    assert (config.ensemble, config.cross_layers, config.shortcuts) == (1, 0, False)
    given = {"trunk": "conv_mtan", "ensemble": 2, "cross_layers": 1, "shortcuts": True}
    asked = with_budget(validate_config(given), rows)
    assert (asked.ensemble, asked.cross_layers, asked.shortcuts) == (2, 1, True)


def test_row_wise_adagrad_steps_the_ids_of_large_tables_and_where_its_rate_is_given() -> None:
    def chosen(rows: int, **given: object) -> str | None:
        return with_budget(validate_config(given), rows).embedding_optimizer

    assert (chosen(10_000), chosen(10_001)) == ("adam", "rowwise_adagrad")
    assert chosen(500, embedding_rate=0.2) == "rowwise_adagrad"
    assert chosen(20_000, embedding_optimizer="adam") == "adam"


def test_patience_is_in_steps() -> None:
    assert with_budget(validate_config({}), 180_000).patience == 3
    # 25 steps an epoch: ten validations are 250 steps.
    assert with_budget(validate_config({}), 400).patience == 10
    assert with_budget(validate_config({"validations_per_epoch": 4}), 400).patience == 40


def test_what_is_asked_for_stays() -> None:
    asked = {"epochs": 2, "batch_size": 7, "patience": 0}
    config = with_budget(validate_config(asked), 400)
    assert config.model_dump(include=set(asked)) == asked


def test_a_small_table_is_learned_by_default() -> None:
    """The truth is linear, so logistic regression on the same 400 rows is the best there is."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1000, 3))
    logits = x @ np.array([2.0, -1.5, 1.0])
    y = (random.random(1000) < 1 / (1 + np.exp(-logits))).astype(int)
    table = pa.table({**{f"x{i}": x[:, i] for i in range(3)}, "y": y})
    run = polytask.fit(
        table.slice(0, 400), "y:binary", test=table.slice(400), baseline="none", intervals=False
    )
    linear = LogisticRegression().fit(x[:400], y[:400]).predict_proba(x[400:])[:, 1]
    assert run.metrics.tasks["y"].test["auc"].value > roc_auc_score(y[400:], linear) - 0.03


def test_too_few_steps_and_rising_scores_are_said() -> None:
    config = with_budget(validate_config({"epochs": 6, "batch_size": 1024}), 398)
    assert "6 optimizer steps are too few" in advice(config, 398, [])[0]
    assert advice(with_budget(validate_config({}), 398), 398, []) == []
    rising = advice(with_budget(validate_config({}), 398), 398, [0.5, 0.6, 0.7, 0.8])
    assert "still rose" in rising[0] and "--epochs" in rising[0]
    log = with_budget(validate_config({"epochs": 4, "validations_per_epoch": 2}), 110_000)
    early = advice(log, 110_000, [0.6, 0.7, 0.69, 0.68])
    assert len(early) == 1 and "epoch 1 of 4" in early[0] and "--epochs=1 " in early[0]
    assert advice(log, 110_000, [0.6, 0.7, 0.69, 0.68, 0.71, 0.7]) == []
    # 79 steps would be too few: of the demo's log two such passes learn more than one.
    assert advice(log, 80_000, [0.6, 0.7, 0.69, 0.68]) == []
    assert not still_rises([0.5, 0.6, 0.7, 0.6])
    assert not still_rises([0.5, 0.8])


def test_a_fit_says_so_and_its_record_keeps_it() -> None:
    random = np.random.default_rng(0)
    table = pa.table({"x": random.normal(size=200), "y": random.integers(0, 2, 200)})
    options = {"tasks": ["y:binary"], "epochs": 2, "batch_size": 512, "baseline": "none"}
    *events, last = fit_events(validate_config(options), table)
    said = [event.text for event in events if isinstance(event, Notice)]
    assert said == [
        "2 optimizer steps are too few to learn much: take a smaller --batch-size or more --epochs"
    ]
    assert last.run.metrics.advice == tuple(said)


@pytest.mark.parametrize(("one", "two", "chosen"), [(0.004, 0.001, 2), (0.001, 0.004, 1)])
def test_the_faster_number_of_threads_is_chosen(one: float, two: float, chosen: int) -> None:
    now = [0]

    def take_steps() -> None:
        time.sleep({1: one, 2: two}[now[0]])

    choice = fastest(take_steps, 2, lambda threads: now.__setitem__(0, threads))
    assert choice.threads == chosen
    assert f"threads: {chosen}" in choice.in_words and "ms with 2" in choice.in_words
    assert now[0] == 2


@pytest.mark.parametrize(("rows", "members"), [(20, 8), (10_000, 8), (10_001, 1), (1_000_000, 1)])
def test_few_rows_are_learned_by_an_ensemble(rows: int, members: int) -> None:
    config = with_budget(validate_config({}), rows)
    assert config.ensemble == members
    assert ("an ensemble of 8" in budget_in_words(config, rows)) == (members == 8)
    assert with_budget(validate_config({"ensemble": 3}), rows).ensemble == 3


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_behind_what_is_given(preset: Preset) -> None:
    values = PRESETS[preset]
    assert values.keys() <= FitConfig.model_fields.keys()
    taken = with_preset(FitConfig(preset=preset))
    assert {key: getattr(taken, key) for key in values} == values
    given = with_preset(FitConfig(preset=preset, ensemble=3, cross_layers=1))
    assert (given.ensemble, given.cross_layers) == (3, 1)


def test_a_preset_reaches_the_run_and_its_file(tmp_path: Path) -> None:
    rows = pa.table({"x": [*range(400)], "y": [i % 2 for i in range(400)]})
    options = {"epochs": 1, "baseline": "none", "intervals": False, "preset": "fast"}
    run = polytask.fit(rows, "y", **options, out=tmp_path / "run")
    assert (run.config.ensemble, run.config.numeric_values) == (1, "none")
    assert with_preset(read_config(tmp_path / "run" / "run.yaml")) == run.config
