"""Every option of a run, once: the YAML keys, the command line's options and fit's arguments."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from polytask.choices import GivenConflict, NumericEncoding, Schedule
from polytask.data.options import Decimal
from polytask.errors import UserError


def _split_commas(value: object) -> object:
    """`a,b` and ["a", "b"] mean the same, and 1 the name "1"."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(_as_name(part) for part in value)
    name = _as_name(value)
    return (name,) if isinstance(name, str) else value


def _as_name(value: object) -> object:
    """A column or a value that YAML read as a number or a truth, as its text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _split_integers(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        parts = (part.strip() for part in value.split(",") if part.strip())
        return tuple(int(part) if part.isdigit() else part for part in parts)
    return tuple(value) if isinstance(value, list) else value


def _as_pairs(value: object) -> object:
    """`A=x`, a list of such, and {A: x} mean the same; text without `=` goes under "*"."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        return value
    pairs = (text.split("=", maxsplit=1) if "=" in text else ("*", text) for text in value)
    return {name.strip(): _number_or_text(text.strip()) for name, text in pairs}


def _as_words(value: object) -> object:
    """A value, or a list of values, as texts: -1, NA and [-1, NA] in YAML."""
    values = value if isinstance(value, list | tuple) else [value]
    is_plain = all(isinstance(each, str | int | float) for each in values)
    return tuple(str(each) for each in values) if is_plain else value


def _number_or_text(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _as_columns(value: object) -> object:
    """`INPUT=COLUMN,COLUMN`, a list of such, and {INPUT: [COLUMN, ...]} mean the same."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    columns: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, names = text.partition("=")
        if not equals:
            raise ValueError(f"write INPUT=COLUMN, such as time=created, but got {text!r}")
        found = tuple(part.strip() for part in names.split(",") if part.strip())
        columns[name.strip()] = (*columns.get(name.strip(), ()), *found)
    return columns


def _as_path(value: object) -> object:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a path holds no NUL character")
    return Path(value) if isinstance(value, str) else value


def _parse_braces(value: object) -> object:
    """`{name: mmoe, num_experts: 4}` on a command line is the mapping that it would be in YAML."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    from polytask.files.yaml import load_yaml

    return load_yaml(value, where="this is no mapping such as {name: mmoe, num_experts: 4}")


def _as_kind(value: object) -> object:
    """A kind, by name, or from {name: ..., options}; kinds load torch, so only where one is given."""
    from polytask.kinds import Kind, make_kind

    if isinstance(value, Kind):
        return value
    if not isinstance(value, str | Mapping):
        raise ValueError("a kind is a name, or a mapping such as {name: regression, unit: s}")
    try:
        return make_kind(value)
    except UserError as error:
        raise ValueError(str(error)) from error


def _from_kind(kind: "Kind") -> str | dict[str, object]:
    from polytask.kinds import describe_kind

    return describe_kind(kind)


Name = Annotated[str, BeforeValidator(_as_name)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split_integers)]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
Lines = Annotated[Texts, BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]
Words = Annotated[tuple[str, ...], BeforeValidator(_as_words)]
Pairs = Annotated[Mapping[str, str], BeforeValidator(_as_pairs)]
Columns = Annotated[Mapping[str, Names], BeforeValidator(_as_columns)]
InputOptions = Annotated[Mapping[str, Mapping[str, object]], BeforeValidator(_parse_braces)]
Weights = Annotated[Mapping[str, str | float | int], BeforeValidator(_as_pairs)]
CutOff = Annotated[int | float | str, BeforeValidator(_number_or_text)]
Location = Annotated[Path, BeforeValidator(_as_path)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Options = Annotated[str | Mapping[str, object], BeforeValidator(_parse_braces)]
if TYPE_CHECKING:
    from polytask.kinds import Kind

    KindOption = Kind
else:
    KindOption = Annotated[object, BeforeValidator(_as_kind), PlainSerializer(_from_kind)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )


class TaskConfig(_Strict):
    """One task: its name, the label column, and what the label is, if that is known.

    In YAML `kind` is a name, or a mapping with its options: {name: regression, transform: log1p}.
    """

    name: Name
    column: Name
    kind: KindOption | None = None
    given: str | None = None
    auxiliary: bool = False


class FitConfig(_Strict):
    """What `polytask fit` does, complete: the run.yaml of a run repeats it."""

    # What is read
    table: Annotated[
        Location | None, Field(description="Training table (Parquet, CSV, Arrow).")
    ] = None
    tasks: Annotated[
        tuple[str | TaskConfig, ...],
        BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
        Field(description="[NAME=]COLUMN[:KIND[:YES]], one a task; repeat the option."),
    ] = ()
    test: Annotated[Location | None, Field(description="Table to test on, touched once.")] = None
    valid: Annotated[Location | None, Field(description="Table to validate on.")] = None

    # Columns
    inputs: Annotated[Names | None, Field(description="Only these columns are inputs.")] = None
    ignore: Annotated[Names, Field(description="Columns that are no inputs.")] = ()
    categorical: Annotated[Names, Field(description="Columns to read as categories.")] = ()
    numeric: Annotated[Names, Field(description="Columns to read as numbers.")] = ()
    columns: Annotated[
        Columns, Field(description="INPUT=COLUMNS: what reads a column, such as time=created.")
    ] = Field(default_factory=dict)
    text: Annotated[Names, Field(description="Columns to read as text, as they are written.")] = ()
    missing: Annotated[
        Words | None,
        Field(
            description="Words for missing, for all columns or as COLUMN=WORD; else the usual. In "
            "label columns also numbers, such as -1."
        ),
    ] = None
    decimal: Annotated[
        Decimal | None, Field(description="Decimal sign of text; found out if absent.")
    ] = None
    encoding: Annotated[str, Field(description="Encoding of text files.")] = "utf-8"
    after: Annotated[
        Names, Field(description="Columns known only after the event: never inputs.")
    ] = ()
    allow: Annotated[
        Names, Field(description="Columns to keep although they look like leaks.")
    ] = ()
    derive: Annotated[
        Lines, Field(description="New columns, such as 'ratio = play_ms / duration_ms'; repeat.")
    ] = ()

    # Labels
    transform: Annotated[
        Pairs, Field(description="TASK=log1p: train a heavy-tailed task on its logarithm.")
    ] = Field(default_factory=dict)
    given: Annotated[
        Pairs, Field(description="CHILD=PARENT: the child is a consequence of the parent (ESMM).")
    ] = Field(default_factory=dict)
    given_conflict: Annotated[
        GivenConflict,
        Field(description="What to do with rows where the child is yes, the parent no."),
    ] = "stop"
    weight: Annotated[
        Weights,
        Field(description="TASK=COLUMN weighs rows, TASK=NUMBER the task; without TASK= for all."),
    ] = Field(default_factory=dict)
    group: Annotated[
        Name | None, Field(description="Column for grouped metrics (GAUC), such as the user.")
    ] = None

    # Splits
    valid_fraction: Annotated[
        Fraction,
        Field(description="Share of training rows for validation; 0: none, no early stop."),
    ] = 0.1
    test_fraction: Annotated[
        Fraction, Field(description="Share of rows for the test, where no other test is named.")
    ] = 0.1
    split_by: Annotated[
        Name | None, Field(description="Key column: all rows of a key go to one side.")
    ] = None
    split_seed: Annotated[int, Field(ge=0, description="Seed of random splits.")] = 0
    time_column: Annotated[Name | None, Field(description="Column whose cut-offs split.")] = None
    valid_from: Annotated[CutOff | None, Field(description="First value of validation.")] = None
    test_from: Annotated[CutOff | None, Field(description="First value of the test.")] = None

    # Inputs -> numbers
    min_count: Annotated[int, Field(ge=1, description="Rarer categories are read as unknown.")] = 2
    numeric_encoding: Annotated[
        NumericEncoding, Field(description="How numbers enter the network.")
    ] = "piecewise"
    num_bins: Annotated[int, Field(ge=2, description="Bins a numeric column, for piecewise.")] = 16
    embedding_dim: Annotated[
        int | None, Field(ge=1, description="Width of embeddings; by a rule if absent.")
    ] = None
    input_options: Annotated[
        InputOptions, Field(description="Further options, such as {time: {time_zone: Asia/Tokyo}}.")
    ] = Field(default_factory=dict)

    # The model
    trunk: Annotated[
        Options, Field(description="What tasks share: NAME or {name: NAME, OPTION: VALUE}.")
    ] = "mmoe"
    hidden: Annotated[Widths | None, Field(description="Widths of a bottom, such as 128,64.")] = (
        None
    )
    num_experts: Annotated[int | None, Field(ge=1, description="Experts of a mixture.")] = None
    expert_hidden: Annotated[Widths | None, Field(description="Widths of an expert.")] = None
    tower_hidden: Annotated[Widths, Field(description="Widths of a task's tower.")] = (32,)
    dropout: Annotated[Fraction, Field(description="Dropout in trunk and towers.")] = 0.0

    # How tasks are weighed
    balancer: Annotated[
        Options, Field(description="How tasks are weighed: NAME or {name: NAME, OPTION: VALUE}.")
    ] = "equal"
    measure_at: Annotated[
        Literal["seam", "parameters"],
        Field(description="Where gradient rules measure: at the seam (cheap) or exactly."),
    ] = "seam"

    # Training
    epochs: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="By the number of rows.")
    ] = None
    batch_size: Annotated[int | None, Field(ge=1, description="By the number of rows.")] = None
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    warmup_fraction: Annotated[Fraction, Field(description="Share of steps with rising rate.")] = (
        0.05
    )
    schedule: Annotated[
        Schedule, Field(description="The rate after that: falls like a cosine, or is constant.")
    ] = "cosine"
    clip_norm: Annotated[
        float | None, Field(gt=0, description="Largest length of the gradient.")
    ] = None
    patience: Annotated[
        int | None,
        Field(
            ge=0,
            description="Validations without a better score; 0: never stop early. By the rows.",
        ),
    ] = None
    validations_per_epoch: Annotated[int, Field(ge=1)] = 1
    monitor: Annotated[
        str | None,
        Field(description="What early stopping watches: 'click.auc' or 'click.auc=2,like.gauc=1'."),
    ] = None
    precision: Annotated[
        Literal["fp32", "bf16"], Field(description="fp32, or bf16 (autocast).")
    ] = "fp32"
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:1.")
    ] = "auto"
    threads: Annotated[int | None, Field(ge=1, le=4096, description="CPU threads.")] = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    init_from: Annotated[
        Location | None, Field(description="Run to take weights from, by column and value.")
    ] = None

    # What comes out
    baseline: Annotated[
        Literal["single", "none"],
        Field(description="single: also one model a task, and the gain over it."),
    ] = "single"
    intervals: Annotated[bool, Field(description="95 % intervals of all metrics.")] = True
    log_every: Annotated[int, Field(ge=1, description="Steps between lines of steps.jsonl.")] = 10
    checkpoint_every: Annotated[
        int,
        Field(ge=0, description="Steps between checkpoints; validations make one in any case."),
    ] = 1000
    out: Annotated[
        Location | None, Field(description="Folder of the run; without it nothing is written.")
    ] = None
    overwrite: Annotated[bool, Field(description="Replace an existing run folder.")] = False
