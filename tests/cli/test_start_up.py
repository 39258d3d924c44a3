"""What answers at once loads neither torch nor pyarrow. Modules are counted here, not seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("torch", "numpy", "scipy", "pandas", "pyarrow", "ruamel", "rich", "polytask.kinds")

SCRIPT = f"""
import sys
from polytask.cli import main
sys.argv = ["polytask", *sys.argv[1:]]
try:
    main()
finally:
    print("slow:", *(name for name in {SLOW!r} if name in sys.modules), file=sys.stderr)
"""


def run(folder: Path, *arguments: str) -> tuple[int, str, str, list[str]]:
    """The exit code, what was printed and what was said of mistakes, and the slow modules loaded."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    errors, _, slow = done.stderr.rpartition("slow:")
    return done.returncode, done.stdout, errors, slow.split()


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("--version", 0, "polytask "),
        ("--help", 0, "inspect"),
        ("fit --help", 0, "--learning-rate"),
        ("inspect --help", 0, "--derive"),
        ("fit --epocs 3", 2, "--epochs"),
        ("fit log.parquet --epochs few", 2, "'few'"),
        ("fit log.parquet --lr 0.1", 2, "--learning-rate"),
        ("fit nothing.parquet --task a", 2, "nothing.parquet does not exist"),
        ("fit log.parquet --task a --test nothing.csv", 2, "nothing.csv does not exist"),
        ("fit log.parquet --task a --valid nothing.csv", 2, "nothing.csv does not exist"),
        ("inspect nothing.parquet", 2, "nothing.parquet does not exist"),
        ("fit --config nothing.yaml", 2, "no such configuration file"),
        ("export --help", 0, "--derived-as-inputs"),
        ("serve --help", 0, "--workers"),
        ("serve nothing", 2, "there is no such file"),
    ],
)
def test_what_answers_at_once_loads_nothing_slow(
    tmp_path: Path, command: str, code: int, words: str
) -> None:
    (tmp_path / "log.parquet").write_bytes(b"PAR1")
    got, printed, errors, slow = run(tmp_path, *command.split())
    assert got == code
    assert words in printed + errors
    assert slow == []


def test_the_test_sees_torch_where_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    assert "torch" in run(tmp_path, "fit", "log.csv", "--task", "a")[3]
