"""A bag: networks trained apart, their outputs averaged, each judged on rows that it has not seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask import Run, UserError, fit, load
from polytask.config import FitConfig, validate_config
from polytask.config.presets import with_preset
from polytask.fitting import ModelStarted, fit_events, prepare, resume_events
from polytask.fitting.bagging import bagged
from polytask.fitting.plan import ModelPlan
from polytask.fitting.planning import plans_of
from polytask.model import Bag
from polytask.streams import Batch
from polytask.study import run_study, validate_study
from polytask.training.loop import TrainStep
from polytask.training.scoring import TaskRows
from polytask.transfer import measure

QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 64,
    "ensemble": 1,
    "num_experts": 2,
    "expert_hidden": (8,),
    "tower_hidden": (4,),
    "intervals": False,
    "threads": 1,
}
TASKS = ["click:binary", "like:binary"]


@pytest.fixture(scope="module")
def rows(clicks: pa.Table) -> pa.Table:
    return clicks.slice(0, 1200)


@pytest.fixture(scope="module")
def run(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bag") / "run"
    return fit(rows, TASKS, bag=3, out=folder, after="follow", **QUICK)


def plans(rows: pa.Table, **options: object) -> list[ModelPlan]:
    config = validate_config({"tasks": TASKS, "after": "follow", **QUICK, **options})
    prepared = prepare(config, rows)
    return bagged(plans_of(prepared.config, prepared), prepared)


def numbers(batch: Batch | None) -> set[tuple[float, ...]]:
    assert batch is not None
    return {tuple(row) for row in batch.inputs["numeric"].nan_to_num().tolist()}


def test_a_bag_predicts_the_mean_logit_of_its_networks(run: Run, rows: pa.Table) -> None:
    bag = run.model
    assert isinstance(bag, Bag) and len(bag.networks) == 3
    single = [
        replace(run, model=network).predict(rows)["click"].to_numpy() for network in bag.networks
    ]  # type: ignore[arg-type]
    assert np.abs(single[0] - single[1]).max() > 1e-3
    logits = np.mean([np.log(p / (1 - p)) for p in np.float64(single)], axis=0)
    np.testing.assert_allclose(
        run.predict(rows)["click"].to_numpy(), 1 / (1 + np.exp(-logits)), atol=1e-5
    )


def test_a_bag_is_read_back_bit_for_bit(run: Run, rows: pa.Table) -> None:
    assert run.config.out is not None
    again = load(run.config.out)
    assert isinstance(again.model, Bag)
    assert again.predict(rows).equals(run.predict(rows))
    assert again.evaluate(rows) == run.evaluate(rows)


def test_few_rows_are_held_out_in_turns(rows: pa.Table) -> None:
    found = plans(rows, bag=4)
    assert [plan.role for plan in found] == [*["member"] * 3, "main"] + 2 * [
        *["member"] * 3,
        "baseline",
    ]
    main, members = found[3], found[:3]
    assert main.bag == tuple(member.name for member in members)
    assert len({plan.config.seed for plan in found[:4]}) == 4
    held_out = [numbers(plan.valid) for plan in [main, *members]]
    assert sum(map(len, held_out)) == len(set.union(*held_out))
    for plan, out in zip([main, *members], held_out):
        assert not numbers(plan.train) & out
        assert numbers(plan.train) | out == numbers(main.train) | held_out[0]
    assert [numbers(one) for one in main.held_out_apart] == held_out[1:]


@pytest.mark.parametrize(
    "options",
    [
        {"split_by": "user_id"},
        {"group": "user_id"},
        {"time_column": "hour", "valid_from": "20", "test_from": "22", "ignore": "hour"},
        {"valid_fraction": 0.0},
        {"auxiliary": "replaced_values"},
    ],
)
def test_rows_that_may_not_change_places_stay(rows: pa.Table, options: dict[str, Any]) -> None:
    *members, main = plans(rows, bag=3, baseline="none", **options)
    assert not main.held_out_apart and len(members) == 2
    assert all(plan.train is main.train and plan.valid is main.valid for plan in members)


def test_more_networks_than_rows_have_the_same_rows(rows: pa.Table) -> None:
    *members, main = plans(rows.slice(0, 200), bag=300, baseline="none")
    assert len(members) == 299 and all(plan.train is main.train for plan in members)


def test_many_rows_stay_in_their_parts(rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polytask.fitting.bagging.MOST_ROWS_OF_FOLDS", 100)
    *members, main = plans(rows, bag=3, baseline="none")
    assert all(plan.valid is main.valid for plan in members)


def test_each_row_is_judged_by_the_network_that_has_not_seen_it() -> None:
    """Labels are noise, and each row has a category of its own to learn it by heart from."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 60, 600)
    table = pa.table(
        {
            **{
                f"code_{n}": pa.array((codes * (n + 3) + generator.integers(0, 9, 600)).astype(str))
                for n in range(6)
            },
            "yes": generator.integers(0, 2, 600),
        }
    )
    options = QUICK | {"epochs": 60, "patience": 0, "num_experts": 1, "expert_hidden": (64,)}
    run = fit(
        table, ["yes:binary"], bag=5, test_fraction=0.0, baseline="none", min_count=1, **options
    )
    valid = run.metrics.tasks["yes"].valid
    assert valid["auc"].value < 0.6
    # The whole bag has seen every row but its first network's.
    assert run.evaluate(table)["yes"]["auc"].value > 0.75


def test_the_record_counts_all_networks(run: Run, rows: pa.Table) -> None:
    alone = fit(rows, TASKS, after="follow", **QUICK)
    ours, one = run.metrics.cost, alone.metrics.cost
    assert ours.single_task is not None and one.single_task is not None
    assert ours.multi_task.parameters == 3 * one.multi_task.parameters
    assert ours.single_task.parameters == 3 * one.single_task.parameters
    # A tenth of the rows each, of which none is another's.
    assert len(run.metrics.tasks) == 2


def test_the_report_says_that_it_is_a_mean(run: Run) -> None:
    assert run.config.out is not None
    page = (run.config.out / "report.html").read_text()
    assert "3 networks averaged" in page and "trained with one seed" not in page


def test_a_smearing_factor_is_that_of_the_mean(log: pa.Table) -> None:
    """exp of a mean of outputs is not the mean of exps: the factor is of the bag, not of a network."""
    table = log.slice(0, 1500)
    run = fit(
        table,
        ["watch=watch_seconds:regression"],
        transform={"watch": "log1p"},
        bag=3,
        baseline="none",
        test_fraction=0.0,
        valid_fraction=0.0,
        **QUICK,
    )
    task = run.tasks[0]
    plain = replace(task, kind=replace(task.kind, smearing_factor=1.0))  # type: ignore[call-arg]
    assert isinstance(run.model, Bag)
    run.model.tasks = (plain,)
    outputs = np.log1p(np.float64(run.predict(table)["watch"].to_numpy()))
    residuals = np.log1p(table["watch_seconds"].to_numpy()) - outputs
    assert task.kind.smearing_factor == pytest.approx(np.exp(residuals).mean(), rel=1e-4)  # type: ignore[attr-defined]


def test_stopped_in_any_network_the_end_is_the_same(
    rows: pa.Table, tmp_path: Path, run: Run
) -> None:
    assert run.config.out is not None
    for number in (0, 1, 2, 4):
        config = validate_config(
            {"tasks": TASKS, "bag": 3, "after": "follow", "out": tmp_path / f"run_{number}"} | QUICK
        )
        started = -1
        for event in fit_events(config, rows):
            started += isinstance(event, ModelStarted)
            if started == number and isinstance(event, TrainStep) and event.step == 20:
                break
        for _ in resume_events(tmp_path / f"run_{number}", table=rows):
            pass
        again = load(tmp_path / f"run_{number}")
        assert again.predict(rows).equals(run.predict(rows))
        assert again.metrics.tasks == run.metrics.tasks


def test_a_warm_start_takes_the_first_network(run: Run, rows: pa.Table) -> None:
    assert run.config.out is not None
    later = fit(
        rows,
        TASKS,
        after="follow",
        init_from=run.config.out,
        baseline="none",
        **QUICK | {"learning_rate": 1e-12},
    )
    assert isinstance(run.model, Bag)
    theirs, ours = run.model.first.state_dict(), later.model.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)


def test_extra_losses_are_no_part_of_the_weights(rows: pa.Table, tmp_path: Path) -> None:
    fit(
        rows,
        TASKS,
        after="follow",
        bag=2,
        auxiliary="masked_columns",
        baseline="none",
        out=tmp_path / "run",
        **QUICK,
    )
    loaded = load(tmp_path / "run").model
    assert not [name for name in loaded.state_dict() if "objectives" in name]


def test_best_is_five_networks() -> None:
    assert with_preset(FitConfig(preset="best")).bag == 5
    assert with_preset(FitConfig(preset="best", bag=2)).bag == 2


@pytest.mark.parametrize("room", ["study", "transfer"])
def test_a_comparison_has_no_bag(room: str, rows: pa.Table, tmp_path: Path) -> None:
    """Neither by its name nor by a preset."""
    options = {"tasks": TASKS, "after": "follow", "preset": "best"} | QUICK
    with pytest.raises(UserError, match="single networks"):
        if room == "study":
            run_study(validate_study({"fit": options, "seeds": 3, "out": tmp_path / "s"}), rows)
        else:
            measure(rows, TASKS, **{k: v for k, v in options.items() if k != "tasks"})


def test_the_rows_of_a_fold_are_scored_as_they_are(run: Run, rows: pa.Table) -> None:
    """The validation score of the record, anew: each fold by its own network."""
    found = plans(rows, bag=3, baseline="none")
    main, members = found[-1], found[:-1]
    assert isinstance(run.model, Bag)
    scores, labels = [], []
    for network, plan in zip(run.model.networks, [main, *members]):
        assert plan.valid is not None
        with torch.no_grad():
            scores.append(network.eval()(plan.valid.inputs).outputs[0][:, 0])
        labels.append(plan.valid.labels["click"])
    both = TaskRows(
        run.tasks[0], torch.cat(scores).sigmoid().numpy(), torch.cat(labels).numpy(), None, None
    )
    assert run.metrics.tasks["click"].valid["auc"].value == pytest.approx(both.metric("auc"))
