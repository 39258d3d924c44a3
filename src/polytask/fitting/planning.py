"""Options and prepared rows -> the plans of a fit, a study or a transfer."""

from collections.abc import Sequence
from dataclasses import replace

from polytask.auxiliary import Auxiliary
from polytask.config import FitConfig
from polytask.config.build import options_for_tasks
from polytask.fitting.mixing import batches_by_set
from polytask.fitting.plan import MULTI_TASK, PRE_TRAINING, From, ModelPlan
from polytask.fitting.preparing.data_sets import DataSet
from polytask.fitting.preparing.prepare import Prepared
from polytask.streams import Augmentation, Batch
from polytask.task import Task


def plans_of(config: FitConfig, prepared: Prepared) -> list[ModelPlan]:
    """The model for all tasks, after its stage before, and where a baseline is asked for one a goal."""
    plans = [multi_task(config, prepared)]
    if config.pretrain:
        plans.insert(0, pre_training(config, prepared))
    if config.baseline == "single":
        goals = [t for t, task in enumerate(prepared.tasks) if not task.auxiliary]
        plans.extend(single_task(config, prepared, position) for position in goals)
    return plans


def pre_training(config: FitConfig, prepared: Prepared) -> ModelPlan:
    """Some tasks or extra losses alone, weighed alike; the main model starts from its weights.

    Extra losses alone are trained to the end: no metric of a task says when to stop.
    """
    positions = [t for t, task in enumerate(prepared.tasks) if task.name in config.pretrain]
    tasks = tuple(prepared.tasks[t] for t in positions)
    extra = [each for each in prepared.auxiliaries if each.name in config.pretrain]
    changes: dict[str, object] = {"balancer": "equal", "weight": {}, "init_from": None}
    changes["epochs"] = config.pretrain_epochs or config.epochs
    changes["learning_rate"] = config.pretrain_rate or config.learning_rate
    own = options_for_tasks(config, positions, tasks) if tasks else config
    train = prepared.train
    if not tasks:
        known = {each.name for each in extra}
        labels = {name: label for name, label in train.labels.items() if name in known}
        train = replace(train, labels=labels, weights={})
    names = {task.name for task in tasks or prepared.tasks}
    sets = tuple(each for each in prepared.data_sets if not names.isdisjoint(each.tasks))
    batches = batches_by_set(config, prepared.data_sets)
    return ModelPlan(
        PRE_TRAINING,
        "stage",
        own.model_copy(update=changes),
        tasks or prepared.tasks,
        train,
        prepared.valid if tasks else None,
        None,
        None if config.init_from is None else From(config.init_from),
        tuple(replace(each, weight="balanced") for each in extra),
        augmented=_augmented(prepared),
        stored=prepared.stored,
        data_sets=sets,
        batches=tuple(batches[each.name] for each in sets),
    )


def multi_task(config: FitConfig, prepared: Prepared) -> ModelPlan:
    """All tasks at once, and all extra losses."""
    return ModelPlan(
        MULTI_TASK,
        "main",
        config,
        prepared.tasks,
        prepared.train,
        prepared.valid,
        prepared.test,
        _start(config),
        prepared.auxiliaries,
        _augmented(prepared),
        prepared.data_sets,
        tuple(batches_by_set(config, prepared.data_sets).values()),
        lengths_B=prepared.lengths_B,
        stored=prepared.stored,
        stored_test=prepared.stored_test,
    )


def _start(config: FitConfig) -> From | None:
    if config.pretrain:
        return From(PRE_TRAINING)
    return None if config.init_from is None else From(config.init_from)


def single_task(config: FitConfig, prepared: Prepared, position: int) -> ModelPlan:
    """One goal alone, with the same options. Its label is the joint one where it is given another: an
    ordinary binary."""
    task = without_parent(prepared, position)
    own = options_for_tasks(config, [position], [task])
    plan = ModelPlan(
        f"single: {task.name}",
        "baseline",
        own,
        (task,),
        prepared.train,
        prepared.valid,
        prepared.test,
        augmented=_augmented(prepared),
        lengths_B=prepared.lengths_B,
        stored=prepared.stored,
        stored_test=prepared.stored_test,
    )
    mine = [each for each in prepared.data_sets if task.name in each.tasks]
    return _on_its_own_rows(plan, mine[0], config, prepared) if mine else plan


def joint(
    config: FitConfig,
    prepared: Prepared,
    positions: Sequence[int],
    *,
    auxiliaries: Sequence[Auxiliary] = (),
) -> ModelPlan:
    """Some of the tasks in one model, and some of the extra losses, with their elements of the options.

    A plan of transfer and of a study: a `baseline`, which starts from fresh weights.
    """
    tasks = tuple(without_parent(prepared, position, among=positions) for position in positions)
    return ModelPlan(
        "+".join(task.name for task in tasks),
        "baseline",
        options_for_tasks(config, positions, tasks),
        tasks,
        prepared.train,
        prepared.valid,
        prepared.test,
        auxiliaries=tuple(auxiliaries),
        augmented=_augmented(prepared),
        lengths_B=prepared.lengths_B,
        stored=prepared.stored,
        stored_test=prepared.stored_test,
    )


def _on_its_own_rows(
    plan: ModelPlan, data_set: DataSet, config: FitConfig, prepared: Prepared
) -> ModelPlan:
    """One data set alone, in as many batches an epoch as it has in the model for all."""
    valid, test = (data_set.rows.get(part, range(0)) for part in ("valid", "test"))
    own_rows = {"train": data_set.rows["train"], "valid": range(len(valid))}
    return replace(
        plan,
        valid=_selected(plan.valid, valid),
        test=_selected(plan.test, test),
        data_sets=(replace(data_set, rows={**own_rows, "test": range(len(test))}),),
        batches=(batches_by_set(config, prepared.data_sets)[data_set.name],),
    )


def _selected(table: Batch | None, rows: range) -> Batch | None:
    return table[rows.start : rows.stop] if table is not None and rows else None


def _augmented(prepared: Prepared) -> dict[str, Augmentation]:
    """The inputs whose training rows differ from epoch to epoch."""
    return {
        name: Augmentation(one.num_draws, one.augment)
        for name, one in prepared.inputs.by_name.items()
        if one.num_draws
    }


def without_parent(prepared: Prepared, position: int, *, among: Sequence[int] = ()) -> Task:
    """A task whose parent is not `among` the model's: its one output starts at the joint rate."""
    task = prepared.tasks[position]
    if task.given is None or task.given in {prepared.tasks[place].name for place in among}:
        return task
    kind = task.kind.starting_at(prepared.train.labels[task.name].double().numpy())
    return replace(task, kind=kind, given=None)
