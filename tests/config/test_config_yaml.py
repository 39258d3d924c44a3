"""run.yaml: round trips, and mistakes told with file, line, column and the nearest name."""

from datetime import date
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from polytask.config import (
    FitConfig,
    TaskConfig,
    read_config,
    validate_config,
    write_config,
)
from polytask.config.keywords import FitOptions
from polytask.errors import UserError
from polytask.kinds import Binary


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_a_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    config = validate_config(
        {
            "table": "log.parquet",
            "tasks": [
                "click",
                {"name": "a", "column": "b", "kind": {"name": "binary", "positive": "x:y=1"}},
            ],
            "trunk": {"name": "mmoe", "num_experts": 4},
            "expert_hidden": "32,16",
            "transform": "watch=log1p",
            "weight": ["click=2.5", "row_weight"],
            "valid_from": "2022-05-03",
            "learning_rate": 3e-4,
        }
    )
    assert read_config(write(tmp_path, write_config(config))) == config
    assert config.expert_hidden == (32, 16)
    assert config.weight == {"click": 2.5, "*": "row_weight"}


def test_columns_of_inputs_may_be_written_in_three_ways(tmp_path: Path) -> None:
    wanted = {"time": ("a", "b"), "numeric": ("c",)}
    for columns in (["time=a,b", "numeric=c"], {"time": ["a", "b"], "numeric": "c"}):
        config = validate_config(
            {"columns": columns, "input_options": {"time": {"epoch_unit": "ms"}}}
        )
        assert config.columns == wanted
        path = tmp_path / "run.yaml"
        path.write_text(write_config(config))
        assert read_config(path) == config
    assert validate_config({"columns": ["time=a", "time=b"]}).columns == {"time": ("a", "b")}
    with pytest.raises(UserError, match="write INPUT=COLUMN"):
        validate_config({"columns": "time"})


def test_a_small_number_with_an_exponent_is_a_number(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "learning_rate: 1e-3\n")).learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "epochs: 3\nepocs: 3\n",
            r"run.yaml:2:1: epocs: unknown key 'epocs' - did you mean 'epochs'",
        ),
        (
            "tasks:\n  - name: a\n    column: b\n    colum: c\n",
            r"run.yaml:4:5: tasks.0.colum: unknown key 'colum' - did you mean 'column'",
        ),
        ("epochs: many\n", r"run.yaml:1:1: epochs: .*valid integer.* but got 'many'"),
        ("epochs: 0\n", r"epochs: .*greater than or equal to 1, but got 0"),
        ("dropout: true\n", r"dropout: .*valid number.* but got True"),
        ("precision: fp16\n", r"precision: .*'fp32' or 'bf16'.* but got 'fp16'"),
        ("given_conflict: never\n", r"given_conflict: .*'drop'"),
        ("epochs: 1\nepochs: 2\n", r"run.yaml:2:1: found duplicate key \"epochs\""),
        ("epochs: [1\n", r"run.yaml:2:1: "),
        ("- epochs\n", r"a configuration is a mapping"),
        ("tasks: click\n", r"tasks: "),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("valid_from: 2024-01-01\n", "valid_from", "2024-01-01"),
        ("test_from: 2024-01-01 12:30:00\n", "test_from", "2024-01-01T12:30:00"),
        ("ignore: [1, 2, true]\n", "ignore", ("1", "2", "true")),
        ("ignore: 7\n", "ignore", ("7",)),
        ("group: 3\n", "group", "3"),
    ],
)
def test_names_and_times_may_look_like_numbers_and_dates(
    tmp_path: Path, text: str, field: str, expected: object
) -> None:
    config = read_config(write(tmp_path, text))
    assert getattr(config, field) == expected
    assert read_config(write(tmp_path, write_config(config))) == config


def test_a_yes_may_look_like_a_number(tmp_path: Path) -> None:
    text = "tasks:\n  - {name: a, column: 5, kind: {name: binary, positive: 1}}\n"
    task = read_config(write(tmp_path, text)).tasks[0]
    assert isinstance(task, TaskConfig)
    assert (task.column, task.kind) == ("5", Binary(positive="1"))


def test_dates_and_numpy_s_numbers_are_taken_in_python() -> None:
    values = {"valid_from": date(2024, 1, 1), "batch_size": np.int64(64)}
    config = validate_config({**values, "learning_rate": np.float64(0.5)})
    assert (config.valid_from, config.batch_size, config.learning_rate) == ("2024-01-01", 64, 0.5)


def test_fit_s_keyword_arguments_are_the_configuration_s_fields() -> None:
    hints = set(get_type_hints(FitOptions))
    assert hints == set(FitConfig.model_fields) - {"table", "tasks", "trunk", "balancer"}


def test_a_long_path_stays_on_one_line() -> None:
    path = "/".join(["a-folder-with-a-name"] * 20)
    config = validate_config({"table": path, "tasks": ["click"]}, source="test")
    assert f"table: {path}\n" in write_config(config)
