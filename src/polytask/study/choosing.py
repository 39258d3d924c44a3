"""What to use: the simplest row that validation rows do not show to be worse than the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polytask.config import FitConfig, write_config
from polytask.fitting.preparing.prepare import Prepared
from polytask.records.study import Group, TrialLine
from polytask.study.configurations import Configuration
from polytask.study.outcomes import Outcomes
from polytask.study.training import Training, options_for

_PLAINNESS: Mapping[Group, int] = {
    "equal": 0,
    "static": 1,
    "method": 2,
    "rlw": 3,
    "single": 4,
    "trees": 5,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The recommended row, the one of the highest validation score, and those that tie with it."""

    row: str
    best: str
    ties: tuple[str, ...]


def chosen_row(
    outcomes: Outcomes, rows: Sequence[str], seeds: Sequence[int], single: str | None
) -> Choice:
    """Validation rows decide, so that the test rows are an honest report of what was chosen.

    The best has the highest mean over goals; a row ties where the interval of its loss against the best
    holds 0. Of the ties those are preferred that no goal is shown to lose by against separate models, and
    of these the plainest: equal weights before tuned ones, those before a balancing rule, one model
    before one a task, fewer losses before more, networks before trees.
    """
    means = {row: outcomes.mean_difference(row, rows[0], seeds, "valid").value for row in rows}
    best = max(rows, key=lambda row: means[row])
    ties = tuple(row for row in rows if row == best or not _is_worse(outcomes, row, best, seeds))

    def order(row: str) -> tuple[bool, int, int, int]:
        return (_harms(outcomes, row, single, seeds), *_plainness(outcomes.rows[row], rows))

    return Choice(min(ties, key=order), best, ties)


def _is_worse(outcomes: Outcomes, row: str, best: str, seeds: Sequence[int]) -> bool:
    # Without an interval nothing can be told from chance, so nothing is worse.
    loss = outcomes.mean_difference(best, row, seeds, "valid")
    return loss.low is not None and loss.low > 0


def _harms(outcomes: Outcomes, row: str, single: str | None, seeds: Sequence[int]) -> bool:
    """Whether validation shows a goal to be worse than by a model of its own."""
    if single in (None, row):
        return False
    gains = [outcomes.difference(row, str(single), t, seeds, "valid") for t in outcomes.goals]
    return any(gain.high is not None and gain.high < 0 for gain in gains)


def _plainness(models: Sequence[Configuration], rows: Sequence[str]) -> tuple[int, int, int]:
    first = models[0]
    # With one goal its own network is the plainest there is.
    is_alone = first.group == "single" and len(models) == 1
    plainness = -1 if is_alone else _PLAINNESS[first.group]
    return (plainness, first.num_losses, rows.index(first.row))


def winner_files(
    models: Sequence[Configuration],
    best: Mapping[str, TrialLine],
    fit: FitConfig,
    prepared: Prepared,
) -> dict[str, str]:
    """What `polytask fit --config` takes: one file, or one a task for separate models."""
    found = {}
    for number, each in enumerate(models, start=1):
        if each.name not in best or each.group == "trees":
            continue
        own = options_for(Training(each, best[each.name].chosen, 0), fit)
        changes: dict[str, object] = {"auxiliary": each.auxiliary.specs, "baseline": "none"}
        if len(models) > 1:
            goal = prepared.tasks[each.positions[0]].name
            changes["tasks"] = tuple(t for t in fit.tasks if _names(t, goal))
            changes["given"] = {}
        name = "winner.yaml" if len(models) == 1 else f"winner-{number}.yaml"
        found[name] = write_config(own.model_copy(update=changes))
    return found


def _names(task: object, goal: str) -> bool:
    """Whether a task of the options, in whichever spelling, is the one of this name."""
    if isinstance(task, str):
        return task.partition(":")[0].partition("=")[0].strip() == goal
    return bool(getattr(task, "name", None) == goal)
