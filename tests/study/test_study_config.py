"""study.yaml: what is wrong is said with its file and line."""

from pathlib import Path

import pytest

from polytask.config.study import quick, read_study, validate_study, write_study
from polytask.errors import UserError

GOOD = "fit:\n  table: log.parquet\n  tasks: [click, 'watch:regression']\n"


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_study(path)
    return caught.value.message.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "fit:\n  epocs: 3\n",
            "study.yaml:2:3: epocs: unknown key 'epocs' - did you mean 'epochs'",
        ),
        (
            GOOD + "trails: 3\n",
            "study.yaml:4:1: trails: unknown key 'trails' - did you mean 'trials'",
        ),
        (GOOD + "budget: 60\n", "study.yaml:4:1: budget: value error, write a time with its unit"),
        (GOOD + "trials: 0\n", "study.yaml:4:1: trials: "),
        (GOOD + "search:\n  widht: [1.0]\n", "study.yaml:5:3: search.widht: unknown key"),
        (GOOD + "search:\n  dropout: []\n", "study.yaml:4:1: search"),
        (GOOD + "leave_out: [equal]\n", "study.yaml:4:13: leave_out.0: "),
        (GOOD + "auxiliary: []\n", "study.yaml:4:1: auxiliary: "),
        ("trials: 3\n", "fit: a mapping with the options of `polytask fit` is due"),
        (GOOD + "  balancer: mgda\n", "study.yaml:4:3: fit.balancer: "),
        (GOOD + "  trunk: ple\ntrunks: [mmoe]\n", "study.yaml:4:3: fit.trunk: "),
        (GOOD + "  hidden: [8]\ntrunks: [mmoe]\n", "study.yaml:4:3: fit.hidden: "),
        (GOOD + "  out: runs/a\n", "study.yaml:4:3: fit.out: "),
        (GOOD + "  grow: true\n", "study.yaml:4:3: fit.grow: "),
        (GOOD + "  forget: 30d\n", "study.yaml:4:3: fit.forget: "),
        (GOOD + "  weight: {click: 2.0}\n", "study.yaml:4:3: fit.weight: "),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        GOOD
        + "trunks: [ple, {name: mmoe, num_experts: 3}]\nauxiliary: [[], [masked_columns, age]]\n"
        + "budget: 90m\nleave_out: [trees]\nsearch: {width: [1.0]}\n"
    )
    study, _ = read_study(path)
    path.write_text(write_study(study))
    assert read_study(path)[0] == study


def test_quick_leaves_what_was_asked_for() -> None:
    study = validate_study({"fit": {"tasks": ["a"]}, "trials": 7})
    short = quick(study)
    assert (short.trials, short.seeds, short.rows) == (7, 3, 20_000)
    assert short.budget < 300
