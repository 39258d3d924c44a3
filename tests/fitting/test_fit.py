"""fit, and what it leaves behind: metrics, folder, predictions that survive saving."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

import polytask
from polytask import Run, fit, load
from polytask.config import validate_config
from polytask.errors import UserError
from polytask.fitting import ModelStarted, Notice, fit_events
from polytask.report import write_report
from polytask.training.run import TrainingRun

QUICK = {
    "epochs": 1,
    "batch_size": 512,
    "num_experts": 2,
    "expert_hidden": (8,),
    "intervals": False,
    "baseline": "none",
    "threads": 1,
}


def test_a_run_says_what_was_promised(fitted: Run) -> None:
    tasks = fitted.metrics.tasks
    assert list(tasks) == ["click", "like", "watch", "follow"]
    for result in tasks.values():
        assert result.single is not None
        for scores in (result.multi, result.single):
            assert scores.valid is not None and scores.test is not None
    for scores in (tasks["click"].multi, tasks["click"].single):
        auc = scores.test["auc"]
        assert 0 <= auc.low <= auc.value <= auc.high <= 1
        assert (auc.direction, auc.title) == ("higher", "AUC")
        assert scores.test.num_groups > 0 and "gauc" in scores.test
    assert tasks["watch"].test["mae"].value > 0
    assert 0 < tasks["follow"].test["accuracy"].value <= 1
    assert 0 < tasks["like"].test["conditional_auc"].value < 1
    assert "conditional_auc" not in tasks["like"].single.test
    gain = tasks["click"].gain("auc")
    difference = tasks["click"].test["auc"].value - tasks["click"].single.test["auc"].value
    assert gain.value == pytest.approx(difference, abs=1e-9)
    assert tasks["click"].gain("no such metric") is None


def test_a_run_says_what_it_cost_and_where_it_was_made(fitted: Run) -> None:
    record = fitted.metrics
    assert record.speed.train_rows_per_second > 0
    assert record.test_evaluations == 1
    assert record.environment.threads == 1
    assert record.cost.single_task.parameters > record.cost.multi_task.parameters
    assert record.num_single_models == 4 and record.reported_part == "test"
    assert record.created.startswith("20") and record.created.endswith("+00:00")
    labels = {label.task: label for label in record.data.labels}
    base_rate = record.tasks["click"].test.mean_label
    assert labels["click"].mean == pytest.approx(base_rate, abs=0.1)
    assert labels["watch"].transform == "log1p" and labels["like"].given == "click"
    assert labels["follow"].most_frequent == "0" and labels["follow"].num_classes == 2


def test_the_record_is_flat_where_a_tracker_wants_it(fitted: Run) -> None:
    flat, click = fitted.metrics.to_dict(), fitted.metrics.tasks["click"]
    assert flat["click/auc"] == click.test["auc"].value
    assert flat["click/auc/single"] == click.single.test["auc"].value
    assert flat["click/auc/gain"] == click.gain("auc").value
    assert "like/conditional_auc" in flat


def test_every_file_of_a_run_is_there_and_steps_are_logged(fitted: Run) -> None:
    names = {path.name for path in fitted.config.out.iterdir()}
    assert names == {
        *("run.yaml", "encoder.json", "model.safetensors", "steps.jsonl", "metrics.json"),
        *("figures.json", "report.html"),
    }
    lines = [json.loads(line) for line in (fitted.config.out / "steps.jsonl").open()]
    models = {line["model"] for line in lines}
    assert models == {"multi-task", *(f"single: {t}" for t in ("click", "like", "watch", "follow"))}
    steps = [line for line in lines if "weights" in line and line["model"] == "multi-task"]
    assert [line["step"] for line in steps] == [1, *range(2, steps[-1]["step"] + 1, 2)]
    assert set(steps[0]["losses"]) == {"click", "like", "watch", "follow"}
    assert sum("score" in line for line in lines if line["model"] == "multi-task") == 2


def test_a_loaded_run_predicts_the_same_bits(fitted: Run, log: pa.Table) -> None:
    loaded = load(fitted.config.out)
    assert loaded.predict(log).equals(fitted.predict(log))
    assert loaded.metrics == fitted.metrics
    assert loaded.history == fitted.history
    assert loaded.figures == fitted.figures


def test_a_killed_run_loads_as_one_that_has_not_ended(
    fitted: Run, log: pa.Table, tmp_path: Path
) -> None:
    """A kill leaves half a line of the log, and neither metrics nor figures."""
    killed = tmp_path / "killed"
    shutil.copytree(fitted.config.out, killed)
    for name in ("metrics.json", "figures.json", "report.html"):
        (killed / name).unlink()
    with (killed / "steps.jsonl").open("a") as file:
        file.write('{"model": "multi-task", "st')
    run = load(killed)
    assert run.record is None and run.figures is None and run.history == fitted.history
    assert run.predict(log).equals(fitted.predict(log))
    with pytest.raises(UserError, match=r"has not ended.*polytask\.resume"):
        _ = run.metrics
    assert write_report(killed).is_file()
    run.save(tmp_path / "copy")
    assert not (tmp_path / "copy" / "metrics.json").exists()


def test_a_damaged_record_is_named_by_load_and_by_the_report(fitted: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(fitted.config.out, damaged)
    (damaged / "metrics.json").write_text('{"tasks": {"cl')
    loaded = load(damaged)  # To predict it need not be read.
    for read in (lambda folder: loaded.metrics, write_report):
        with pytest.raises(UserError, match=r"metrics\.json: this is no JSON"):
            read(damaged)


def test_predictions_find_the_model_ready(fitted: Run, log: pa.Table) -> None:
    """And leave it so: each switch of the mode is a walk over all modules."""
    assert not any(module.training for module in fitted.model.modules())
    fitted.predict(log)
    assert not fitted.model.training


def test_predictions_are_in_the_label_s_own_unit(fitted: Run, log: pa.Table) -> None:
    table = fitted.predict(log)
    assert table.column_names == [
        "click",
        "like",
        "like_given_click",
        "watch",
        "follow",
        "follow_p_0",
        "follow_p_1",
    ]
    click, like, given = (table[n].to_numpy() for n in ("click", "like", "like_given_click"))
    np.testing.assert_allclose(like, click * given, rtol=1e-5)
    assert (like <= click).all()
    probabilities = table["follow_p_0"].to_numpy() + table["follow_p_1"].to_numpy()
    np.testing.assert_allclose(probabilities, 1, rtol=1e-6)
    seconds = log["watch_seconds"].to_numpy()
    assert 0 < table["watch"].to_numpy().mean() < 3 * seconds.mean()


def test_labels_are_not_needed_and_new_categories_are_welcome(fitted: Run, log: pa.Table) -> None:
    rows = log.slice(0, 5).drop_columns(["click", "like", "follow", "watch_seconds"])
    index = rows.column_names.index("category")
    renamed = rows.set_column(index, "category", pa.array(["a category of its own"] * 5))
    assert fitted.predict(renamed).num_rows == 5
    with pytest.raises(UserError, match="category"):
        fitted.predict(rows.drop_columns(["category"]))


def test_pandas_polars_and_arrow_give_the_same_predictions(fitted: Run, log: pa.Table) -> None:
    rows = log.slice(0, 50)
    expected = fitted.predict(rows)
    assert fitted.predict(pl.from_arrow(rows)).to_arrow().equals(expected)
    frame = pd.DataFrame({name: rows[name].to_pylist() for name in rows.column_names})
    assert pa.Table.from_pandas(fitted.predict(frame)).equals(expected)


def test_evaluate_reports_the_same_figures_as_fit(fitted: Run, log: pa.Table) -> None:
    """On the very rows of the test, so also the label encoder survives saving."""
    from polytask.data.splits import split_random

    split = split_random(log.num_rows, valid_fraction=0.1, test_fraction=0.1, seed=0)
    scores = load(fitted.config.out).evaluate(log.take(split.test))
    for name in ("click", "watch", "follow", "like"):
        assert scores[name] == fitted.metrics.tasks[name].test


def test_two_fits_of_one_seed_are_equal_and_leave_the_process_as_it_was(clicks: pa.Table) -> None:
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = fit(clicks, ["click"], **QUICK).predict(clicks)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert fit(clicks, ["click"], **QUICK).predict(clicks).equals(first)
    assert not fit(clicks, ["click"], seed=1, **QUICK).predict(clicks).equals(first)


def test_derived_labels_take_their_columns_out_of_the_inputs(log: pa.Table) -> None:
    run = fit(
        log,
        ["long:binary"],
        derive=["long = watch_seconds >= min(duration_seconds, 18)"],
        ignore="click,like,follow",
        **QUICK,
    )
    names = set(run.inputs.columns)
    assert not names & {"watch_seconds", "duration_seconds", "long"}
    no_labels = log.drop_columns(["watch_seconds", "click", "like", "follow"])
    assert run.predict(no_labels).num_rows == log.num_rows
    assert "auc" in run.evaluate(log)["long"]


def test_derived_inputs_are_made_at_prediction_too(clicks: pa.Table) -> None:
    run = fit(
        clicks,
        ["click"],
        derive=["night = hour >= 22 or hour < 6", "minutes = duration_seconds / 60"],
        inputs="night,minutes,category",
        **QUICK,
    )
    assert run.inputs.by_name["numeric"].columns == ("minutes",)
    assert run.predict(clicks.drop_columns(["click"])).num_rows == clicks.num_rows


def test_a_leak_stops_until_it_is_explained(log: pa.Table) -> None:
    with pytest.raises(UserError, match=r"'watch_seconds' alone gives click AUC .*after='"):
        fit(log, ["click"], ignore="like,follow", **QUICK)
    run = fit(log, ["click"], after="watch_seconds,like,follow", **QUICK)
    assert "watch_seconds" not in run.inputs.columns
    allowed = fit(log, ["click"], ignore="like,follow", allow="watch_seconds", **QUICK)
    assert allowed.metrics.data.leaks


def test_time_and_key_splits_keep_their_promises(clicks: pa.Table) -> None:
    cut = int(np.quantile(clicks["time_ms"].to_numpy(), 0.8))
    run = fit(clicks, ["click"], time_column="time_ms", test_from=cut, **QUICK)
    late = pc.sum(pc.greater_equal(clicks["time_ms"], cut)).as_py()
    assert run.metrics.data.rows["test"] == late
    assert "time_ms" not in run.inputs.columns
    by_user = fit(clicks, ["click"], split_by="user_id", **QUICK)
    assert sum(by_user.metrics.data.rows.values()) == clicks.num_rows


def test_tasks_made_in_python_mean_the_same_as_text(clicks: pa.Table) -> None:
    text = fit(clicks, ["click", "like:binary"], given={"like": "click"}, **QUICK)
    tasks = [polytask.binary("click"), polytask.binary("like", given="click")]
    assert fit(clicks, tasks, **QUICK).predict(clicks).equals(text.predict(clicks))


def test_auxiliary_tasks_are_trained_and_never_reported(clicks: pa.Table) -> None:
    tasks = [polytask.binary("click"), polytask.binary("like", auxiliary=True)]
    run = fit(clicks, tasks, **(QUICK | {"baseline": "single"}))
    assert [name for name, result in run.metrics.tasks.items() if result.single] == ["click"]
    assert list(run.metrics.tasks) == ["click"]
    assert run.predict(clicks).column_names == ["click", "like"]


def test_numbers_of_weight_are_static_weights(clicks: pa.Table) -> None:
    run = fit(clicks, ["click", "like"], weight={"like": 3.0}, log_every=1, **QUICK)
    assert run.history[0].weights == {"click": 1.0, "like": 3.0}
    with pytest.raises(UserError, match="use one of the two"):
        fit(clicks, ["click"], weight="2", balancer={"name": "static"}, **QUICK)


def test_row_weights_change_the_model(clicks: pa.Table) -> None:
    weighted = clicks.append_column("w", pc.cast(pc.add(clicks["hour"], 1), pa.float64()))
    plain = fit(weighted, ["click"], ignore="w", **QUICK)
    run = fit(weighted, ["click"], weight="w", **QUICK)
    assert "w" not in run.inputs.columns
    assert not run.predict(weighted).equals(plain.predict(weighted))


def test_an_encoder_of_one_s_own(clicks: pa.Table) -> None:
    class Sums(torch.nn.Module):
        out_features = 2

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(2))

        def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            parts = [inputs["numeric"].nansum(1), inputs["categorical"].float().mean(1)]
            return torch.stack(parts, dim=1) * self.scale

    run = fit(clicks, ["click"], encoder=Sums(), **QUICK)
    assert run.predict(clicks).num_rows == clicks.num_rows


def test_no_validation_and_no_test_are_possible(clicks: pa.Table) -> None:
    run = fit(clicks, ["click"], valid_fraction=0, test_fraction=0, **QUICK)
    assert run.metrics.data.rows == {"train": clicks.num_rows}
    assert run.metrics.tasks == {}


def test_a_run_saved_elsewhere_loads(fitted: Run, log: pa.Table, tmp_path: Path) -> None:
    fitted.save(tmp_path / "copy")
    same = ("figures.json", "metrics.json", "steps.jsonl", "run.yaml", "encoder.json")
    for name in same:
        ours, theirs = tmp_path / "copy" / name, fitted.config.out / name
        assert ours.read_text() == theirs.read_text(), name
    assert (tmp_path / "copy" / "report.html").is_file()
    assert load(tmp_path / "copy").predict(log).equals(fitted.predict(log))
    with pytest.raises(UserError, match="overwrite=True"):
        fitted.save(tmp_path / "copy")


def test_experts_that_collapse_are_told_of_once(log: pa.Table) -> None:
    """All experts start at zero, so each returns the same for every row."""

    def start_dead(run: TrainingRun) -> None:
        with torch.no_grad():
            for name, parameter in run.model.trunk.named_parameters():
                if name.startswith("experts"):
                    parameter.zero_()

    config = validate_config(
        {
            "tasks": ["click"],
            "trunk": {"name": "mmoe", "num_experts": 2, "expert_hidden": [4, 4]},
            "epochs": 1,
            "validations_per_epoch": 3,
            "baseline": "none",
            "after": "like,follow,watch_seconds",
            "threads": 1,
        }
    )
    notices = []
    for event in fit_events(config, log):
        if isinstance(event, ModelStarted):
            start_dead(event.training)
        if isinstance(event, Notice) and "experts" in event.text:
            notices.append(event.text)
    assert len(notices) == 1
    assert "2 of 2 are of little use" in notices[0] and "expert 1, expert 2" in notices[0]


@pytest.mark.parametrize(
    ("capabilities", "is_warned"),
    [
        ({"avx512_bf16": False, "amx_bf16": False}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_bf16_without_units_for_it_is_warned_of(
    clicks: pa.Table,
    monkeypatch: pytest.MonkeyPatch,
    capabilities: Mapping[str, bool],
    is_warned: bool,
) -> None:
    """It trains all the same; a processor that says nothing is not judged."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    config = validate_config(QUICK | {"tasks": ["click"], "precision": "bf16", "device": "cpu"})
    told = [each.text for each in fit_events(config, clicks) if isinstance(each, Notice)]
    assert any("no units for bfloat16" in text for text in told) == is_warned


class Tied(torch.nn.Module):
    """An encoder whose two layers are one matrix, as tied embeddings are."""

    out_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = torch.nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        parts = [inputs["numeric"].nan_to_num().mean(1), inputs["categorical"].float().mean(1)]
        return self.second(self.first(torch.stack(parts, dim=1)).relu())


def test_tied_weights_are_written_and_stay_tied(clicks: pa.Table, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = fit(clicks, ["click"], encoder=Tied(), out=out, **QUICK)
    again = polytask.load(out, encoder=Tied())
    assert again.predict(clicks).equals(run.predict(clicks))
    encoder = again.model.encoder
    assert encoder.first.weight is encoder.second.weight
