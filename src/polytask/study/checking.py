"""What cannot be built is said before anything runs, with the place of the part that is to blame."""

from collections.abc import Sequence

import torch

from polytask.config.study import Places, StudyConfig
from polytask.errors import UserError
from polytask.fitting.building import try_out
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.preparing.prepare import Prepared
from polytask.study.configurations import Configuration
from polytask.study.search import network_space
from polytask.study.statistics import FEWEST_SEEDS
from polytask.study.training import Training, plan_of
from polytask.study.trees import unread_inputs


def check(
    config: StudyConfig, compared: Sequence[Configuration], prepared: Prepared, places: Places
) -> None:
    """UserError for what cannot be built, with the place of the part that is to blame."""
    space = network_space(config.search, prepared.config)
    widest = space.defaults | {"width": max(space.choices["width"])}
    for each in compared:
        if each.group == "trees":
            continue
        chosen = {**widest}
        if each.group == "static":
            chosen["weights"] = ",".join(["1"] * each.num_losses)
        try:
            plan = plan_of(Training(each, chosen, 0), prepared)
            try_out([plan], prepared.inputs, OwnParts(), torch.device("cpu"))
        except UserError as error:
            raise UserError(f"{_blamed(error, each, places)}{error.message}") from error
    if not any(each.num_losses > 1 for each in compared):
        raise UserError(
            "there is one task and no auxiliary one, so nothing is shared or weighed: name another --task, or "
            "a set of --auxiliary tasks or losses"
        )


def _blamed(error: UserError, configuration: Configuration, places: Places) -> str:
    """The key of the part that the message names: the rule, the trunk, or the monitor of all."""
    if "monitor" in error.message:
        return places.of("fit", "monitor")
    by_key = {path[0]: path for path in configuration.places if path}
    if error.message.startswith("the balancer") or "balancer" in error.message.partition(":")[0]:
        path = by_key.get("balancers", ("balancers",))
        return places.of(*path)
    trunk = by_key.get("trunks", ("trunks",))
    return places.of(*trunk)


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
