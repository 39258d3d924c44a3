"""The kinds by name, and as plain values of run.yaml and encoder.json."""

import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from polytask.errors import UserError, nearest
from polytask.kinds.binary import Binary
from polytask.kinds.count import Count
from polytask.kinds.kind import Kind
from polytask.kinds.multiclass import Multiclass
from polytask.kinds.quantile import Quantile
from polytask.kinds.regression import Regression
from polytask.kinds.tags import Tags
from polytask.registry import enter

AnyKind = TypeVar("AnyKind", bound=type[Kind])

KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (Binary, Multiclass, Regression, Count, Quantile, Tags)
}


def register(kind: AnyKind) -> AnyKind:
    """Make a kind known by its name, to run.yaml and the command line; a decorator of a frozen
    dataclass. CONTRIBUTING.md walks through a kind of your own.

    >>> register(Regression) is Regression
    True
    """
    if "__dataclass_fields__" not in vars(kind):
        raise ValueError(f"{kind.__name__} must be a frozen dataclass to be registered as a kind")
    enter(KINDS, kind.name, kind)
    return kind


def make_kind(spec: str | Mapping[str, object]) -> Kind:
    """The kind of a name, or of {name: ..., options}.

    >>> make_kind({"name": "regression", "transform": "log1p"}).options()
    {'transform': 'log1p'}
    """
    kind, values = _kind_and_values(spec)
    for key in values:
        if key not in kind.option_names():
            hint = nearest(key, kind.option_names()) if kind.option_names() else ""
            raise UserError(f"{kind.name} has no option {key!r}{hint}")
    return _validated(kind, values)


def describe_kind(kind: Kind) -> str | dict[str, object]:
    """The name, or {name: ..., options}, of which `make_kind` makes an equal, unfitted kind.

    UserError where it could not.
    """
    require_registered(kind)
    plain = _plain(kind)
    options = {name: plain[name] for name in kind.options()}
    return {"name": kind.name, **options} if options else kind.name


def require_registered(kind: Kind) -> None:
    """UserError where the kind is written to no file, since its name would not bring it back."""
    if KINDS.get(kind.name) is not type(kind):
        raise UserError(
            f"the kind {type(kind).__name__} cannot be written to a run folder: register it by "
            "@polytask.kinds.register, or fit without `out`"
        )


def kind_to_record(kind: Kind) -> dict[str, object]:
    """The kind with what was fitted, for encoder.json."""
    require_registered(kind)
    return {"name": kind.name, **_plain(kind)}


def kind_from_record(record: Mapping[str, object]) -> Kind:
    """The kind of `kind_to_record`."""
    return _validated(*_kind_and_values(record))


def _kind_and_values(spec: str | Mapping[str, object]) -> tuple[type[Kind], dict[str, object]]:
    values: dict[str, object] = {} if isinstance(spec, str) else dict(spec)
    name = spec if isinstance(spec, str) else values.pop("name", None)
    if not isinstance(name, str):
        raise UserError("a kind is a name, or a mapping such as {name: regression, unit: s}")
    if name not in KINDS:
        raise UserError(
            f"unknown kind {name!r}{nearest(name, KINDS)}; a kind of your own is known once the "
            "module that registers it is imported"
        )
    return KINDS[name], values


def _validated(kind: type[Kind], values: Mapping[str, object]) -> Kind:
    adapter: TypeAdapter[Kind] = TypeAdapter(kind)
    try:
        # Through JSON text, because only there does strict validation take lists for tuples.
        return adapter.validate_json(json.dumps(values, default=str), strict=True)
    except RecursionError as error:
        raise UserError(f"{kind.name}: its options are nested too deeply") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        message = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise UserError(f"{kind.name}: {where}: {message}, but got {first['input']!r}") from error


def _plain(kind: Kind) -> dict[str, object]:
    """The fields as JSON has them; UserError where JSON has none of the kind."""
    adapter: TypeAdapter[Kind] = TypeAdapter(type(kind))
    try:
        plain: dict[str, object] = adapter.dump_python(kind, mode="json")
        json.dumps(plain, allow_nan=False)
        again = adapter.validate_json(json.dumps(plain), strict=True)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the kind {kind.name} cannot be written to a run folder: {error}"
        ) from error
    if again != kind:
        raise UserError(
            f"the kind {kind.name} cannot be written to a run folder: it reads back as {again}"
        )
    return plain
