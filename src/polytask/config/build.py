"""Names and options -> trunks, balancers, models, settings."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from torch import nn

from polytask.balancing import BALANCERS, WRAPPERS, Balancer
from polytask.config.fields import FitConfig, Options, TaskConfig
from polytask.data.encoder import TableEncoder
from polytask.encoders import TabularEncoder
from polytask.errors import UserError, nearest
from polytask.metrics import METRICS
from polytask.model import MultiTaskModel
from polytask.task import Task
from polytask.training.monitor import Monitor, Term
from polytask.training.run import Settings
from polytask.trunks import TRUNKS, Trunk

Found = TypeVar("Found", bound=nn.Module)


def describe_task(task: Task) -> TaskConfig:
    """A task that was made in Python, as a configuration; classes are read off the table again."""
    return TaskConfig(
        name=task.name,
        column=task.target,
        kind=task.kind.name,
        unit=task.kind.unit,
        given=task.given,
        auxiliary=task.auxiliary,
        noise=task.kind.noise,
    )


def build_model(
    config: FitConfig,
    tasks: Sequence[Task],
    *,
    columns: TableEncoder,
    encoder: nn.Module | None = None,
) -> MultiTaskModel:
    """The network for `tasks`; `encoder` replaces the one for table columns."""
    encoder = encoder or build_encoder(config, columns)
    in_features = getattr(encoder, "out_features", None)
    if not isinstance(in_features, int):
        raise UserError(
            f"the encoder {type(encoder).__name__} needs an attribute out_features: the width of "
            "the vector that it returns for each row"
        )
    trunk = build_trunk(config, in_features=in_features, num_tasks=len(tasks))
    return MultiTaskModel(
        encoder, trunk, tasks, tower_hidden=config.tower_hidden, dropout=config.dropout
    )


def build_encoder(config: FitConfig, columns: TableEncoder) -> TabularEncoder:
    """The network's first layer for a table: embeddings, and the encoding of numbers."""
    return TabularEncoder(
        [column.num_ids for column in columns.categorical],
        [column.edges if columns.encoding == "piecewise" else () for column in columns.numeric],
        has_missing=[column.has_missing for column in columns.numeric],
        embedding_dim=config.embedding_dim,
    )


def build_trunk(config: FitConfig, *, in_features: int, num_tasks: int) -> Trunk:
    """The trunk by name; its options from its own mapping and from the flat keys."""
    name, options = _name_and_options(config.trunk, "trunk")
    flat = {key: getattr(config, key) for key in ("hidden", "num_experts", "expert_hidden")}
    options = {key: value for key, value in flat.items() if value is not None} | options
    kind = _look_up(TRUNKS, name, "trunk")
    if "dropout" in inspect.signature(kind).parameters:
        options.setdefault("dropout", config.dropout)
    supplied = {"in_features": in_features, "num_tasks": num_tasks}
    return _construct(kind, f"trunk {name}", options, supplied)


def build_balancer(spec: Options, *, num_tasks: int) -> Balancer:
    """The balancer by name, or from {name: ..., options}; a wrapper's rule is such a mapping too."""
    name, options = _name_and_options(spec, "balancer")
    kind = _look_up({**BALANCERS, **WRAPPERS}, name, "balancer")
    hints = get_type_hints(kind.__init__)
    for key, value in options.items():
        if hints.get(key) is Balancer and isinstance(value, str | Mapping):
            options[key] = build_balancer(value, num_tasks=num_tasks)
    return _construct(kind, f"balancer {name}", options, {"num_tasks": num_tasks})


def build_settings(config: FitConfig) -> Settings:
    """How to train."""
    return Settings(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_fraction=config.warmup_fraction,
        schedule=config.schedule,
        clip_norm=config.clip_norm,
        precision=config.precision,
        patience=config.patience,
        validations_per_epoch=config.validations_per_epoch,
        measure_at=config.measure_at,
        seed=config.seed,
    )


def build_monitor(text: str | None, tasks: Sequence[Task]) -> Monitor:
    """TASK.METRIC[=WEIGHT], separated by commas; None is the mean of the goals' main metrics."""
    if text is None:
        return Monitor.default(tasks)
    monitor = Monitor(tuple(_term(part.strip(), tasks) for part in text.split(",")))
    monitor.check(tasks)
    return monitor


def _term(text: str, tasks: Sequence[Task]) -> Term:
    place, _, weight = text.partition("=")
    task, dot, metric = place.rpartition(".")
    if not dot:
        raise UserError(f"monitor {text!r}: write TASK.METRIC or TASK.METRIC=WEIGHT")
    kinds = {known.name: known.kind.name for known in tasks}
    if task not in kinds:
        raise UserError(f"monitor {text!r}: unknown task {task!r}{nearest(task, kinds)}")
    known_metrics = METRICS[kinds[task]]
    if metric not in known_metrics:
        raise UserError(
            f"monitor {text!r}: unknown metric {metric!r} for a {kinds[task]} task"
            f"{nearest(metric, known_metrics)}"
        )
    try:
        return Term(task, metric, float(weight) if weight else 1.0)
    except ValueError:
        raise UserError(f"monitor {text!r}: {weight!r} is no number") from None


def _name_and_options(spec: Options, what: str) -> tuple[str, dict[str, object]]:
    if isinstance(spec, str):
        return spec, {}
    options = dict(spec)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"{what}: a mapping needs a name, such as {{name: mmoe, num_experts: 8}}")
    return name, options


def _look_up(registry: Mapping[str, type[Found]], name: str, what: str) -> type[Found]:
    key = name.lower().replace("-", "_")
    if key not in registry:
        raise UserError(
            f"unknown {what} {name!r}{nearest(key, registry)}; all: {', '.join(registry)}"
        )
    return registry[key]


def _construct(
    kind: type[Found], what: str, options: Mapping[str, object], supplied: Mapping[str, object]
) -> Found:
    """Call `kind` with checked options: names and types are those of its own signature."""
    parameters = inspect.signature(kind).parameters
    hints = get_type_hints(kind.__init__)
    own = [name for name in parameters if name not in supplied]
    checked: dict[str, object] = {k: v for k, v in supplied.items() if k in parameters}
    for key, value in options.items():
        if key not in own:
            hint = nearest(key, own) if own else " - it takes no options"
            raise UserError(f"{what} has no option {key!r}{hint}")
        checked[key] = _check_option(f"{what}: {key}", value, hints[key])
    try:
        return kind(**checked)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: {error}") from error


def _check_option(what: str, value: object, hint: type[object]) -> object:
    if isinstance(value, nn.Module):
        return value
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint)
        return adapter.validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise UserError(f"{what}: {message[:1].lower()}{message[1:]}, but got {value!r}") from error
