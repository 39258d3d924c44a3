"""Names and options -> trunks, balancers, models, settings."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeAlias, get_type_hints

from torch import nn

from polytask.auxiliary import AUXILIARIES, Auxiliary, TrainingRows
from polytask.balancing import BALANCERS, WRAPPERS, Balancer
from polytask.config.checking import check_options, construct, look_up, name_and_options
from polytask.config.fields import FitConfig
from polytask.config.maps import reads_maps, require_maps
from polytask.config.spellings import Options, split_commas
from polytask.errors import UserError, flag, nearest
from polytask.inputs import INPUTS, FittedInputs, Input
from polytask.inputs.fitted import Fit
from polytask.inputs.image_networks import PIXELS
from polytask.model import LinearPart, MultiTaskModel, Objective
from polytask.task import Task
from polytask.training.monitor import Monitor, Term
from polytask.training.run import Settings
from polytask.trunks import TRUNKS, Aligned, Trunk, WithShortcuts
from polytask.trunks.convolution import Form

OWN = "own"
"""Stands in run.yaml where the user handed over an object in the place of a name."""

_FLAT_INPUT_OPTIONS = (
    *("min_count", "max_ids", "hash_buckets", "numeric_encoding", "num_bins", "embedding_dim"),
)


Offered: TypeAlias = Mapping[str, Callable[[], object]]
"""Options that a run knows, each made when a rule wants it."""
_NOTHING: Offered = MappingProxyType({})


class TrunkMaker(Protocol):
    """Makes the trunk in the place of the options, or returns None to leave it to them."""

    def __call__(self, *, in_features: int, num_tasks: int) -> Trunk | None: ...


def build_model(
    config: FitConfig,
    tasks: Sequence[Task],
    *,
    inputs: FittedInputs,
    encoder: nn.Module | None = None,
    trunk: TrunkMaker | None = None,
    auxiliaries: Sequence[Auxiliary] = (),
    num_steps: int = 0,
) -> MultiTaskModel:
    """The network for `tasks`; `encoder` and `trunk` replace those of the options.

    `num_steps` is the length of the training that extra losses are there for.
    """
    if encoder is None:
        own = inputs.encoder(cross_layers=config.cross_layers or 0, cross_rank=config.cross_rank)
        if config.fold and config.batch_size:
            own.fold_for(config.batch_size)
        encoder = own
    in_features = getattr(encoder, "out_features", None)
    if not isinstance(in_features, int):
        raise UserError(
            f"the encoder {type(encoder).__name__} needs an attribute out_features: the width of "
            "the vector that it returns for each row"
        )
    made = trunk and trunk(in_features=in_features, num_tasks=len(tasks))
    made = made or _trunk_for(config, in_features, len(tasks), inputs)
    if config.align and len(tasks) > 1:
        made = Aligned(made, in_features=in_features)
    return MultiTaskModel(
        encoder,
        made,
        tasks,
        tower_hidden=config.tower_hidden,
        dropout=config.dropout,
        ensemble=config.ensemble or 1,
        linear=_linear_part(config, inputs, len(tasks)),
        objectives=[_objective(each, made, num_steps) for each in auxiliaries],
    )


def _trunk_for(config: FitConfig, in_features: int, num_tasks: int, inputs: FittedInputs) -> Trunk:
    """The trunk that the options name, with shortcuts where they ask for them.

    An alignment is a way of its own for each task already, as is a trunk without layers; features
    that are the same for all tasks must stay the same; of pixels no linear map says much.
    """
    require_maps(config, inputs)
    trunk = build_trunk(config, in_features=in_features, num_tasks=num_tasks, form=inputs.map_form)
    has_own_ways = config.align or next(trunk.parameters(), None) is None
    must_stay = has_own_ways or trunk.num_shared_features is not None or trunk.reads_maps
    if not config.shortcuts or must_stay or num_tasks < 2:
        return trunk
    return WithShortcuts(trunk, in_features=in_features)


def _linear_part(config: FitConfig, inputs: FittedInputs, num_tasks: int) -> LinearPart | None:
    numbers = inputs.by_name.get("numeric")
    if not config.linear or numbers is None or "words" in inputs.by_name:
        return None
    return LinearPart(num_columns=len(numbers.columns), num_tasks=num_tasks)


def _objective(auxiliary: Auxiliary, trunk: Trunk, num_steps: int) -> Objective:
    """A fresh loss for this trunk; UserError where it has not what the loss reads."""
    shared = trunk.num_shared_features
    if auxiliary.reads == "both" and shared is None:
        raise UserError(
            f"{flag('auxiliary', auxiliary.name)} needs a trunk whose features are in part shared, in part "
            "private: --trunk=shared_private"
        )
    reads_shared = auxiliary.reads == "shared" and shared is not None
    width = shared if reads_shared and shared is not None else trunk.out_features
    return auxiliary.objective(width, num_steps=num_steps)


def build_inputs(config: FitConfig) -> dict[str, Fit]:
    """How each input is fitted: with options from `input_options` and from the flat keys."""
    for option in ("columns", "input_options"):
        for name in getattr(config, option):
            if name not in INPUTS:
                flag = option.replace("_", "-")
                raise UserError(f"--{flag}: there is no input {name!r}{nearest(name, INPUTS)}")
    return {name: _fit_of(config, name, kind) for name, kind in INPUTS.items()}


def _fit_of(config: FitConfig, name: str, kind: type[Input]) -> Fit:
    own = [*inspect.signature(kind.fit).parameters][2:]
    flat = {key: getattr(config, key) for key in _FLAT_INPUT_OPTIONS if key in own}
    options = {key: value for key, value in flat.items() if value is not None}
    if name == "image" and reads_maps(config):
        options["network"] = PIXELS
    options |= config.input_options.get(name, {})
    hints = get_type_hints(kind.fit)
    fit: Callable[..., Input] = kind.fit
    return partial(fit, **check_options(f"input {name}", options, own=own, hints=hints))


def build_auxiliaries(config: FitConfig) -> list[Callable[[TrainingRows], Auxiliary]]:
    """How each extra loss is made of the training rows, with its options."""
    return [_auxiliary(spec) for spec in config.auxiliary]


def _auxiliary(spec: Options) -> Callable[[TrainingRows], Auxiliary]:
    name, options = name_and_options(spec, "auxiliary")
    fit: Callable[..., Auxiliary] = look_up(AUXILIARIES, name, "auxiliary").fit
    own = [*inspect.signature(fit).parameters][1:]
    return partial(
        fit, **check_options(f"auxiliary {name}", options, own=own, hints=get_type_hints(fit))
    )


def build_trunk(
    config: FitConfig, *, in_features: int, num_tasks: int, form: Form | None = None
) -> Trunk:
    """The trunk by name; its options from its own mapping and from the flat keys.

    `form` is that of the pictures which x is, for a trunk that reads maps.
    """
    if config.trunk == OWN:
        raise UserError(
            "this run has a trunk of your own, which is in no file: hand it over again, as in "
            "load(run, trunk=...) or resume(run, trunk=...)"
        )
    name, options = name_and_options(config.trunk, "trunk")
    flat = {key: getattr(config, key) for key in ("hidden", "num_experts", "expert_hidden")}
    options = {key: value for key, value in flat.items() if value is not None} | options
    kind = look_up(TRUNKS, name, "trunk")
    if "dropout" in inspect.signature(kind).parameters:
        options.setdefault("dropout", config.dropout)
    supplied: dict[str, object] = {"in_features": in_features, "num_tasks": num_tasks}
    if kind.reads_maps:
        supplied["form"] = form
    return construct(kind, f"trunk {name}", options, supplied)


def options_for_tasks(
    config: FitConfig, positions: Sequence[int], tasks: Sequence[Task]
) -> FitConfig:
    """The options of a model for some of the tasks: their elements of options per task, their terms
    of the monitor; one task alone is not weighed."""
    changes: dict[str, object] = {"init_from": None}
    if config.trunk != OWN:
        name, options = name_and_options(config.trunk, "trunk")
        kind = look_up(TRUNKS, name, "trunk")
        try:
            changes["trunk"] = {"name": name, **kind.options_for(options, positions)}
        except ValueError as error:
            raise UserError(f"trunk {name}: {error}") from error
    if config.monitor is not None:
        names = {task.name for task in tasks}
        terms = split_commas(config.monitor)
        kept = [term for term in terms if term.partition("=")[0].rpartition(".")[0] in names]
        changes["monitor"] = ",".join(kept) or None
    if len(tasks) == 1:
        columns = {name: value for name, value in config.weight.items() if isinstance(value, str)}
        changes |= {"balancer": "equal", "weight": columns}
    return config.model_copy(update=changes)


def weighing(config: FitConfig, tasks: Sequence[Task], *, num_more: int = 0) -> Options:
    """The balancer's name and options; numbers of --weight are static weights.

    `num_more` losses that follow those of the tasks weigh 1.
    """
    numbers = {k: float(v) for k, v in config.weight.items() if not isinstance(v, str)}
    if not numbers:
        return config.balancer
    if config.balancer != "equal":
        raise UserError(
            f"--weight with numbers fixes the tasks' weights, but the balancer {config.balancer!r} "
            "sets them too; use one of the two"
        )
    everyone = numbers.get("*", 1.0)
    weights = [numbers.get(t.name, everyone) for t in tasks]
    return {"name": "static", "weights": [*weights, *[1.0] * num_more]}


def build_balancer(spec: Options, *, num_tasks: int, offered: Offered = _NOTHING) -> Balancer:
    """The balancer by name, or from {name: ..., options}; a wrapper's rule is such a mapping too.

    `offered` options, such as the run's seed, are made for rules that have them and were not given others.
    """
    if spec == OWN:
        raise UserError(
            "this run has a balancer of your own, which is in no file: hand it over again, as in "
            "resume(run, balancer=...)"
        )
    name, options = name_and_options(spec, "balancer")
    kind = look_up({**BALANCERS, **WRAPPERS}, name, "balancer")
    hints = get_type_hints(kind.__init__)
    for key, value in options.items():
        if hints.get(key) is Balancer and isinstance(value, str | Mapping):
            options[key] = build_balancer(value, num_tasks=num_tasks, offered=offered)
    taken = inspect.signature(kind).parameters
    made = {k: make() for k, make in offered.items() if k in taken and k not in options}
    options = made | options
    return construct(kind, f"balancer {name}", options, {"num_tasks": num_tasks})


def offered_options(
    config: FitConfig, tasks: Sequence[Task], *, num_more: int = 0
) -> dict[str, Callable[[], object]]:
    """What a run knows that rules may want: its seed, and which losses are log-likelihoods.

    `num_more` losses follow those of the tasks.
    """
    forms = ["regression" if t.kind.is_squared_error else "classification" for t in tasks]
    forms += ["classification"] * num_more
    return {"seed": lambda: config.seed, "forms": lambda: forms}


def build_settings(config: FitConfig) -> Settings:
    """How to train. UserError for a rate that nothing reads."""
    if config.embedding_rate is not None and config.embedding_optimizer == "adam":
        raise UserError(
            "--embedding-rate is that of --embedding-optimizer=rowwise_adagrad, not of adam"
        )
    values = {field.name: getattr(config, field.name, None) for field in fields(Settings)}
    return Settings(**{name: value for name, value in values.items() if value is not None})


def build_monitor(text: str | None, tasks: Sequence[Task], *, has_groups: bool = True) -> Monitor:
    """TASK.METRIC[=WEIGHT], separated by commas; None is the mean of the goals' main metrics."""
    if text is None:
        return Monitor.default(tasks)
    monitor = Monitor(tuple(_term(part.strip(), tasks) for part in text.split(",")))
    monitor.check(tasks)
    kinds = {task.name: task.kind for task in tasks}
    for term in monitor.terms:
        if not has_groups and kinds[term.task].metric(term.metric).needs_groups:
            raise UserError(
                f"monitor {text!r}: {term.metric} is taken within groups: name their column by --group"
            )
    return monitor


def _term(text: str, tasks: Sequence[Task]) -> Term:
    place, _, weight = text.partition("=")
    task, dot, metric = place.rpartition(".")
    if not dot:
        raise UserError(f"monitor {text!r}: write TASK.METRIC or TASK.METRIC=WEIGHT")
    kinds = {known.name: known.kind for known in tasks}
    if task not in kinds:
        raise UserError(f"monitor {text!r}: unknown task {task!r}{nearest(task, kinds)}")
    try:
        kinds[task].metric(metric)
        return Term(task, metric, float(weight) if weight else 1.0)
    except UserError as error:
        raise UserError(f"monitor {text!r}: {error.message}") from None
    except ValueError:
        raise UserError(f"monitor {text!r}: {weight!r} is no number") from None
