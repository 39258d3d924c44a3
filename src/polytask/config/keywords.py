"""FitConfig's fields as keyword arguments of `polytask.fit`, for type checkers and for `help`."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, TypedDict

from polytask.choices import (
    BatchBy,
    DateOrder,
    EmbeddingOptimizer,
    GivenConflict,
    NumericEncoding,
    OnBadFile,
    OnBadRow,
    OnDisk,
    Preset,
    Schedule,
    Shares,
)
from polytask.config.fields import FitConfig, description, shown_default
from polytask.data.options import Decimal
from polytask.data.readers import TableSource

Spec = str | Mapping[str, object]


class FitOptions(TypedDict, total=False):
    """FitConfig's fields as typed keyword arguments, but for those that may be objects.

    A second list, since type checkers read no other; a test compares both.
    """

    data: Mapping[str, TableSource | Mapping[str, TableSource]]
    shares: Shares | float
    test: TableSource | None
    valid: TableSource | None
    where: str | None
    on_disk: OnDisk
    cache: str | Path | None
    inputs: str | tuple[str, ...] | list[str] | None
    ignore: str | tuple[str, ...] | list[str]
    categorical: str | tuple[str, ...] | list[str]
    numeric: str | tuple[str, ...] | list[str]
    columns: str | Mapping[str, str | tuple[str, ...] | list[str]]
    text: str | tuple[str, ...] | list[str]
    on_bad_row: OnBadRow
    on_bad_file: OnBadFile
    missing: str | float | tuple[str | float, ...] | list[str | float] | None
    decimal: Decimal | None
    dates: str | Mapping[str, DateOrder]
    encoding: str
    after: str | tuple[str, ...] | list[str]
    allow: str | tuple[str, ...] | list[str]
    derive: str | tuple[str, ...] | list[str]
    history: str | tuple[str, ...] | list[str]
    transform: str | Mapping[str, str]
    given: str | Mapping[str, str]
    given_conflict: GivenConflict
    weight: str | Mapping[str, str | float]
    group: str | None
    valid_fraction: float
    test_fraction: float
    split_by: str | None
    split_seed: int
    time_column: str | None
    valid_from: int | float | str | date | None
    test_from: int | float | str | date | None
    min_count: int
    max_ids: int | None
    hash_buckets: int
    numeric_encoding: NumericEncoding
    num_bins: int | None
    numeric_values: Literal["auto", "none"]
    embedding_dim: int | None
    cross_layers: int | None
    cross_rank: int
    fold: bool
    input_options: Mapping[str, Mapping[str, object]]
    preset: Preset
    hidden: tuple[int, ...] | list[int] | str | None
    num_experts: int | None
    expert_hidden: tuple[int, ...] | list[int] | str | None
    tower_hidden: tuple[int, ...] | list[int] | str
    dropout: float
    align: bool
    shortcuts: bool | None
    ensemble: int | None
    linear: bool | None
    bag: int
    measure_at: Literal["seam", "parameters"]
    auxiliary: Spec | Sequence[Spec]
    pretrain: str | tuple[str, ...] | list[str]
    pretrain_epochs: int | None
    pretrain_rate: float | None
    compare_auxiliary: int
    epochs: int | None
    batch_size: int | None
    batch_by: BatchBy | None
    learning_rate: float
    embedding_optimizer: EmbeddingOptimizer | None
    embedding_rate: float | None
    weight_decay: float
    warmup_fraction: float
    schedule: Schedule
    clip_norm: float | None
    patience: int | None
    validations_per_epoch: int
    monitor: str | None
    precision: Literal["fp32", "bf16"]
    device: str
    threads: int | None
    seed: int
    init_from: str | Path | None
    grow: bool
    forget: str | int | None
    baseline: Literal["single", "none"]
    intervals: bool
    log_every: int
    checkpoint_every: int
    out: str | Path | None
    overwrite: bool


def described_options() -> str:
    """Each of them with its description and [its default], a line each."""
    fields = {name: FitConfig.model_fields[name] for name in FitOptions.__annotations__}
    return "\n".join(
        f"{n}: {description(f)} {shown_default(f)}".rstrip() for n, f in fields.items()
    )
