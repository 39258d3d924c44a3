"""--compare-auxiliary: the same model with and without what is trained on for the goals' sake."""

from dataclasses import replace

from polytask.config import FitConfig
from polytask.config.build import options_for_tasks
from polytask.errors import UserError
from polytask.fitting.plan import PRE_TRAINING, From, ModelPlan
from polytask.fitting.planning import multi_task, pre_training
from polytask.fitting.preparing.prepare import Prepared


def with_and_without(config: FitConfig, prepared: Prepared) -> list[ModelPlan]:
    """Under each of the seeds a plan without; but for the first, which is the main model's, one with.

    UserError where there is nothing that could be left out.
    """
    if not config.compare_auxiliary:
        return []
    has_tasks = any(task.auxiliary for task in prepared.tasks)
    if not (prepared.auxiliaries or has_tasks or config.pretrain):
        raise UserError(
            "--compare-auxiliary needs --auxiliary, an auxiliary task or --pretrain: there is nothing to leave out"
        )
    plans = []
    for number in range(config.compare_auxiliary):
        seeded = config.model_copy(update={"seed": config.seed + number})
        if number > 0:
            plans.extend(_with(seeded, prepared))
        plans.append(_without(seeded, prepared))
    return plans


def _with(config: FitConfig, prepared: Prepared) -> list[ModelPlan]:
    """The main model once more under another seed, after its own stage before."""
    plan = replace(multi_task(config, prepared), name=f"with, seed {config.seed}", role="with")
    if not config.pretrain:
        return [plan]
    name = f"{PRE_TRAINING}, seed {config.seed}"
    stage = replace(pre_training(config, prepared), name=name)
    return [stage, replace(plan, start=From(name))]


def _without(config: FitConfig, prepared: Prepared) -> ModelPlan:
    """The goals alone, from fresh weights or from those that --init-from names."""
    positions = [t for t, task in enumerate(prepared.tasks) if not task.auxiliary]
    goals = tuple(prepared.tasks[t] for t in positions)
    start = None if config.init_from is None else From(config.init_from)
    return replace(
        multi_task(config, prepared),
        name=f"without, seed {config.seed}",
        role="without",
        config=options_for_tasks(config, positions, goals),
        tasks=goals,
        start=start,
        auxiliaries=(),
    )
