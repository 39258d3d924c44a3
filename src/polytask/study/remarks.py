"""What a reader has to know before a number: what a study leaves out, and what it could not do."""

from collections.abc import Collection, Sequence

from polytask.config.study import StudyConfig
from polytask.fitting.preparing.prepare import Prepared
from polytask.study.conducting import Conductor
from polytask.study.configurations import Configuration
from polytask.study.statistics import FEWEST_SEEDS
from polytask.study.trees import unread_inputs


def remarks(
    config: StudyConfig,
    compared: Sequence[Configuration],
    prepared: Prepared,
    trees: Sequence[int],
) -> tuple[str, ...]:
    """What a reader has to know before a number."""
    found = []
    goals = [p for p, task in enumerate(prepared.tasks) if not task.auxiliary]
    if "trees" not in config.leave_out:
        lacking = [prepared.tasks[p].name for p in goals if p not in trees]
        if lacking:
            found.append(
                f"no trees: there is no loss for the kind of {', '.join(lacking)} in scikit-learn's"
            )
        unread = unread_inputs(prepared.train[:1], prepared.inputs)
        if unread and not lacking:
            found.append(f"trees do not read the inputs {', '.join(unread)}, networks do")
    if config.seeds < FEWEST_SEEDS:
        found.append(
            f"{config.seeds} seeds: with fewer than {FEWEST_SEEDS} there is no interval, and nothing can be "
            "told from chance"
        )
    if not any(each.group == "static" for each in compared) and "static" not in config.leave_out:
        found.append("no search of static weights: no model has two losses to weigh")
    if config.rows is not None and config.rows <= len(prepared.train):
        found.append(f"trained on {len(prepared.train):,} rows, drawn at random")
    return tuple(found)


def what_was_not_done(
    conductor: Conductor, finished: Collection[str], seeds: Sequence[int]
) -> list[str]:
    """What was left out, failed, or could not be done."""
    config = conductor.agenda.config
    lines = conductor.agenda.all_lines
    found = []
    if config.leave_out:
        found.append(
            f"left out on request: {', '.join(config.leave_out)}; what is compared with them is missing"
        )
    if conductor.ran_out:
        done = len(lines)
        total = conductor.agenda.total_trials
        found.append(
            f"the budget of {config.budget:.0f} s was spent: {done} of {total} trials, and "
            f"{len(seeds)} of {config.seeds} seeds, were done"
        )
        missing = [
            row
            for row in dict.fromkeys(each.row for each in conductor.agenda.configurations)
            if row not in finished
        ]
        if missing:
            found.append(f"no time was left for: {', '.join(missing)}")
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if line.state == "failed":
            reasons.setdefault(line.reason, []).append(
                f"{line.configuration} (trial {line.place + 1})"
            )
    for (name, seed), reason in conductor.failed_finals.items():
        reasons.setdefault(reason, []).append(f"{name} (seed {seed})")
    found += [f"failed: {', '.join(names)}: {why}" for why, names in reasons.items()]
    return found
