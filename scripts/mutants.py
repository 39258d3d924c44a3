"""Break the code on purpose, and see whether the tests notice.

Each mutant is one small change (scripts/mutations.py) in a temporary copy of src, run against the
tests of its room until the first failure: it is killed, or it survives. A seeded sample of them is
run, and all of `named_mutants.toml`: lines that were once found to be guarded by nothing.
"""

import argparse
import importlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutations import Mutation, mutations

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "polytask"
NAMED = Path(__file__).with_name("named_mutants.toml")

# The tests of each room, those that take long left out; quick ones first.
TESTS = {
    "training": [
        "tests/training/test_validation.py", "tests/training/test_loop.py", "tests/training",
        "tests/project/test_docstring_examples.py", "tests/config/test_config_build.py",
        "tests/fitting/test_one_number.py", "tests/fitting/test_kinds_in_fits.py",
    ],
    "streams": [
        "tests/streams", "tests/project/test_docstring_examples.py", "tests/training/test_loop.py",
    ],
    "model": [
        "tests/model", "tests/training/test_loop.py", "tests/project/test_docstring_examples.py",
    ],
    "kinds": [
        "tests/kinds/test_labels.py", "tests/kinds/test_kind_laws.py", "tests/kinds",
        "tests/fitting/test_kinds_in_fits.py", "tests/training/test_validation.py",
    ],
    "fitting": [
        "tests/fitting/test_plans.py", "tests/fitting/test_step_records.py",
        "tests/config/test_config_build.py", "tests/config/test_config_yaml.py", "tests/fitting",
    ],
}  # fmt: skip
# Files that take long, and the modules whose mutants they are run for.
ONLY_FOR = {
    "test_adamw.py": ("adamw",),
    "test_checkpoint.py": ("checkpoint", "run_state", "state_files", "run"),
    "test_memory.py": ("memory",),
    "test_budget.py": ("budget", "threads", "session"),
    "test_figures.py": ("calibration", "explain", "figures"),
    "test_torchrun.py": ("torchrun", "environment", "session"),
    "test_resume.py": (
        "run_checkpoints", "folder", "resuming", "fingerprint", "loading", "session", "own_parts",
    ),
}  # fmt: skip
_NO_TESTS = 5
"""pytest's exit status where no test was chosen: nothing was noticed."""

TOO_LONG = "not compiler and not killed_at and not two_processes and not resumed_run_ends and not told_once"
TOO_LONG += " and not restarted_after and not costs_no_bit and not ray_placed"

# Imported once and inherited by every process: half of a short run is their start.
SHARED = ("torch", "numpy", "pandas", "pyarrow.dataset", "scipy.optimize", "pydantic", "pytest",
          "hypothesis", "safetensors.torch", "ruamel.yaml", "typer", "polars")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed file of a room; `title` says what is wrong with it, where a person wrote it."""

    room: str
    file: Path
    mutation: Mutation
    title: str = ""

    def __str__(self) -> str:
        place = f"{self.file.relative_to(SOURCES)}:{self.mutation.line}"
        return f"{place:<40} {self.title or self.mutation}"


def named_mutants() -> list[Mutant]:
    """Those of the file; ValueError where its text is not found once in the source."""
    found = []
    for entry in tomllib.loads(NAMED.read_text(encoding="utf-8"))["mutant"]:
        file = SOURCES / entry["file"]
        source = file.read_text(encoding="utf-8")
        if source.count(entry["old"]) != 1:
            raise ValueError(f"{entry['title']}: not once in {entry['file']}: {entry['old']!r}")
        start = source.index(entry["old"])
        line = source.count("\n", 0, start) + 1
        end = start + len(entry["old"])
        mutation = Mutation(line, start, end, entry["old"], entry["new"])
        found.append(Mutant(entry["tests"], file, mutation, entry["title"]))
    return found


def sample(room: str, number: int, *, seed: int) -> list[Mutant]:
    """As many lines of the room, drawn at random, with one change of each."""
    lines: dict[tuple[Path, int], list[Mutation]] = {}
    for file in sorted((SOURCES / room).rglob("*.py")):
        for mutation in mutations(file.read_text(encoding="utf-8")):
            lines.setdefault((file, mutation.line), []).append(mutation)
    generator = random.Random(f"{seed} {room}")
    drawn = generator.sample(sorted(lines), min(number, len(lines)))
    return [Mutant(room, place[0], generator.choice(lines[place])) for place in drawn]


def test_files(room: str) -> list[Path]:
    """Each once, in the order of `TESTS`."""
    paths = [ROOT / path for path in TESTS[room]]
    files = [file for path in paths for file in (sorted(path.glob("test_*.py")) or [path])]
    return list(dict.fromkeys(files))


def tests_of(mutant: Mutant) -> list[str]:
    """The tests of its room: first those files that speak of the changed module."""
    files = [
        file
        for file in test_files(mutant.room)
        if mutant.file.stem in ONLY_FOR.get(file.name, (mutant.file.stem,))
    ]
    word = mutant.file.stem if mutant.file.stem != "__init__" else mutant.room
    texts = {file: file.stem + file.read_text(encoding="utf-8") for file in files}
    files.sort(key=lambda file: (f".{word} import" not in texts[file], word not in texts[file]))
    return [str(file.relative_to(ROOT)) for file in files]


def run_tests(tests: list[str], sources: Path, *, seconds: float) -> str:
    """What noticed: the first test that fails, "time", or "" where nothing did.

    `seconds` are of the processor, since a busy machine is no sign of an endless loop; a test that
    waits for ever is given ten times as many by the clock.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = multiprocessing.get_context("fork").Process(
            target=_pytest, args=(tests, sources, log, int(seconds))
        )
        process.start()
        process.join(10 * seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            return "time"
        if process.exitcode in (0, _NO_TESTS):
            return ""
        if process.exitcode == -signal.SIGXCPU:
            return "time"
        words = [line.split()[1] for line in log.read_text().splitlines() if _is_failure(line)]
        return words[0] if words else "an error"


def _is_failure(line: str) -> bool:
    return line.startswith(("FAILED ", "ERROR "))


def _pytest(tests: list[str], sources: Path, log: Path, seconds: int) -> None:
    """In a process of its own: pytest on another copy of the sources."""
    used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ |= {"PYTHONPATH": str(sources), "HYPOTHESIS_STORAGE_DIRECTORY": f"{log}-examples"}
    sys.path.insert(0, str(sources))
    pytest = importlib.import_module("pytest")
    options = ["-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-k", TOO_LONG]
    options += [f"--basetemp={log}-files", f"--rootdir={ROOT}"]
    os._exit(int(pytest.main([*options, *tests])))


def noticed_by(mutant: Mutant, *, seconds: float) -> str:
    """The test that kills the mutant, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"
        shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
        source = mutant.file.read_text(encoding="utf-8")
        changed = sources / mutant.file.relative_to(ROOT / "src")
        changed.write_text(mutant.mutation.apply(source), encoding="utf-8")
        return run_tests(tests_of(mutant), sources, seconds=seconds)


def check_unchanged(rooms: list[str], *, seconds: float) -> None:
    """Tests that fail on the sources as they are would kill every mutant."""
    for room in rooms:
        tests = [str(file.relative_to(ROOT)) for file in test_files(room)]
        found = run_tests(tests, ROOT / "src", seconds=seconds)
        if found:
            raise SystemExit(f"without any mutant the tests of {room} fail: {found}")
        print(f"tests pass unchanged: {room}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the code and see whether tests notice.")
    parser.add_argument("--number", type=int, default=40, help="mutants drawn, over all rooms")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--rooms", nargs="*", default=[*TESTS], choices=[*TESTS])
    parser.add_argument("--threshold", type=float, default=0.8, help="the share to be killed")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="of the processor, for one mutant"
    )
    parser.add_argument("--unchecked", action="store_true", help="no run without a mutant first")
    parser.add_argument("--only", choices=["named", "drawn"], help="not the others")
    return parser.parse_args()


def main() -> None:
    options, began = arguments(), time.monotonic()
    for name in SHARED:
        importlib.import_module(name)
    os.chdir(ROOT)
    if not options.unchecked:
        check_unchanged(options.rooms, seconds=options.seconds)
    mutants = [] if options.only == "drawn" else named_mutants()
    mutants = [mutant for mutant in mutants if mutant.room in options.rooms]
    for room in [] if options.only == "named" else options.rooms:
        mutants += sample(room, options.number // len(options.rooms), seed=options.seed)
    killed: dict[str, list[bool]] = {}
    for mutant in mutants:
        started = time.monotonic()
        test = noticed_by(mutant, seconds=options.seconds)
        kind = f"named, {mutant.room}" if mutant.title else mutant.room
        killed.setdefault(kind, []).append(bool(test))
        verdict = f"killed by {test.removeprefix('tests/')}" if test else "SURVIVED"
        print(f"{mutant}\n    {verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    for kind, found in killed.items():
        print(f"{kind:<18} {sum(found):>3} of {len(found):>3} killed")
    every = [verdict for found in killed.values() for verdict in found]
    share = sum(every) / max(1, len(every))
    print(f"{share:.0%} of {len(every)} killed in {time.monotonic() - began:.0f} s")
    sys.exit(share < options.threshold)


if __name__ == "__main__":
    main()
