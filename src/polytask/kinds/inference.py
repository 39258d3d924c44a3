"""The kind that a label column suggests, where nobody named one."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polytask.columns.values import Coded, coded, commonest, parsed_numbers
from polytask.errors import UserError, flag
from polytask.kinds.binary import Binary, no_and_yes
from polytask.kinds.kind import Kind
from polytask.kinds.multiclass import Multiclass
from polytask.kinds.regression import Regression
from polytask.kinds.tags import Tags

_MOST_CLASSES_OF_INTEGERS = 20
"""An integer column with more different values is taken for a quantity."""

_FEWEST_ROWS_A_CLASS = 2.0
_TWO = "two values"
_FEW_VALUES = 20
"""So many different texts are classes even in a table of as many rows."""


def infer_kind(column: pa.ChunkedArray, what: str) -> tuple[Kind, str]:
    """The kind, and the reason in words; UserError where only the user can know.

    Two values are binary even where they do not say which is yes: `Binary.fit` asks then.
    """
    dtype = column.type
    if pa.types.is_boolean(dtype):
        return Binary(), "true or false"
    if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        numbers = column.cast(pa.float64())
        different = pc.unique(numbers.drop_null()).to_numpy()
        different = different[~np.isnan(different)]
        if set(different) == {0.0, 1.0}:
            return Binary(), "0 or 1"
        # Integers with gaps are floats in a data frame, and integers in the file it was read from.
        has_gaps = numbers.null_count > 0 or pc.any(pc.is_nan(numbers)).as_py() is True
        if not (has_gaps and (different == np.floor(different)).all() and len(different)):
            return Regression(), f"numbers with a fraction's type ({dtype})"
    return _kind_of_values(coded(column, what), what)


def infer_word_kind(words: pa.ChunkedArray, what: str) -> tuple[Kind, str]:
    """The kind of labels of words, and the reason; classes are tags, also two that are not yes and no.

    >>> infer_word_kind(pa.chunked_array([["DET", "NOUN", "VERB"]]), "upos")[1]
    'for each word: text with 3 different values'
    """
    kind, reason = infer_kind(words, what)
    is_tag = isinstance(kind, Multiclass) or reason.startswith(_TWO)
    return Tags() if is_tag else kind, f"for each word: {reason}"


def _kind_of_values(values: Coded, what: str) -> tuple[Kind, str]:
    occurring = values.occurring().to_pylist()
    number = len(occurring)
    if number == 2:
        if set(occurring) == {0, 1}:
            return Binary(), "0 or 1"
        pair = no_and_yes(occurring)
        if pair is not None:
            return Binary(), f"{pair[1]!r} is yes, {pair[0]!r} no"
        return Binary(), f"{_TWO}, {occurring[0]!r} and {occurring[1]!r}"
    different = f"{number:,} different value{'s' if number != 1 else ''}"
    if values.kind == "text":
        _require_classes(values, number, int((values.codes_B >= 0).sum()), what)
        return Multiclass(), f"text with {different}"
    if set(occurring) == {-1, 0, 1}:
        raise UserError(
            f"{what} holds 0, 1 and -1: if -1 means that the label is missing, pass --missing=-1; "
            "else name its kind, such as multiclass"
        )
    if number <= _MOST_CLASSES_OF_INTEGERS:
        return Multiclass(), f"integers with {different}"
    return Regression(), f"integers with {different}"


def _require_classes(values: Coded, number: int, num_rows: int, what: str) -> None:
    """UserError where almost every row has a text of its own: a number in disguise, or an id."""
    if number <= _FEW_VALUES or number * _FEWEST_ROWS_A_CLASS <= num_rows:
        return
    is_number = pc.is_valid(parsed_numbers(values.values)).to_numpy(zero_copy_only=False)
    number_B = values.spread(is_number, missing=1)
    if number_B[values.codes_B >= 0].mean() > 0.5:
        row = int(np.argmin(number_B))
        first = values.values[int(values.codes_B[row])].as_py()
        raise UserError(
            f"{what} is text, but {int(number_B[values.codes_B >= 0].sum()):,} of {num_rows:,} "
            f"labels are numbers; the first that is not: {first!r} in row {row}, counting from 0. "
            f"If it means that the label is missing, pass {flag('missing', first)}; else mend it"
        )
    raise UserError(
        f"{what} is text with {number:,} different values in {num_rows:,} rows, such as "
        f"{commonest(values, 3)}: is it a number that is written in an unusual way, or an id? "
        "Name its kind if each is a class"
    )
