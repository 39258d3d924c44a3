"""--grow and --forget: the inputs of an earlier run go on, with the values that are new, without those long gone."""

import hashlib
from typing import NamedTuple

from polytask.columns.values import told
from polytask.config import FitConfig
from polytask.errors import UserError
from polytask.fitting.preparing.seen import Seen
from polytask.inputs import FittedInputs
from polytask.inputs.categories import Categories
from polytask.records.layout import ENCODER

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


def grown(config: FitConfig, fitted: FittedInputs, seen: Seen) -> Grown:
    """What the earlier run knows, and what it lacks of the new rows; when each id was seen last.

    Scales, bins and frequent values stay as they were, so that what reads them keeps its meaning;
    vocabularies keep their values and get the new ones behind them, but for those that --forget drops. Inputs that read other columns
    than before are those of the new rows.
    """
    by_name = dict(fitted.by_name)
    if config.grow:
        # A run folder is a record of what this room prepares.
        from polytask.fitting.run_folder.folder import RunFolder

        assert config.init_from is not None
        earlier, _ = RunFolder.open(config.init_from).read_encoders()
        by_name |= {
            name: earlier.by_name[name].grown(one)
            for name, one in by_name.items()
            if name in earlier.by_name
        }
    ids, notes = by_name.get(_CATEGORICAL), []
    if seen.days is not None and isinstance(ids, Categories):
        ids = by_name[_CATEGORICAL] = ids.seen_on(seen.values, otherwise=int(seen.days.min()))
        if config.grow and config.forget is not None:
            left = by_name[_CATEGORICAL] = ids.seen_within(config.forget)
            notes.append(_forgotten(config.forget, ids, left))
    return Grown(FittedInputs(by_name), tuple(notes))


def _forgotten(days: int, before: Categories, after: Categories) -> str:
    sizes = zip(before.columns, before.vocabularies, after.vocabularies)
    found = [
        f"{len(known.values) - len(left.values):,} of {told(len(known.values), 'id')} of {name}"
        for name, known, left in sizes
        if len(left.values) < len(known.values)
    ]
    return f"forgotten, for {told(days, 'day')} not seen: {', '.join(found) or 'no id'}"
