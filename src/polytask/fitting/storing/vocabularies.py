"""What takes all rows of a table to know: its vocabularies, how many rows each part has, and their days."""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.values import type_name
from polytask.config.build import build_inputs
from polytask.fitting.preparing.growing import Grown, grown
from polytask.fitting.preparing.prepare import Prepared
from polytask.fitting.preparing.seen import Seen, day_column
from polytask.fitting.storing.counting import count_values
from polytask.fitting.storing.parts import PartRule, require_rows
from polytask.fitting.storing.pieces import PieceReader
from polytask.inputs import FittedInputs
from polytask.inputs.categories import Categories
from polytask.records import SeenRecord


class OfAllRows(NamedTuple):
    """Inputs with the vocabularies of all training rows, what these rows were, and the rows of each part."""

    grown: Grown
    seen: SeenRecord
    num_rows: NDArray[np.int64]


def count_all(
    fitted: Prepared,
    sample: pa.Table,
    reader: PieceReader,
    rule: PartRule,
    *,
    given: Collection[str],
) -> OfAllRows:
    """One pass over the rows; `fitted` and its scales are of a sample of them."""
    config, by_name = fitted.config, dict(fitted.inputs.by_name)
    columns = by_name["categorical"].columns if "categorical" in by_name else ()
    by_day = day_column(config, sample)
    needed = {*columns, *(() if by_day is None else (by_day.name,))}
    counted = count_values(rule.walk(reader, needed), columns, by_day)
    require_rows(config, counted.rows, given=given)
    if columns:
        dtypes = {name: type_name(sample[name].type) for name in columns}
        fit = build_inputs(config)["categorical"]
        assert isinstance(fit, partial)
        by_name["categorical"] = Categories.of_counts(dtypes, counted.values, **fit.keywords)
    seen = Seen(int(counted.rows[0]), counted.days, counted.values)
    of_sample = by_name.keys() - {"categorical"}
    whole = grown(config, FittedInputs(by_name), seen, already=of_sample)
    return OfAllRows(whole, seen.record, counted.rows)
