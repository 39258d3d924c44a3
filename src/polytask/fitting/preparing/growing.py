"""--grow and --forget: the inputs of an earlier run go on, with the values that are new, without those long gone."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from polytask.columns.values import told
from polytask.config import FitConfig
from polytask.data.options import ReadOptions
from polytask.errors import UserError
from polytask.fitting.preparing.encoding import read_options
from polytask.fitting.preparing.seen import Seen
from polytask.inputs import FittedInputs
from polytask.inputs.categories import Categories
from polytask.records.layout import ENCODER

if TYPE_CHECKING:
    from polytask.fitting.run_folder.folder import RunFolder

_CATEGORICAL = "categorical"


class Grown(NamedTuple):
    """Inputs, and what is to be said of how they grew, a line each."""

    inputs: FittedInputs
    notes: tuple[str, ...] = ()


def check_growth(config: FitConfig) -> None:
    """UserError for a growth of nothing."""
    if config.grow and config.init_from is None:
        raise UserError("--grow needs --init-from: the run whose inputs go on")
    if config.forget is not None and config.init_from is not None and not config.grow:
        raise UserError("--forget needs --grow: without it only ids of today's rows are known")
    if config.forget is not None and config.time_column is None:
        raise UserError("--forget needs --time-column: when the values of a row were seen")


def earlier_state(config: FitConfig) -> str:
    """What changes when the run whose inputs go on is another one; empty where none does."""
    if not config.grow or config.init_from is None:
        return ""
    encoder = config.init_from / ENCODER
    return hashlib.sha256(encoder.read_bytes()).hexdigest() if encoder.is_file() else ""


def earlier_inputs(config: FitConfig) -> FittedInputs | None:
    """The inputs that go on in this run; None where none do."""
    if not config.grow or config.init_from is None:
        return None
    encoder = config.init_from / ENCODER
    return _inputs_of(config.init_from, encoder.stat().st_mtime_ns if encoder.is_file() else 0)


@lru_cache(maxsize=1)
def _inputs_of(run: Path, written: int) -> FittedInputs:
    """Millions of ids take seconds to read, and a fit asks for them some times."""
    return _folder(run).read_encoders()[0]


def _folder(run: Path) -> "RunFolder":
    # A run folder is a record of what this room prepares.
    from polytask.fitting.run_folder.folder import RunFolder

    return RunFolder.open(run)


def growing_options(config: FitConfig) -> ReadOptions:
    """How the table is read: as that of the run whose inputs go on."""
    earlier = earlier_inputs(config)
    options = read_options(config, earlier)
    if earlier is None or config.init_from is None:
        return options
    return replace(options, dates={**_folder(config.init_from).read_config().dates, **config.dates})


def columns_before(config: FitConfig) -> Mapping[str, tuple[str, ...]]:
    """What read which columns in the run whose inputs go on."""
    earlier = earlier_inputs(config)
    return {} if earlier is None else {n: one.columns for n, one in earlier.by_name.items()}


def grown(
    config: FitConfig, fitted: FittedInputs, seen: Seen, *, already: Collection[str] = ()
) -> Grown:
    """What the earlier run knows, and what it lacks of the new rows; when each id was seen last, and how often.

    Scales, bins and frequent values stay as they were, so that what reads them keeps its meaning;
    vocabularies keep their values and get the new ones behind them, but for those that --forget and --max-ids drop. What
    is of columns that the earlier run lacks is that of the new rows. Inputs that have grown `already` stay.
    """
    by_name, notes = dict(fitted.by_name), []
    earlier = earlier_inputs(config)
    if earlier is not None:
        by_name |= {
            name: earlier.by_name[name].grown(one)
            for name, one in by_name.items()
            if name in earlier.by_name and name not in already
        }
        notes = _other_columns(earlier, fitted)
    ids = by_name.get(_CATEGORICAL)
    if seen.days is not None and isinstance(ids, Categories):
        ids = by_name[_CATEGORICAL] = ids.seen_on(seen.values, otherwise=int(seen.days.min()))
        if config.grow and config.forget is not None:
            left = by_name[_CATEGORICAL] = ids.seen_within(config.forget)
            lost = _lost(ids, left) or "no id"
            notes.append(f"forgotten, for {told(config.forget, 'day')} not seen: {lost}")
            ids = left
    if config.max_ids is not None and isinstance(ids, Categories):
        ids = ids.counted_with(seen.values)
        left = by_name[_CATEGORICAL] = ids.bounded(config.max_ids, num_buckets=config.hash_buckets)
        if lost := _lost(ids, left):
            notes.append(f"the rarest beyond {told(config.max_ids, 'id')} dropped: {lost}")
    return Grown(FittedInputs(by_name), tuple(notes))


def _other_columns(earlier: FittedInputs, later: FittedInputs) -> list[str]:
    """Which columns begin anew, and which are gone."""
    notes = []
    for name, one in later.by_name.items():
        before = earlier.by_name.get(name)
        new = [c for c in one.columns if before is None or c not in before.columns]
        if new:
            notes.append(f"{', '.join(new)}: new to {name}, without what an earlier run learned")
        if before is not None and not before.goes_on(one):
            other = one.columns != before.columns
            why = f"it read {', '.join(before.columns)}" if other else "its options are others"
            notes.append(f"{name} starts anew: {why}")
    gone = [c for c in dict.fromkeys(earlier.columns) if c not in later.columns]
    return [*notes, *([f"no inputs any more: {', '.join(gone)}"] if gone else [])]


def _lost(before: Categories, after: Categories) -> str:
    """How many ids of each column are gone."""
    sizes = zip(before.columns, before.vocabularies, after.vocabularies)
    return ", ".join(
        f"{len(known.values) - len(left.values):,} of {told(len(known.values), 'id')} of {name}"
        for name, known, left in sizes
        if len(left.values) < len(known.values)
    )
