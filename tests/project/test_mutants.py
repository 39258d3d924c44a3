"""What `make mutants` breaks: behaviour alone, and lines that are there."""

import ast

import mutants
import pytest
from mutations import mutations


def changed(source: str) -> list[str]:
    return [each.apply(source) for each in mutations(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y = a < b", ["y = (a <= b)"]),
        ("y = a + b", ["y = (a - b)"]),
        ("y = not a", ["y = (a)"]),
        ("y = a or b", ["y = (a and b)"]),
        ("y = f(a)", ["y = (a)"]),
        ("y = a.f(b)", ["y = (a)"]),
        ("y = np.f(a)", ["y = (a)"]),
        ("y = f(weights=w)", ["y = (f())"]),
        ("y = 0", ["y = 1"]),
        ("y = True", ["y = False"]),
        ("x.y = z", ["pass"]),
        ("g()", ["pass"]),
        ("if a:\n    b\nelif c:\n    d", ["if (not (a)):\n    b\nelif c:\n    d",
                                         "if a:\n    b\nelif (not (c)):\n    d"]),
        ("é = 'é', a < b", ["é = 'é', (a <= b)"]),
        ("with f():\n    a", ["with __import__('contextlib').nullcontext():\n    a"]),
    ],
)  # fmt: skip
def test_each_change_is_one_change(source: str, expected: list[str]) -> None:
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "x: int | None",
        "def f(x: int | None) -> list[int]: ...",
        "raise ValueError(f(x + 1))",
        "assert a < b",
        "from a import b",
        "y = f'{a + b} rows'",
        "__slots__ = f(1)",
        "A: TypeAlias = Tensor | None",
        "Schedule = Literal[1, 0]",
        "y = float(a)",
    ],
)
def test_what_says_nothing_of_behaviour_is_left_alone(source: str) -> None:
    assert changed(source) == []


@pytest.mark.parametrize("room", mutants.TESTS)
def test_the_sample_is_of_the_seed_alone_and_can_be_read(room: str) -> None:
    drawn = mutants.sample(room, 30, seed=1)
    assert drawn == mutants.sample(room, 30, seed=1) != mutants.sample(room, 30, seed=2)
    for mutant in drawn:
        source = mutant.file.read_text(encoding="utf-8")
        text = mutant.mutation.apply(source)
        assert text != source
        ast.parse(text)


def test_named_mutants_change_lines_that_are_there() -> None:
    found = mutants.named_mutants()
    assert len({mutant.title for mutant in found}) == len(found)
    for mutant in found:
        ast.parse(mutant.mutation.apply(mutant.file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("room", mutants.TESTS)
def test_every_test_of_a_room_is_run_for_it(room: str) -> None:
    files = mutants.test_files(room)
    assert len(set(files)) == len(files)
    assert set((mutants.ROOT / "tests" / room).glob("test_*.py")) <= set(files)
    for file in files:
        assert file.exists(), file


def test_what_takes_long_is_run_for_modules_that_are_there() -> None:
    files = {file.name for room in mutants.TESTS for file in mutants.test_files(room)}
    modules = {file.stem for file in mutants.SOURCES.rglob("*.py")}
    for file, names in mutants.ONLY_FOR.items():
        assert file in files and set(names) <= modules
