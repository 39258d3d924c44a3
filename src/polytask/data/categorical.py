"""One categorical input column: its vocabulary from the training rows, and ids."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import (
    Coded,
    coded,
    converted,
    positions,
    type_name,
    value_array,
    value_kind,
)
from polytask.errors import UserError

MISSING_ID, UNSEEN_ID, FIRST_ID = 0, 1, 2


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """One categorical input: id 0 is missing, 1 unseen or rare, 2 + i is `values[i]`.

    Values are in order of falling count in the training rows, ties by value.
    """

    name: str
    dtype: str
    values: tuple[bool, ...] | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """Ids in all, those of missing and unseen included: the rows of an embedding."""
        return len(self.values) + FIRST_ID

    def encode(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """The ids (B,); a column of another type is taken where nothing is lost."""
        what = f"column {self.name!r}"
        found = coded(column, what)
        ids = np.full(len(found.values), UNSEEN_ID, dtype=np.int64)
        if self.values:
            vocabulary = value_array(self.values)
            kind = value_kind(vocabulary.type)
            _refuse_lost_zeros(found, vocabulary, what)
            # -1, where a value is not found, becomes the id of unseen values.
            ids = positions(converted(found, kind, what), vocabulary) + FIRST_ID
        return found.spread(ids, missing=MISSING_ID)


def fit_categorical(name: str, column: pa.ChunkedArray, *, min_count: int) -> CategoricalColumn:
    """The values of one column that occur in `min_count` training rows or more."""
    found = coded(column, f"column {name!r}")
    table = pa.table({"value": found.values, "count": found.counts()})
    kept = table.filter(pc.greater_equal(table["count"], max(min_count, 1)))
    ordered = kept.sort_by([("count", "descending"), ("value", "ascending")])
    return CategoricalColumn(
        name, type_name(column.type), tuple(ordered["value"].to_numpy().tolist())
    )


def _refuse_lost_zeros(found: Coded, vocabulary: pa.Array, what: str) -> None:
    """Numbers where the vocabulary has "007" were text whose zeros a reader dropped."""
    if found.kind not in ("integer", "float") or value_kind(vocabulary.type) != "text":
        return
    padded = pc.match_substring_regex(vocabulary, r"^0[0-9]+$")
    if len(found.values) and pc.any(padded).as_py():
        example = vocabulary.filter(padded)[0].as_py()
        raise UserError(
            f"{what} was text with leading zeros in the training rows (such as {example!r}) "
            f"and is {found.kind} here: read it as text"
        )
