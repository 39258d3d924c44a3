"""Every option of a run, once: the YAML keys, the command line's options and fit's arguments."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from polytask.choices import (
    BatchBy,
    EmbeddingOptimizer,
    GivenConflict,
    NumericEncoding,
    OnBadFile,
    OnBadRow,
    OnDisk,
    Preset,
    Schedule,
)
from polytask.config.spellings import (
    Columns,
    Count,
    CutOff,
    DateOrders,
    Days,
    Fraction,
    InputOptions,
    KindOption,
    Lines,
    Location,
    Name,
    Names,
    Options,
    Pairs,
    Positive,
    Seed,
    ShareOption,
    Specs,
    Weights,
    Widths,
    Words,
    as_data_sets,
)
from polytask.data.options import Decimal


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


class DataSetConfig(_Strict):
    """One of several data sets: its tables; `inputs` are its input columns, which the fit fills in."""

    table: Location | None = None
    test: Location | None = None
    valid: Location | None = None
    inputs: Names | None = None


class FitConfig(_Strict):
    """What `polytask fit` does, complete: the run.yaml of a run repeats it.

    The text below a field is its description, in help as in `polytask.fit.__doc__`.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    # What is read
    table: Location | None = None
    """Training table (Parquet, CSV, Arrow)."""
    tasks: Annotated[tuple[str | TaskConfig, ...], Field(strict=False)] = ()
    """[NAME=]COLUMN[:KIND[:YES]], one a task; repeat the option."""
    data: Annotated[Mapping[str, DataSetConfig], BeforeValidator(as_data_sets)] = Field(
        default_factory=dict
    )
    """NAME=TABLE, a data set for tasks of its own, NAME.COLUMN[:KIND]; repeat the option."""
    shares: ShareOption = "proportional"
    """Shares of batches by data set: proportional, sqrt or uniform; N: rows ** (1/N)."""
    test: Location | None = None
    """Table to test on, touched once."""
    valid: Location | None = None
    """Table to validate on."""
    where: str | None = None
    """Formula of columns: only rows that meet it, such as "country == 'DE'"."""
    on_disk: OnDisk = "auto"
    """Keep encoded rows on disk, not in memory; auto: where the table would fill half of it."""
    cache: Location | None = None
    """Folder of encoded rows; later runs find them there. By default the user's cache."""

    # Columns
    inputs: Names | None = None
    """Only these columns are inputs."""
    ignore: Names = ()
    """Columns that are no inputs."""
    categorical: Names = ()
    """Columns to read as categories."""
    numeric: Names = ()
    """Columns to read as numbers."""
    columns: Columns = Field(default_factory=dict)
    """INPUT=COLUMNS: what reads a column, such as time=created."""
    text: Names = ()
    """Columns to read as text, as they are written."""
    on_bad_row: OnBadRow = "stop"
    """What to do with rows that an input cannot read, such as a broken picture."""
    on_bad_file: OnBadFile = "stop"
    """What to do with a file of a table of several that cannot be opened."""
    missing: Words | None = None
    """Words for missing, for all columns or as COLUMN=WORD; else the usual. In label columns also
    numbers, such as -1."""
    decimal: Decimal | None = None
    """Decimal sign of text; found out if absent."""
    dates: DateOrders = Field(default_factory=dict)
    """COLUMN=dmy, mdy or ymd: the order in which text dates are written; found out if absent."""
    encoding: str = "utf-8"
    """Encoding of text files."""
    after: Names = ()
    """Columns known only after the event: never inputs."""
    allow: Names = ()
    """Columns to keep although they look like leaks."""
    derive: Lines = ()
    """New columns, such as 'ratio = play_ms / duration_ms'; repeat."""
    history: Names = ()
    """Keys whose past is an input: user_id, or user_id * tag; needs --time-column."""

    # Labels
    transform: Pairs = Field(default_factory=dict)
    """TASK=log1p: train a heavy-tailed task on its logarithm."""
    given: Pairs = Field(default_factory=dict)
    """CHILD=PARENT: the child is a consequence of the parent (ESMM)."""
    given_conflict: GivenConflict = "stop"
    """What to do with rows where the child is yes, the parent no."""
    weight: Weights = Field(default_factory=dict)
    """TASK=COLUMN weighs rows, TASK=NUMBER the task; without TASK= for all."""
    group: Name | None = None
    """Column for grouped metrics (GAUC), such as the user."""

    # Splits
    valid_fraction: Fraction = 0.1
    """Share of training rows for validation; 0: none, no early stop."""
    test_fraction: Fraction = 0.1
    """Share of rows for the test, where no other test is named."""
    split_by: Name | None = None
    """Key column: all rows of a key go to one side."""
    split_seed: Seed = 0
    """Seed of random splits."""
    time_column: Name | None = None
    """Column whose cut-offs split."""
    valid_from: CutOff | None = None
    """First value of validation."""
    test_from: CutOff | None = None
    """First value of the test."""

    # Inputs -> numbers
    min_count: Count = 2
    """Rarer categories are read as unknown."""
    max_ids: Count | None = None
    """Most values of a categorical column; the others are read as unknown."""
    hash_buckets: Annotated[int, Field(ge=0)] = 0
    """Ids that rare and unknown values share by a hash, in the place of one."""
    numeric_encoding: NumericEncoding = "piecewise"
    """How numbers enter the network."""
    num_bins: Annotated[int, Field(ge=2)] | None = None
    """Bins a numeric column, for piecewise. By the rows."""
    numeric_values: Literal["auto", "none"] = "auto"
    """auto: frequent values of numbers are read as categories too."""
    embedding_dim: Count | None = None
    """Width of embeddings; by a rule if absent."""
    cross_layers: Annotated[int, Field(ge=0, le=64)] | None = None
    """Layers of products of entries before the trunk. By the rows."""
    cross_rank: Count = 32
    """Rank of a cross layer's matrix."""
    fold: bool = True
    """Make the first layer's products once for each value of a small vocabulary, where that is quicker."""
    input_options: InputOptions = Field(default_factory=dict)
    """Further options, such as {time: {time_zone: Asia/Tokyo}}."""

    # The model
    preset: Preset = "default"
    """A set of options in the place of those not given: fast, default or best."""
    trunk: Options = "mmoe"
    """What tasks share: NAME or {name: NAME, OPTION: VALUE}."""
    hidden: Widths | None = None
    """Widths of a bottom, such as 128,64."""
    num_experts: Count | None = None
    """Experts of a mixture."""
    expert_hidden: Widths | None = None
    """Widths of an expert."""
    tower_hidden: Widths = (32,)
    """Widths of a task's tower."""
    dropout: Fraction = 0.0
    """Dropout in trunk and towers."""
    align: bool = False
    """A matrix of its own for each task before the trunk, the identity at first (Wu et al., 2020)."""
    shortcuts: bool | None = None
    """A linear map of x of its own for each of several tasks, around the trunk. By the rows."""
    ensemble: Count | None = None
    """Networks in one, whose outputs are averaged. By the rows."""
    linear: bool | None = None
    """Add a linear regression on the numbers where it explains a quantity. By the rows."""
    bag: Count = 1
    """Networks trained one after another, whose outputs are averaged; few rows are held out in turns."""

    # How tasks are weighed
    balancer: Options = "equal"
    """How tasks are weighed: NAME or {name: NAME, OPTION: VALUE}."""
    measure_at: Literal["seam", "parameters"] = "seam"
    """Where gradient rules measure: at the seam (cheap) or exactly."""

    # What is trained on beside the tasks
    auxiliary: Specs = ()
    """Extra losses, NAME or {name: NAME, OPTION: VALUE}, and extra tasks, [NAME=]COLUMN[:KIND]; repeat."""
    pretrain: Names = ()
    """Tasks or extra losses to train on alone before all together."""
    pretrain_epochs: Count | None = None
    """Epochs of that; as many as of the rest if absent."""

    pretrain_rate: Positive | None = None
    """AdamW's rate of that at its highest; that of the rest if absent."""
    compare_auxiliary: Annotated[int, Field(ge=0)] = 0
    """Seeds under which the model is trained with and without what is auxiliary."""

    # Training
    epochs: Annotated[Count, Field(le=1_000_000)] | None = None
    """By the number of rows."""
    batch_size: Count | None = None
    """By the number of rows."""
    batch_by: BatchBy | None = None
    """What the rows of a batch have in common: length (little padding) or chance. By the inputs."""
    learning_rate: Positive = 3e-3
    """AdamW's rate at its highest."""
    embedding_optimizer: EmbeddingOptimizer | None = None
    """What steps the tables of ids: rowwise_adagrad above 10,000 rows, else adam."""
    embedding_rate: Positive | None = None
    """Row-wise Adagrad's rate at its highest; 0.2 if absent."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    """AdamW's decay of weights."""
    warmup_fraction: Fraction = 0.05
    """Share of steps with rising rate."""
    schedule: Schedule = "cosine"
    """The rate after that: falls like a cosine, or is constant."""
    clip_norm: Positive | None = None
    """Largest length of the gradient."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Validations without a better score; 0: never stop early. By the rows."""
    validations_per_epoch: Count = 1
    """How often an epoch is validated."""
    monitor: str | None = None
    """What early stopping watches: 'click.auc' or 'click.auc=2,like.gauc=1'."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """fp32, or bf16 (autocast): quicker on GPUs and on processors with units for it (`polytask doctor`)."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda or cuda:1."""
    threads: Annotated[Count, Field(le=4096)] | None = None
    """CPU threads."""
    seed: Annotated[Seed, Field(lt=1 << 63)] = 0
    """Seed of weights, batches and dropout."""
    init_from: Location | None = None
    """Run to take weights from, by column and value."""
    grow: bool = False
    """Go on with the inputs of --init-from: its scales and values, and those that are new."""
    forget: Days | None = None
    """Drop values of categories not seen for so long, such as 30d; needs --grow and --time-column."""

    # What comes out
    baseline: Literal["single", "none"] = "single"
    """single: also one model a task, and the gain over it."""
    intervals: bool = True
    """95 % intervals of all metrics."""
    log_every: Count = 10
    """Steps between lines of steps.jsonl."""
    checkpoint_every: Annotated[int, Field(ge=0)] = 1000
    """Steps between checkpoints; validations make one in any case."""
    out: Location | None = None
    """Folder of the run; without it nothing is written."""
    overwrite: bool = False
    """Replace an existing run folder."""


def description(field: FieldInfo) -> str:
    """What an option means, on one line."""
    return " ".join((field.description or "").split())


def shown_default(field: FieldInfo) -> str:
    """[The default] of an option; nothing where it is empty."""
    default = field.get_default(call_default_factory=True)
    if default is None or default in ((), {}) or default is False:
        return ""
    return f"[{','.join(map(str, default)) if isinstance(default, tuple) else default}]"
