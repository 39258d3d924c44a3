"""A damaged file is one message with its name; what does not need the file works without it."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import polytask
from polytask.files.reading import DamagedFileError, parse_json
from polytask.fitting import Finished, Notice, resume_events
from polytask.records.layout import FACTS, TENSORS

Command = Callable[..., Any]
Change = Callable[[str], str]

DEEP = "[" * 100_000
ANYWHERE: dict[str, bytes] = {
    "no text": b"\xff\xfe{",
    "a zero byte": b"a: \x00b",
    "deep": DEEP.encode(),
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "half": b"{",
    "an empty object": b"{}",
    "nothing": b"",
    "endless": b'{"format": 1e999}',
    "no number": b'{"format": NaN}',
    "5,000 digits": b'{"format": 1' + b"0" * 5000 + b"}",
    "half a character": b'{"format": "\\ud800"}',
}
# Which commands need which file; the others must not mind.
NEEDED = {
    "run.yaml": {"evaluate", "predict", "report", "resume"},
    "encoder.json": {"evaluate", "predict", "resume"},
    "metrics.json": {"evaluate", "report", "resume"},
    "figures.json": {"report"},
    "steps.jsonl": {"report"},
}


@pytest.fixture(autouse=True)
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is tested here; a drawing takes longer than all of it."""
    monkeypatch.setattr("polytask.report.page.render", lambda run: "<html>")


def arguments(name: str, run: Path, table: Path) -> list[object]:
    return {
        "evaluate": ["evaluate", run, table],
        "predict": ["predict", run, table, "--out", run.parent / "p.parquet", "--overwrite"],
        "report": ["report", run],
        "resume": ["fit", "--resume", run],
    }[name]


def is_harmless(file: str, damage: str) -> bool:
    """An empty log is one, and a line without its end was being written."""
    return file == "steps.jsonl" and b"\n" not in ANYWHERE[damage] and damage != "no text"


@pytest.mark.parametrize("file", NEEDED)
@pytest.mark.parametrize("damage", ANYWHERE)
def test_damage_is_told_by_those_who_read_the_file(
    damage: str, file: str, run: Path, table: Path, command: Command
) -> None:
    (run / file).write_bytes(ANYWHERE[damage])
    for name in ("resume", "evaluate", "predict", "report"):
        ended = command(*arguments(name, run, table))
        if is_harmless(file, damage) or name not in NEEDED[file]:
            ended.ended()
        # The report shows the options of any mapping as they are.
        elif (name, file) != ("report", "run.yaml") or b"{" not in ANYWHERE[damage]:
            ended.refused(file)


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": NaN}', "[-Infinity]", "1e999", r'"\ud800"', DEEP, "{"),
        *(str(1 << 64), str(-(1 << 63) - 1), "1" + "0" * 30, "9" * 5000),
    ],
)
def test_what_is_no_json_or_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(DamagedFileError, match=r"^here: "):
        parse_json(text, where="here")


def replaced(pattern: str, new: str, count: int = 0) -> Change:
    return lambda text: re.sub(pattern, new, text, count=count)


LINES: dict[str, tuple[str, Change, bool]] = {
    "half a last line": ("steps.jsonl", lambda text: text[:-20], True),
    "a junk line": ("steps.jsonl", lambda text: text + "junk\n", False),
    "a list": ("steps.jsonl", lambda text: text + "[]\n", False),
    "foreign keys": ("steps.jsonl", lambda text: text + '{"a": 1}\n', False),
    "no numbers": ("steps.jsonl", replaced(r"\d+\.\d+", "NaN"), False),
    "no numbers in metrics": ("metrics.json", replaced(r": -?\d+\.\d+", ": NaN"), False),
    "endless metrics": ("metrics.json", replaced(r": -?\d+\.\d+", ": 1e999"), False),
    "text for numbers": ("metrics.json", replaced(r'evaluations": 1', 'evaluations": "x"'), False),
    "a task of another run": (
        "figures.json",
        replaced('"task": "click"', '"task": "other"'),
        False,
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_a_damaged_record_is_told_by_the_report_alone(
    case: str, run: Path, table: Path, command: Command
) -> None:
    file, change, is_read = LINES[case]
    text = (run / file).read_text()
    assert change(text) != text
    (run / file).write_text(change(text))
    command(*arguments("predict", run, table)).ended()
    ended = command("report", run)
    ended.ended() if is_read else ended.refused(file)


def test_metrics_are_read_before_the_work_is_done(
    run: Path, table: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "metrics.json").write_text("{")
    monkeypatch.setattr("polytask.fitting.run_folder.run.Run.evaluate", None)
    command("evaluate", run, table).refused("metrics.json")


RUN_YAML = {
    "a python object": ("", "monitor: !!python/object/apply:os.system ['touch PWNED']\n"),
    "a python name": ("", "monitor: !!python/name:os.system\n"),
    "a key twice": ("", "epochs: 3\n"),
    "an unknown key": ("", "foo: 3\n"),
    "a number for a key": ("", "1: 3\n"),
    "null for a key": ("", "? \n: 3\n"),
    "a list for a key": ("", "? [1, 2]\n: 3\n"),
    "two documents": ("", "---\na: 1\n"),
    "an option with a number": ("trunk: mmoe\n", "trunk: {name: mmoe, 3: 4}\n"),
    "a trunk of Python": ("trunk: mmoe\n", "trunk: __class__\n"),
    "no tasks": (r"tasks:\n(- name.*\n(  .*\n)*)*", "tasks: []\n"),
    "code in a formula": (r"derive: \[\]\n", "derive: ['x = __import__(\"os\")']\n"),
    "a deep formula": (r"derive: \[\]\n", f"derive: ['x = {'(' * 5000}x{')' * 5000}']\n"),
    "a formula of signs": (r"derive: \[\]\n", f"derive: ['x = {'-' * 20000}x']\n"),
    "a date that is none": ("", "valid_from: 2024-99-99\n"),
}


@pytest.mark.parametrize("case", RUN_YAML)
def test_a_hostile_run_yaml_is_one_message(
    case: str, run: Path, table: Path, command: Command
) -> None:
    pattern, new = RUN_YAML[case]
    text = (run / "run.yaml").read_text()
    changed = re.sub(pattern, lambda _: new, text, count=1) if pattern else text + new
    assert changed != text
    (run / "run.yaml").write_text(changed)
    command(*arguments("predict", run, table)).refused()
    assert not Path("PWNED").exists()


def encoder(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(values: Any) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = value

    return change


NUMBERS = ("inputs", "inputs", "numeric")
CATEGORIES = ("inputs", "inputs", "categorical")
SCALE = (*NUMBERS, "scales", 0)
TASK = ("targets", "tasks")
FACTS_OF_ENCODERS = {
    "another version": encoder(*NUMBERS, "version", value=99),
    "edges in reverse": encoder(*SCALE, "edges", value=[2.0, 1.0, 0.0]),
    "edges all equal": encoder(*SCALE, "edges", value=[0.0] * 17),
    "no deviation": encoder(*SCALE, "std", value=0.0),
    "text for a deviation": encoder(*SCALE, "std", value="a"),
    "a column without a scale": encoder(*NUMBERS, "columns", value=["x", "y"]),
    "a value twice": encoder(*CATEGORIES, "vocabularies", 0, "values", value=["a", "a", "b", "c"]),
    "values of several types": encoder(
        *CATEGORIES, "vocabularies", 0, "values", value=["a", 1, 2.0, True]
    ),
    "a column twice": encoder(*CATEGORIES, "columns", value=["c", "c"]),
    "no width": encoder(*CATEGORIES, "embedding_dim", value=0),
    "no inputs": encoder("inputs", "inputs", value={}),
    "three answers": encoder(*TASK, 0, "kind", "classes", value=[0, 1, 2]),
    "yes is no": encoder(*TASK, 0, "kind", "classes", value=[0, 0]),
    "a rate of 2": encoder(*TASK, 0, "kind", "base_rate", value=2.0),
    "labels without deviation": encoder(*TASK, 1, "kind", "std", value=0.0),
    "labels of negative deviation": encoder(*TASK, 1, "kind", "std", value=-1.0),
    "a condition of nothing": encoder(
        *TASK, 0, "kind", "condition", value={"operator": ">=", "values": []}
    ),
    "a parent that is itself": encoder(*TASK, 0, "given", value="click"),
    "a parent that is nobody": encoder(*TASK, 0, "given", value="nobody"),
    "no tasks": encoder(*TASK, value=[]),
    "a task twice": encoder(*TASK, 1, "name", value="click"),
}


@pytest.mark.parametrize("case", FACTS_OF_ENCODERS)
def test_impossible_facts_are_no_encoder(
    case: str, run: Path, table: Path, command: Command
) -> None:
    path = run / "encoder.json"
    values = json.loads(path.read_text())
    FACTS_OF_ENCODERS[case](values)
    path.write_text(json.dumps(values))
    command("evaluate", run, table).refused("encoder.json")
    with pytest.raises(polytask.errors.UserError):
        polytask.fitting.run_folder.folder.RunFolder(run).read_encoders()


def crafted(state: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
    """Change a checkpoint, and make its checksums right again."""
    facts = json.loads((state / FACTS).read_text())["facts"]
    tensors = {name: tensor.clone() for name, tensor in load_file(state / TENSORS).items()}
    change(facts, tensors)
    save_file(tensors, state / TENSORS)
    facts["sha256"] = {TENSORS: hashlib.sha256((state / TENSORS).read_bytes()).hexdigest()}
    checksum = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (state / FACTS).write_text(json.dumps({"sha256": checksum, "facts": facts}))


def first_of(tensors: dict[str, Tensor], prefix: str) -> str:
    return next(name for name in sorted(tensors) if name.startswith(prefix))


CRAFTED: dict[str, Callable[[Any, dict[str, Tensor]], object]] = {
    **{
        f"no {group}": lambda facts, _, group=group: facts.pop(group)
        for group in ("progress", "settings", "arithmetic", "origin", "place", "optimizer numbers")
    },
    "a place that is text": lambda facts, _: facts["place"].update(log_bytes="x"),
    "a place before the start": lambda facts, _: facts["place"].update(log_bytes="-5"),
    "progress below 0": lambda facts, _: facts["progress"].update(step="-3"),
    "progress that is text": lambda facts, _: facts["progress"].update(epoch="x"),
    "a list for progress": lambda facts, _: facts.update(progress=[1, 2]),
    "a tensor less": lambda _, tensors: tensors.pop(first_of(tensors, "model.")),
    "a tensor more": lambda _, tensors: tensors.update({"model.evil": torch.zeros(2)}),
    "another shape": lambda _, tensors: tensors.update(
        {first_of(tensors, "model."): torch.zeros(7, 7)}
    ),
    "another shape of a moment": lambda _, tensors: tensors.update(
        {first_of(tensors, "optimizer."): torch.zeros(7, 7)}
    ),
    "a moment of nothing": lambda _, tensors: tensors.update({"optimizer.9.9.x": torch.zeros(2)}),
    "other weights kept as best": lambda _, tensors: tensors.update({"best.x": torch.zeros(2)}),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_whatever_the_damage_the_checkpoint_before_is_taken(
    case: str, home: Path, interrupted: Path, no_report: None
) -> None:
    newest = sorted((interrupted / "checkpoints" / "0").glob("step-*"))[-1]
    crafted(newest, CRAFTED[case])
    told = []
    for event in resume_events(interrupted):
        told += [event.text] if isinstance(event, Notice) else []
        if isinstance(event, Finished):
            break
    assert f"{newest.name} is damaged" in told[0] and "the one before" in told[1]
    ended, expected = (polytask.load(each) for each in (interrupted, home / "finished"))
    for name, weight in expected.model.state_dict().items():
        assert weight.equal(ended.model.state_dict()[name])


def test_deep_facts_are_damage_as_well(interrupted: Path, no_report: None) -> None:
    for state in (interrupted / "checkpoints" / "0").glob("step-*"):
        (state / FACTS).write_text(DEEP)
    told = [event.text for event in resume_events(interrupted) if isinstance(event, Notice)]
    assert "nested too deeply" in told[0] and "from the beginning" in told[2]


def test_checkpoints_of_another_run_are_refused(
    interrupted: Path, home: Path, tmp_path: Path, command: Command
) -> None:
    """As before: that is no damage, and nothing of it is used."""
    for state in (interrupted / "checkpoints" / "0").glob("step-*"):
        crafted(state, lambda facts, _: facts["origin"].update(encoders="others"))
    before = shutil.copytree(interrupted, tmp_path / "before")
    command("fit", "--resume", interrupted).refused("no longer the run")
    names = {path.name for path in interrupted.iterdir()}
    assert names == {path.name for path in before.iterdir()}
