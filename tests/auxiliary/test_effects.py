"""--compare-auxiliary: what an extra loss did to the goals, in pairs of trainings of one seed each."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import polytask
from polytask.config import validate_config
from polytask.fitting import prepare
from polytask.fitting.fitting import fit_events
from polytask.fitting.pairs import with_and_without
from polytask.records import AuxiliaryRecord, read_metrics, write_metrics
from polytask.report import write_report

OPTIONS = {
    "batch_size": 64,
    "epochs": 2,
    "baseline": "none",
    "threads": 1,
    "ensemble": 1,
    "trunk": {"name": "shared_bottom", "hidden": [8]},
    "log_every": 1,
}
SPECS = ["replaced_values", {"name": "adversarial", "column": "site", "weight": 0.05}]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(0)
    x = random.normal(size=600)
    return pa.table(
        {
            "x": x,
            "y": x + random.normal(size=600),
            "site": random.choice(["web", "app", "mail"], 600, p=[0.6, 0.3, 0.1]).tolist(),
            "yes": (x + random.normal(size=600) > 0).astype(int),
            "also": x + random.normal(size=600),
        }
    )


def test_the_gain_is_that_of_fits_by_hand(table: pa.Table, tmp_path: Path) -> None:
    """With and without, under seeds 3 and 4, on the same test rows."""
    common = {**OPTIONS, "ignore": "site"}
    asked = {"auxiliary": [*SPECS, "also"], "compare_auxiliary": 2, "out": tmp_path / "run"}
    run = polytask.fit(table, ["yes"], seed=3, **common, **asked)
    record = run.metrics.auxiliary
    assert record is not None and record.num_seeds == 2 and record.part == "test"
    values = {}
    for name, options in (("with", {"auxiliary": asked["auxiliary"]}), ("without", {})):
        ignored = {"ignore": "site,also"} if name == "without" else {}
        values[name] = [
            polytask.fit(table, ["yes"], seed=seed, **{**common, **options, **ignored})
            .metrics.tasks["yes"]
            .test["auc"]
            .value
            for seed in (3, 4)
        ]
    (effect,) = record.effects
    assert effect.task == "yes" and effect.title == "AUC"
    assert effect.with_them == pytest.approx(np.mean(values["with"]), abs=1e-6)
    assert effect.without == pytest.approx(np.mean(values["without"]), abs=1e-6)
    assert effect.gain.value == pytest.approx(effect.with_them - effect.without, abs=1e-6)
    assert effect.gain.low < effect.gain.value < effect.gain.high
    assert set(run.metrics.tasks) == {"yes"}
    assert read_metrics(tmp_path / "run").auxiliary == record


def test_losses_are_told_with_the_accuracy_of_chance(table: pa.Table, tmp_path: Path) -> None:
    run = polytask.fit(table, ["yes", "also"], auxiliary=SPECS, out=tmp_path / "run", **OPTIONS)
    record = run.metrics.auxiliary
    replaced, adversarial = record.losses
    assert replaced.accuracy is replaced.chance is None
    assert adversarial.chance == pytest.approx(0.6, abs=0.05)
    assert 0.2 < adversarial.accuracy < 0.8
    page = (tmp_path / "run" / "report.html").read_text()
    section = page[page.index('id="auxiliary"') : page.index('id="calibration"')]
    assert section.count("<svg") == 2 and "--compare-auxiliary=3" in section
    assert re.search(r"always saying the most frequent would tell 6\d", section)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.01, 0.03, "It helped yes."), (-0.03, -0.01, "It harmed yes."), (-1, 1, "No effect was")],
)
def test_the_report_says_what_the_interval_says(
    table: pa.Table, tmp_path: Path, low: float, high: float, said: str
) -> None:
    options = {**OPTIONS, "auxiliary": "replaced_values", "compare_auxiliary": 1}
    run = polytask.fit(table, ["yes"], out=tmp_path / "run", ignore="also", **options)
    record: AuxiliaryRecord = run.metrics.auxiliary
    gain = replace(record.effects[0].gain, value=(low + high) / 2, low=low, high=high)
    changed = replace(record, effects=(replace(record.effects[0], gain=gain),))
    write_metrics(tmp_path / "run", replace(run.metrics, auxiliary=changed))
    write_report(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert said in page and "another seed may reverse it" in page


def test_every_seed_has_a_stage_of_its_own_before(table: pa.Table) -> None:
    config = validate_config(
        {
            "tasks": ["yes", "also"],
            "pretrain": "also",
            "compare_auxiliary": 2,
            "seed": 7,
            **OPTIONS,
        }
    )
    prepared = prepare(config, table)
    plans = with_and_without(prepared.config, prepared)
    assert [(plan.name, plan.role, plan.config.seed) for plan in plans] == [
        ("without, seed 7", "without", 7),
        ("pre-training, seed 8", "stage", 8),
        ("with, seed 8", "with", 8),
        ("without, seed 8", "without", 8),
    ]
    assert plans[2].start.source == "pre-training, seed 8" and plans[3].start is None


def test_a_stopped_comparison_resumes(table: pa.Table, tmp_path: Path) -> None:
    options = {**OPTIONS, "auxiliary": "replaced_values", "compare_auxiliary": 2, "ignore": "also"}
    whole = polytask.fit(table, ["yes"], out=tmp_path / "whole", **options)
    config = validate_config({"tasks": ["yes"], "out": tmp_path / "half", **options})
    events, steps = fit_events(config, table), 0
    for event in events:
        steps += type(event).__name__ == "TrainStep"
        if steps == 34:
            break
    events.close()
    again = polytask.resume(tmp_path / "half", table)
    ours, theirs = again.metrics.auxiliary, whole.metrics.auxiliary
    assert ours.effects == theirs.effects


def test_nothing_to_leave_out(table: pa.Table) -> None:
    run = polytask.fit(table, ["yes"], ignore="also", **OPTIONS)
    assert run.metrics.auxiliary is None
