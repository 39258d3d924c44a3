"""Nothing wrong is accepted in silence: files that do not belong together, numbers that are none."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import polytask
from polytask.data.schema import describe_table
from polytask.errors import UserError
from polytask.fitting import Notice, fit_events, inspect_table
from polytask.training.tensor_files import write_tensors

Command = Callable[..., Any]


def swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


RUN_YAML: dict[str, tuple[Callable[[str], str], str]] = {
    "names swapped": (lambda text: swapped(text, "name: click", "name: watch"), "the tasks are"),
    "a task renamed": (lambda text: text.replace("name: watch", "name: wotch"), "the tasks are"),
    "columns swapped": (lambda text: swapped(text, "column: click", "column: watch"), "column"),
    "kinds swapped": (lambda text: swapped(text, "kind: binary", "kind: regression"), "kind"),
    "another transform": (
        lambda text: text.replace("kind: regression", "kind: {name: regression, transform: log1p}"),
        "option transform",
    ),
    "a task less": (lambda text: re.sub(r"- name: watch\n(  .*\n)+", "", text), "the tasks are"),
    "a parent": (lambda text: text.replace("given: {}", "given: {watch: click}"), "parent"),
    "an auxiliary task": (
        lambda text: text.replace("auxiliary: false", "auxiliary: true", 1),
        "auxiliary",
    ),
    "another formula": (
        lambda text: text.replace("derive: []", "derive: ['z = x + 1']"),
        "not the file that the weights were written with",
    ),
    "another dropout": (lambda text: text.replace("dropout: 0.0", "dropout: 0.5"), "not the file"),
}


@pytest.mark.parametrize("case", RUN_YAML)
def test_run_yaml_agrees_with_encoder_and_weights(
    case: str, run: Path, table: Path, command: Command
) -> None:
    change, words = RUN_YAML[case]
    text = (run / "run.yaml").read_text()
    assert change(text) != text
    (run / "run.yaml").write_text(change(text))
    command("evaluate", run, table).refused(words)


@pytest.mark.parametrize("option", ["table: {}", "threads: 7", "seed: 5", "log_every: 3"])
def test_options_that_shape_nothing_may_be_changed(
    option: str, run: Path, table: Path, command: Command
) -> None:
    name = option.partition(":")[0]
    text = (run / "run.yaml").read_text()
    changed = re.sub(rf"(?m)^{name}:.*$", option.format("elsewhere.parquet"), text)
    assert changed != text
    (run / "run.yaml").write_text(changed)
    command("evaluate", run, table).ended()


def test_the_encoder_is_that_of_the_weights(run: Path, table: Path, command: Command) -> None:
    path = run / "encoder.json"
    values = json.loads(path.read_text())
    values["inputs"]["inputs"]["numeric"]["scales"][0]["mean"] += 1.0
    path.write_text(json.dumps(values))
    command("evaluate", run, table).refused("encoder.json", "not the file")


def with_weights(run: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change all weights and keep the checksums that the file has of the others."""
    path = run / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
    tensors = {name: change(tensor.clone()) for name, tensor in load_file(path).items()}
    write_tensors(path, tensors, notes)


WEIGHTS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "no numbers": (lambda weight: weight * float("nan"), "not finite"),
    "huge": (lambda weight: weight * 0 + 1e38, "not finite"),
    "whole numbers": (lambda weight: weight.to(torch.int64), "do not fit the model"),
    "doubles": (lambda weight: weight.double(), "do not fit the model"),
    "another shape": (lambda weight: weight[:1].clone(), "do not fit the model"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_none_predict_nothing(
    case: str, run: Path, table: Path, tmp_path: Path, command: Command
) -> None:
    change, words = WEIGHTS[case]
    with_weights(run, change)
    command("predict", run, table, "--out", tmp_path / "p.parquet").refused(words)
    command("evaluate", run, table).refused(words)
    assert not (tmp_path / "p.parquet").exists()


def test_weights_without_checksums_are_another_program_s(
    run: Path, table: Path, command: Command
) -> None:
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors")
    command("evaluate", run, table).refused("not the file")


def test_a_run_saved_again_is_whole(run: Path, table: Path, tmp_path: Path) -> None:
    loaded = polytask.load(run)
    expected = loaded.predict(table)
    loaded.save(tmp_path / "again")
    loaded.save(run, overwrite=True)
    for path in (tmp_path / "again", run):
        again = polytask.load(path)
        assert again.predict(table).equals(expected)
        assert again.record == loaded.record and again.history == loaded.history


def test_numbers_of_any_size_are_inspected_without_a_word_of_numpy(tmp_path: Path) -> None:
    """Python's warnings show a line of our source, and are errors in the tests of some callers."""
    draw, n = np.random.default_rng(0), 200
    columns = {
        "x": draw.normal(size=n),
        "date": np.where(draw.random(n) < 0.5, 20220000.0, 1e19) + np.arange(n) * 1e5,
        "hour_min": np.where(draw.random(n) < 0.3, np.nan, 1e22 * draw.normal(size=n)),
        "event_time": draw.normal(size=n) * 1e25,
        "huge": draw.normal(size=n) * 1e200,
        "signed": draw.integers(-(2**63), 2**63 - 1, n),
        "unsigned": draw.integers(2**63, 2**64 - 1, n, dtype=np.uint64),
        "y": draw.integers(0, 2, n),
    }
    config = polytask.config.validate_config({"tasks": ["y"]})
    with warnings.catch_warnings(action="error"):
        table, schema = inspect_table(config, pa.table(columns))
        assert len(describe_table(schema, table)) == len(columns)


def test_no_file_holds_what_is_no_json(table: Path, tmp_path: Path) -> None:
    """Where validation rows define no metric, the lines say less; they are JSON all the same."""
    values = pa.table({"x": [float(i % 7) for i in range(80)], "y": [i % 2 for i in range(80)]})
    alike = pa.table({"x": [1.0, 2.0, 3.0], "y": [1, 1, 1]})
    out = tmp_path / "run"
    options = {"tasks": ["y:binary"], "epochs": 2, "batch_size": 8, "out": str(out)}
    config = polytask.config.validate_config({**options, "baseline": "none"})
    events = fit_events(config, values, parts={"valid": alike, "test": alike})
    told = [event.text for event in events if isinstance(event, Notice)]
    assert sum("no metric is defined on the validation rows (y auc)" in text for text in told) == 1

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in (out / "steps.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    for name in ("metrics.json", "figures.json", "encoder.json"):
        json.loads((out / name).read_text(), parse_constant=refuse)


def test_nothing_of_a_damaged_run_is_loaded_in_python(run: Path) -> None:
    with_weights(run, lambda weight: weight.double())
    with pytest.raises(UserError, match="F64"):
        polytask.load(run)
