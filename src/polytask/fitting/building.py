"""ModelPlan -> TrainingRun: models are tried out before the first is trained, and built when they are due."""

from collections.abc import Sequence
from functools import partial

import torch

from polytask.balancing import Balancer, Ranks
from polytask.config.build import (
    build_balancer,
    build_model,
    build_monitor,
    build_settings,
    offered_options,
    weighing,
)
from polytask.errors import UserError
from polytask.fitting.constant_losses import constant_losses
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.sizes import require_memory, sketched
from polytask.inputs import FittedInputs
from polytask.model import MultiTaskModel
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.randomness import drawn_from
from polytask.training.run import TrainingRun


def try_out(
    plans: Sequence[ModelPlan], inputs: FittedInputs, own: OwnParts, device: torch.device
) -> None:
    """Build every model without memory for its weights, its balancer and its monitor.

    Raises UserError for an option that does not fit, and for a model that no memory would hold,
    before the first step of any.
    """
    for plan in plans:
        with drawn_from(plan.config.seed):
            sketch = sketched(partial(model_of, plan, inputs, own))
        require_memory(sketch, device, plan.config.embedding_optimizer)
        check_losses_suit(balancer_of(plan, own), plan.tasks)
        build_monitor(plan.config.monitor, plan.tasks, has_groups=plan.train.groups is not None)


def check_losses_suit(balancer: Balancer, tasks: Sequence[Task]) -> None:
    """UserError for a rule that takes no loss below 0, alone or inside others, and a task with such losses."""
    rules = [rule for rule in balancer.modules() if isinstance(rule, Balancer)]
    refusing = [type(rule).__name__ for rule in rules if rule.needs_positive_losses]
    negative = [task for task in tasks if task.kind.loss_can_be_negative]
    if refusing and negative:
        raise UserError(
            f"the balancer {refusing[0]} takes no loss below 0, but that of task {negative[0].name!r} "
            f"({negative[0].kind.name}) can be negative: choose a rule on the gradients, such as "
            "upgrad, or a kind or options whose loss is at least 0"
        )


def start_training(
    plan: ModelPlan,
    prepared: Prepared,
    own: OwnParts,
    *,
    device: torch.device,
    ranks: Ranks | None = None,
) -> TrainingRun:
    """A model with fresh weights, drawn from the run's seed alone, on its device."""
    with drawn_from(plan.config.seed):
        model = model_of(plan, prepared.inputs, own)
    fit_linear_part(model, plan.train)
    return TrainingRun.start(
        model.to(device),
        balancer_of(plan, own),
        settings=build_settings(plan.config),
        monitor=build_monitor(plan.config.monitor, plan.tasks),
        ranks=ranks,
    )


def fit_linear_part(model: MultiTaskModel, train: Batch) -> None:
    """The regressions of its quantities on the training rows, where the model has such a part."""
    if model.linear is None:
        return
    quantities = {
        place: task.name
        for place, task in enumerate(model.tasks)
        if task.kind.is_squared_error and task.name in train.labels
    }
    labels = {place: train.labels[name] for place, name in quantities.items()}
    weights = {p: train.weights[name] for p, name in quantities.items() if name in train.weights}
    model.linear.fit(train.inputs["numeric"], labels, weights)


def model_of(plan: ModelPlan, inputs: FittedInputs, own: OwnParts) -> MultiTaskModel:
    """The plan's network."""
    return build_model(
        plan.config,
        plan.tasks,
        inputs=inputs,
        encoder=own.fresh_encoder(),
        trunk=own.fresh_trunk,
        auxiliaries=plan.auxiliaries,
        num_steps=plan.num_steps,
    )


def balancer_of(plan: ModelPlan, own: OwnParts) -> Balancer:
    """The plan's rule; with one task there is nothing to weigh."""
    num_more = sum(auxiliary.is_balanced for auxiliary in plan.auxiliaries)
    num_losses = len(plan.tasks) + num_more
    own_balancer = (
        own.fresh_balancer(num_tasks=num_losses)
        if plan.role in ("main", "with", "without")
        else None
    )
    spec = weighing(plan.config, plan.tasks, num_more=num_more)
    offered = offered_options(plan.config, plan.tasks, num_more=num_more)
    offered["constant_losses"] = lambda: [
        *constant_losses(plan.tasks, plan.train),
        *[1.0] * num_more,
    ]
    return own_balancer or build_balancer(spec, num_tasks=num_losses, offered=offered)
