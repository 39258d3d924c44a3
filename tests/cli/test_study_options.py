"""`polytask study` refuses in words what it cannot do, and reads what it is told."""

from pathlib import Path

import pytest

from forked import Forked
from polytask.cli.study_list import STUDY_OPTIONS
from polytask.cli.study_options import _asked
from polytask.config.study import StudyConfig

YAML = "fit:\n  table: log.parquet\n  tasks: [click, like]\ntrials: 3\nout: runs/study\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("study", "a study needs tasks"),
        ("study nothing.yaml", "nothing.yaml: no such configuration file"),
        ("study nothing.parquet --task a --out s", "nothing.parquet does not exist"),
        ("study log.parquet --task a --trials 0 --out s", "trials: "),
        ("study log.parquet --task a --budget 5 --out s", "such as 90s, 60m or 2h"),
        ("study log.parquet --task a --leave-out equal --out s", "leave_out.0: "),
        ("study study.yaml --epochs 3", "leave out --epochs"),
        ("study --resume nowhere --trials 3", "beside them only --budget"),
        ("study --resume nowhere log.parquet", "beside them only --budget"),
        ("study log.parquet --task a --out s --machines 2", "pass both"),
        ("study log.parquet --task a --out s --on spark", "the one engine is ray"),
        ("study log.parquet --task a --out s --on ray --machines 0", "must be at least 1"),
        ("study --join nowhere --on ray", "leave out --join"),
        ("study log.parquet --task a --out s --on ray", "a data base that all machines reach"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, forked: Forked, command: str, said: str) -> None:
    (tmp_path / "log.parquet").write_bytes(b"PAR1")
    (tmp_path / "study.yaml").write_text(YAML)
    words = [
        str(tmp_path / word) if word.partition(".")[2] in ("yaml", "parquet") else word
        for word in command.split()
    ]
    forked.run(*words).refused(said)


@pytest.mark.parametrize("command", ["study", "transfer"])
@pytest.mark.parametrize("option", ["--grow", "--forget=30d", "--init-from=run"])
def test_what_begins_anew_grows_from_no_run(command: str, option: str, forked: Forked) -> None:
    found = forked.run(command, "log.parquet", "--task=a", "--task=b", option)
    assert found.code == 2 and f"No such option: {option.split('=')[0]}" in found.err


def asked(**options: object) -> StudyConfig:
    known = {name: value for name, value in options.items() if name in STUDY_OPTIONS}
    return _asked(options, known)[0]


def test_lists_are_separated_by_commas_and_sets_repeated(tmp_path: Path) -> None:
    study = asked(
        table=Path("log.parquet"),
        tasks=["click"],
        trunks="mmoe, ple",
        balancers="mgda,dwa",
        auxiliary=["none", "masked_columns,age"],
        leave_out="trees,rlw",
        search_seed=4,
        budget="2m",
    )
    assert study.trunks == ("mmoe", "ple") and study.balancers == ("mgda", "dwa")
    assert study.auxiliary == ((), ("masked_columns", "age"))
    assert study.leave_out == ("trees", "rlw") and study.seed == 4 and study.budget == 120


def test_what_is_said_beside_a_file_wins_and_a_file_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(YAML + "overwrite: true\n")
    study = asked(table=path, trials=5, seeds=4)
    assert (study.trials, study.seeds) == (5, 4)
    assert not study.overwrite, "only the command line says that a study may go"
    assert asked(table=path, quick=True).trials == 3, "what the file says stays"
