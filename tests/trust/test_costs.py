"""Small files and options that would cost hours or terabytes are refused at once.

Each command has five minutes and 4 GB in a process of its own: without its guard it ends at neither.
"""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from forked import Forked
from polytask.errors import UserError
from polytask.files.yaml import MOST_BYTES, load_yaml

LIMITS = {"memory": 4 << 30, "seconds": 300}

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i}\n  x{i}: 1\n  <<: [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
YAML = {
    "aliases of aliases": (BOMB + "tasks: *a9\n", "alias"),
    "merged aliases": (MERGED, "alias"),
    "itself": ("tasks: &t\n- *t\n", "alias"),
    "20,000 deep": ("a: " + "[" * 20_000, "deep"),
    "3,000 mappings deep": ("trunk: " + "{a: " * 3000 + "1" + "}" * 3000, "deep"),
    "long": ("ignore: [" + "x, " * 100_000 + "]\n", "at most 262,144"),
}


@pytest.mark.parametrize("case", YAML)
def test_a_hostile_yaml_is_refused_by_all_that_read_it(
    case: str, run: Path, table: Path, forked: Forked
) -> None:
    text, word = YAML[case]
    (run / "run.yaml").write_text(text)
    for arguments in (
        ("predict", run, table, "--out", run.parent / "p.parquet"),
        ("report", run),
        ("fit", "--config", run / "run.yaml"),
    ):
        forked.run(*arguments, **LIMITS).refused("run.yaml", word)


def test_a_long_yaml_text_is_refused_before_it_is_parsed() -> None:
    """Also where no file was read that has a limit of its own: a long option of the command line."""
    with pytest.raises(UserError, match="at most 262,144 are read"):
        load_yaml("{" * (MOST_BYTES + 1), where="--trunk")


SIZES = {
    "a million experts": ("num_experts: 2", "num_experts: 1000000"),
    "10^18 experts": ("num_experts: 2", f"num_experts: {10**18}"),
    "a tower of 10^9": ("tower_hidden:\n- 4", "tower_hidden:\n- 1000000000"),
    "a tower of 2^63 - 1": ("tower_hidden:\n- 4", "tower_hidden:\n- 9223372036854775807"),
    "a tower of 10^30": ("tower_hidden:\n- 4", f"tower_hidden:\n- {10**30}"),
    "a number of 5,000 digits": ("tower_hidden:\n- 4", f"tower_hidden:\n- {'9' * 5000}"),
    "another trunk": ("trunk: mmoe", "trunk: ple"),
    "a thousand million levels": ("trunk: mmoe", "trunk: {name: ple, num_levels: 1000000000}"),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_are_compared_with_the_weights_before_memory_is_taken(
    case: str, run: Path, table: Path, forked: Forked
) -> None:
    old, new = SIZES[case]
    options = (run / "run.yaml").read_text()
    assert old in options
    (run / "run.yaml").write_text(options.replace(old, new))
    forked.run("evaluate", run, table, **LIMITS).refused()


def test_a_vocabulary_beyond_the_weights_takes_no_memory(
    run: Path, table: Path, forked: Forked
) -> None:
    values = json.loads((run / "encoder.json").read_text())
    values["inputs"]["inputs"]["categorical"]["vocabularies"][1]["values"] = [*range(3_000_000)]
    (run / "encoder.json").write_text(json.dumps(values))
    forked.run("evaluate", run, table, **LIMITS).refused("do not fit the model")


OPTIONS = {
    "--trunk {name: mmoe, num_experts: 1000000000}": "needs",
    "--trunk {name: ple, num_levels: 1000000000}": "levels",
    "--tower-hidden 10000000000": "needs",
    "--embedding-dim 1000000000000": "embedding_dim",
    "--num-bins 1000000000000": "num_bins",
    "--epochs 1000000000000": "epochs",
    "--validations-per-epoch 1000000000": None,
    "--seed 1000000000000000000000000000000": "seed",
    "--threads 1000000000": "threads",
    "--balancer {name: dwa, window: 1000000000000000}": None,
    "--trunk " + "{" * 5000: "deep",
    "--trunk {name: mmoe, a: &a [x], b: *a}": "alias",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_beyond_all_memory_are_refused_with_what_they_need(
    option: str, table: Path, tmp_path: Path, forked: Forked
) -> None:
    name, _, value = option.partition(" ")
    word = OPTIONS[option]
    fit = ("fit", table, "--task", "click", "--task", "watch:regression", "--baseline", "none")
    given = () if name == "--epochs" else ("--epochs=1",)
    ended = forked.run(*fit, *given, f"{name}={value}", "--out", tmp_path / "run", **LIMITS)
    if word is None:
        ended.ended()
    else:
        ended.refused(word)
        assert not (tmp_path / "run").exists()


def header(length: int, text: bytes) -> bytes:
    return struct.pack("<Q", length) + text


DECLARED = b'{"a":{"dtype":"F32","shape":[500000000000],"data_offsets":[0,2000000000000]}}'
WEIGHTS: dict[str, Callable[[Path], None]] = {
    "a header of 2^60 bytes": lambda path: path.write_bytes(header(2**60, b"{}")),
    "a header of blanks": lambda path: path.write_bytes(
        header(20_000_000, b"{" + b" " * 19_999_998 + b"}")
    ),
    "two terabytes": lambda path: path.write_bytes(header(len(DECLARED), DECLARED)),
    "nothing": lambda path: path.write_bytes(b""),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04\x95cos\nsystem\n(S'touch PWNED'\ntR."),
    "a run's other file": lambda path: shutil.copy(path.with_name("encoder.json"), path),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_foreign_weights_are_refused(case: str, run: Path, table: Path, forked: Forked) -> None:
    WEIGHTS[case](run / "model.safetensors")
    forked.run("evaluate", run, table, **LIMITS).refused("model.safetensors")
    assert not list(forked.folder.glob("PWNED"))
