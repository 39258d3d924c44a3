"""What cannot be read stops with the file and what is wrong with it."""

from pathlib import Path

import pytest

from forked import Forked
from polytask.errors import UserError
from polytask.report.reading import read_run


def test_everything_that_stands_in_the_files_is_read(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert run.missing == ()
    assert run.tasks[:3] == ("click", "watch", "topic")
    assert len(run.steps) == 5 and {line.model for line in run.steps} == {"multi-task"}
    assert len(run.validations) == 5 and all(len(v) == 2 for v in run.validations.values())
    assert run.metrics is not None and run.metrics.cost.single_task is not None
    assert run.figures is not None and run.figures.gates[0].mean == (0.7, 0.1, 0.1, 0.1)


def test_no_folder_and_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"lacks run\.yaml"):
        read_run(tmp_path)


def test_a_line_that_was_being_written_is_left_out(run_folder: Path) -> None:
    with (run_folder / "steps.jsonl").open("a") as file:
        file.write('{"model": "multi-task", "st')
    assert len(read_run(run_folder).steps) == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("steps.jsonl", '{"model": "m"}\n', r"steps\.jsonl:1: .*no record"),
        ("steps.jsonl", '{"format": "polytask step", "version": 1}\n', r"steps\.jsonl:1: .*model"),
        ("steps.jsonl", "nonsense\n", r"steps\.jsonl:1: .*JSON"),
        ("metrics.json", "{", r"metrics\.json: .*JSON"),
        ("metrics.json", "{}", r"metrics\.json: .*format 'polytask metrics'"),
        ("figures.json", '{"format": "polytask figures", "version": 2}', r"version 2 .* reads 1"),
        ("run.yaml", "a: b: c", r"run\.yaml:1:5: mapping values"),
        ("run.yaml", "- a", r"run\.yaml: .*mapping"),
    ],
)
def test_a_damaged_file_is_named(run_folder: Path, name: str, text: str, message: str) -> None:
    (run_folder / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_run(run_folder)


def test_only_who_draws_waits_for_the_drawing_libraries(
    forked_torch: Forked, tmp_path: Path
) -> None:
    code = (
        "import sys, polytask.fitting, polytask.report, polytask.cli;"
        "sys.exit(bool({'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    forked_torch.script(code, tmp_path).ended()
