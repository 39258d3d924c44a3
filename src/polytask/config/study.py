"""What `polytask study` does: the keys of study.yaml, checked, each with its place in the file."""

import io
import re
from collections.abc import Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from polytask.config.fields import FitConfig
from polytask.config.spellings import Count, Fraction, Location, Options, Positive, Seed, Specs
from polytask.config.yaml import place_of, read_document, validate, validate_config
from polytask.errors import UserError

Mandatory = Literal["single", "static", "rlw", "trees"]
"""Rows of every study beside equal weights, to which all are compared; left out by name alone."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_NOT_OF_FIT = (
    *("trunk", "balancer", "auxiliary", "pretrain", "pretrain_epochs"),
    *("init_from", "grow", "forget", "bag"),
)
_OF_TRUNKS = ("hidden", "num_experts", "expert_hidden")
_OF_STUDY = ("out", "overwrite", "baseline", "data")
QUICK_BUDGET = 285.0
"""Seconds: under five minutes, the report included."""


def _as_seconds(value: object) -> object:
    """90s, 60m and 2h; a number alone would leave its unit to be guessed."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smh])\s*", str(value))
    if found is None:
        raise ValueError("write a time with its unit, such as 90s, 60m or 2h")
    return float(found[1]) * _UNITS[found[2]]


Seconds = Annotated[float, Field(gt=0), BeforeValidator(_as_seconds)]


class _Checked(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class SearchConfig(_Checked):
    """What the trials of a network choose from."""

    learning_rate: Annotated[tuple[Positive, Positive], Field(strict=False)] = (3e-4, 3e-2)
    """The ends of a grid that is even in the logarithm."""
    per_decade: Count = 12
    """Points of that grid between a rate and ten times it."""
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False)] = (
        *(0.0, 1e-6, 1e-5),
        *(1e-4, 1e-3, 1e-2),
    )
    """AdamW's decay."""
    width: Annotated[tuple[Positive, ...], Field(strict=False)] = (0.5, 1.0, 2.0)
    """Factors of the trunk's widths."""
    dropout: Annotated[tuple[Fraction, ...], Field(strict=False)] = (0.0, 0.1, 0.2, 0.3)
    """Dropout in trunk and towers."""

    @model_validator(mode="after")
    def _some_of_each(self) -> "SearchConfig":
        low, high = self.learning_rate
        if low > high:
            raise ValueError(f"learning_rate rises from {low:g} to {high:g}: write the lower first")
        for name in ("weight_decay", "width", "dropout"):
            if not getattr(self, name):
                raise ValueError(f"{name} needs a value to choose")
        return self


class StudyConfig(_Checked):
    """A comparison: what is compared, how each is tuned, and how much time there is."""

    fit: FitConfig
    """Table, tasks and all else that is the same for all; the options of `polytask fit`."""
    trunks: Annotated[tuple[Options, ...], Field(strict=False)] = ()
    """What tasks share: names, or mappings with options; the fit's own trunk if empty."""
    balancers: Annotated[tuple[Options, ...], Field(strict=False)] = (
        *("uncertainty", "dwa", "gradnorm", "mgda"),
        *("pcgrad", "cagrad", "nash_mtl", "famo"),
    )
    """Rules beside equal weights, random weights and the search of static ones."""
    auxiliary: Annotated[tuple[Specs, ...], Field(strict=False, min_length=1)] = ((),)
    """Sets of extra losses and auxiliary tasks; [] is none."""
    design: Literal["product", "star"] = "product"
    """product: every rule on every trunk with every set; star: one of the three is changed at a time."""
    leave_out: Annotated[tuple[Mandatory, ...], Field(strict=False)] = ()
    """Rows that every study has, left out: single, static, rlw or trees. The report says so."""
    trials: Count = 8
    """Trials of each configuration."""
    seeds: Count = 5
    """Trainings of the best of each, under the same seeds."""
    pruning: bool = True
    """Stop a trial that is behind the median of its configuration's."""
    search: SearchConfig = Field(default_factory=SearchConfig)
    """What trials choose from."""
    rows: Count | None = None
    """Train on so many rows, drawn at random; all if absent."""
    epochs: Count | None = None
    """Epochs of each training, where they are to be fewer than the fit's."""
    budget: Seconds = 3600.0
    """Time for everything, such as 60m."""
    workers: Count | None = None
    """Trainings at a time; as many as there are cores if absent."""
    trial_time: Seconds = 1800.0
    """The longest that one training may take."""
    trial_memory: Positive | None = None
    """GB that one training may take; its share of the machine's if absent."""
    storage: str | None = None
    """URL of a data base that several machines share; a file in the study's folder if absent."""
    seed: Seed = 0
    """Seed of the search."""
    out: Location | None = None
    """Folder of the study."""
    overwrite: bool = False
    """Replace an existing study."""

    @property
    def all_trunks(self) -> tuple[Options, ...]:
        return self.trunks or (self.fit.trunk,)


@dataclass(frozen=True, slots=True)
class Places:
    """Where in a file a key stands; without a file, the key alone."""

    document: Mapping[str, object] = field(default_factory=dict)
    source: str | None = None

    def of(self, *path: int | str) -> str:
        """`study.yaml:12:5: trunks.1: ` to begin a message with."""
        return f"{place_of(self.document, path, self.source)}{'.'.join(map(str, path))}: "


def read_study(path: Path) -> tuple[StudyConfig, Places]:
    """The study in a YAML file; UserError as `file:line:column: key: what is wrong`."""
    document = read_document(path)
    return validate_study(document, source=str(path)), Places(document, str(path))


def validate_study(
    values: Mapping[str, object], *, source: str | None = None, from_text: bool = False
) -> StudyConfig:
    """Checked options of a study; `fit` is a mapping, or has been checked already."""
    places = Places(values, source)
    fit = values.get("fit")
    if isinstance(fit, Mapping):
        fit = validate_config(fit, source=source)
    if not isinstance(fit, FitConfig):
        raise UserError(
            f"{places.of('fit')}a mapping with the options of `polytask fit` is due: table, tasks, ..."
        )
    config = validate(
        StudyConfig,
        _with(values, {"fit": fit}),
        source=source,
        from_text=from_text,
        nested={"search": SearchConfig},
    )
    _check_fit(config, places)
    return config


def _with(values: Mapping[str, object], over: Mapping[str, object]) -> Mapping[str, object]:
    """The values with some replaced, in a mapping that still knows the lines of its keys."""
    changed = copy(values)
    assert isinstance(changed, MutableMapping)
    changed.update(over)
    return changed


def _check_fit(config: StudyConfig, places: Places) -> None:
    said = config.fit.model_fields_set
    for name in (*_NOT_OF_FIT, *(_OF_TRUNKS if config.trunks else ()), *_OF_STUDY):
        if name in said and (name != "trunk" or config.trunks):
            own = {"trunk": "trunks", "balancer": "balancers", "auxiliary": "auxiliary"}.get(name)
            hint = f"write {own}: [...] beside fit" if own else "a study does without it"
            hint = "write it as an option of one of the trunks" if name in _OF_TRUNKS else hint
            hint = "write it beside fit" if name in ("out", "overwrite") else hint
            raise UserError(f"{places.of('fit', name)}this is no part of what all share: {hint}")
    numbers = [name for name, value in config.fit.weight.items() if not isinstance(value, str)]
    if numbers:
        raise UserError(
            f"{places.of('fit', 'weight')}the weight of {numbers[0]!r} is a number, but static weights "
            "are searched by the study itself: name columns only"
        )


def quick(config: StudyConfig) -> StudyConfig:
    """The form that ends in under five minutes: few rules, two trials, three seeds, fewer rows and epochs.

    What the user set stays.
    """
    values: dict[str, object] = {
        "balancers": ("uncertainty", "nash_mtl"),
        "trials": 2,
        "seeds": 3,
        "rows": 20_000,
        "epochs": 3,
        "budget": QUICK_BUDGET,
    }
    kept = {name: value for name, value in values.items() if name not in config.model_fields_set}
    return config.model_copy(update=kept)


def write_study(config: StudyConfig) -> str:
    """YAML text that `read_study` reads back as an equal study."""
    from ruamel.yaml import YAML

    values = config.model_dump(mode="json", exclude_unset=True, exclude={"fit"})
    for name in ("budget", "trial_time"):
        if name in values:
            values[name] = f"{values[name]:g}s"
    fit = config.fit.model_dump(mode="json", exclude_unset=True)
    values = {"fit": fit} | values
    yaml, buffer = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 1 << 20
    yaml.dump({k: v for k, v in values.items() if v is not None}, buffer)
    return buffer.getvalue()
