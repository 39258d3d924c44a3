"""What to use: the plainest row that validation rows do not show to be worse than the best."""

from dataclasses import dataclass, field

import pytest

from polytask.study.choosing import chosen_row
from polytask.study.configurations import AuxiliarySet, Configuration
from polytask.study.statistics import Mean

NOTHING = AuxiliarySet((), (), ())
GROUPS = {
    "mgda": "method",
    "static": "static",
    "equal": "equal",
    "more": "equal",
    "single": "single",
    "trees": "trees",
}


@dataclass
class Known:
    """Rows whose validation scores are known up to `error`; `harmed` ones lose a task to separate models."""

    scores: dict[str, float]
    error: float
    harmed: tuple[str, ...] = ()
    goals: tuple[str, ...] = ("a",)
    models: int = 2
    rows: dict[str, list[Configuration]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.scores:
            positions = (0, 1, 2) if name == "more" else (0, 1)
            made = Configuration(name, name, GROUPS[name], "mmoe", "equal", positions, NOTHING)
            self.rows[name] = [made] * (self.models if name == "single" else 1)

    def mean_difference(self, ours: str, theirs: str, seeds: object, part: str) -> Mean:
        assert part == "valid", "test rows choose nothing"
        value = self.scores[ours] - self.scores[theirs]
        return Mean(value, value - self.error, value + self.error)

    def difference(self, ours: str, theirs: str, task: str, seeds: object, part: str) -> Mean:
        assert part == "valid"
        value = -1.0 if ours in self.harmed else 1.0
        return Mean(value, value - 0.1, value + 0.1)


def choice(known: Known):
    single = "single" if "single" in known.scores else None
    return chosen_row(known, tuple(known.scores), (1, 2, 3), single)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scores", "error", "row"),
    [
        ({"mgda": 0.9, "equal": 0.89}, 0.02, "equal"),
        ({"mgda": 0.9, "equal": 0.85}, 0.02, "mgda"),
        ({"mgda": 0.9, "static": 0.9, "equal": 0.85}, 0.02, "static"),
        ({"single": 0.9, "equal": 0.89, "trees": 0.91}, 0.05, "equal"),
        ({"single": 0.9, "equal": 0.8, "trees": 0.91}, 0.05, "single"),
        ({"trees": 0.95, "single": 0.8, "equal": 0.8}, 0.05, "trees"),
        ({"more": 0.9, "equal": 0.89}, 0.02, "equal"),
    ],
)
def test_the_plainest_of_equals(scores: dict[str, float], error: float, row: str) -> None:
    assert choice(Known(scores, error)).row == row


def test_a_row_that_harms_a_task_comes_last_among_equals() -> None:
    scores = {"equal": 0.9, "mgda": 0.9, "single": 0.89}
    assert choice(Known(scores, 0.02)).row == "equal"
    assert choice(Known(scores, 0.02, harmed=("equal",))).row == "mgda"
    assert choice(Known(scores, 0.02, harmed=("equal", "mgda"))).row == "single"


def test_the_best_and_its_ties_are_named() -> None:
    found = choice(Known({"mgda": 0.9, "equal": 0.89, "static": 0.8}, 0.02))
    assert (found.best, set(found.ties)) == ("mgda", {"mgda", "equal"})


def test_the_own_network_of_one_goal_is_the_plainest() -> None:
    scores = {"equal": 0.9, "single": 0.89}
    assert choice(Known(scores, 0.02, models=1)).row == "single"
    assert choice(Known(scores, 0.005, models=1)).row == "equal"


def test_without_intervals_the_plainest_is_taken() -> None:
    class Few(Known):
        def mean_difference(self, ours: str, theirs: str, seeds: object, part: str) -> Mean:
            return Mean(self.scores[ours] - self.scores[theirs])

    found = choice(Few({"mgda": 0.9, "equal": 0.5}, 0.0))
    assert (found.row, found.best) == ("equal", "mgda")
