"""What cannot be built is said before anything runs, with the place of the part that is to blame."""

from collections.abc import Sequence

import torch

from polytask.config.study import Places, StudyConfig
from polytask.errors import UserError
from polytask.fitting.bagging import refuse_bag
from polytask.fitting.building import try_out
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.preparing.words import refuse_words
from polytask.study.configurations import Configuration
from polytask.study.search import network_space
from polytask.study.training import Training, plan_of


def check(
    config: StudyConfig, compared: Sequence[Configuration], prepared: Prepared, places: Places
) -> None:
    """UserError for what cannot be built, with the place of the part that is to blame."""
    refuse_words(prepared.tasks, "a study")
    refuse_bag(prepared.config, "a study")
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
