"""Text as the values that it stands for: numbers are numbers, words for missing are missing."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.columns.values import (
    Coded,
    coded,
    is_number,
    is_text,
    parsed_numbers,
    told,
    value_type,
)
from polytask.data.few_rows import Change, read_few
from polytask.data.names import is_code
from polytask.data.notes import with_date_order, with_note
from polytask.data.options import ReadOptions
from polytask.data.text_dates import look_like_dates, read_dates
from polytask.data.text_numbers import looks_numeric, numbers_in_doubt, read_numbers

_LOOKED_AT = 100
_FEW_ROWS = 1000
_WORDS_SHOWN = 3
USUAL = (
    *("", "nan", "-nan", "NaN", "-NaN", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "null", "NULL"),
    *("None", "NaT", "\\N", "?"),
)
"""pandas' words, so that a file read by pandas has the same values, and two of databases."""
_USUAL = frozenset(USUAL)
_WORDS_THAT_ARE_CODES = ("NA",)
"""NA is Namibia among codes of countries."""


def with_values_of_text(
    table: pa.Table, options: ReadOptions, *, declared: Collection[str] = ()
) -> pa.Table:
    """The table with text columns as the numbers that they hold, and words for missing as null.

    A column whose values are numbers, all or all but a few, becomes numbers, one of dates times. It stays text where
    its name says a code, where it is among `options.text` or `declared` to be categories, and
    where numbers have zeros in front or too many digits. What changed is a note of the column.
    """
    table = table.unify_dictionaries()
    for position, field in enumerate(table.schema):
        if options.needed is not None and field.name not in options.needed:
            continue
        column = table[position]
        if is_text(value_type(column.type)):
            change = _changed(field.name, column, options, is_declared=field.name in declared)
        else:
            change = _without_numbers(field.name, column, options)
            if change is None and field.name in options.text:
                change = _as_text(column)
        if change is not None:
            noted = with_note(field.with_type(change.values.type), change.note)
            noted = with_date_order(noted, change.order)
            table = table.set_column(position, noted, change.values)
    return table


def _changed(
    name: str, column: pa.ChunkedArray, options: ReadOptions, *, is_declared: bool
) -> Change | None:
    known = name in options.numbers
    is_named = name in options.text or name in options.codes or is_code(name)
    stays_text = is_declared or (is_named and not known)
    if len(column) <= _FEW_ROWS:
        words, values = _words_named(name, options), options.values.get(name, ())
        is_settled, change = read_few(column, words, values, known=known, stays_text=stays_text)
        if is_settled:
            return change
    words = words_for(name, options)
    some = [] if stays_text or known else _some_values(column, words)
    order = options.dates.get(name)
    may_be_dates = order is not None or (options.finds_dates and look_like_dates(some))
    if may_be_dates or (not stays_text and (known or looks_numeric(some))):
        found = coded(column, f"column {name!r}")
        texts = pc.utf8_trim_whitespace(found.values)
        missing_V = missing_among(texts, words).to_numpy(zero_copy_only=False)
        counts = found.counts()
        dates = read_dates(texts, missing_V, order=order) if may_be_dates else None
        if dates is not None:
            note = f"text read as dates, {dates.how}"
            return _as_read(found, dates.values, counts, note)._replace(order=dates.order)
        numbers = read_numbers(texts, counts, missing_V, decimal=options.decimal, known=known)
        if numbers is not None:
            how = f" ({numbers.how})" if numbers.how else ""
            return _as_read(found, numbers.values, counts, f"text read as numbers{how}")
        doubt = numbers_in_doubt(texts, missing_V)
        cleaned = _without_words(column, words) or Change(column, "")
        return Change(cleaned.values, "; ".join(part for part in (cleaned.note, doubt) if part))
    return _without_words(column, words)


def _some_values(column: pa.ChunkedArray, words: Collection[str]) -> list[str]:
    """A few values, from all over a plain column; words for missing left out."""
    if pa.types.is_dictionary(column.type):
        values = _dictionary(column).slice(0, _LOOKED_AT)
    else:
        # At random, for what stands in every tenth row would else be all or nothing.
        rows = np.random.default_rng(0).integers(0, max(len(column), 1), _LOOKED_AT)
        values = column.take(pa.array(np.unique(rows))) if len(column) else column
    return [text for text in values.to_pylist() if text is not None and text.strip() not in words]


def _as_read(found: Coded, read: pa.Array, counts: NDArray[np.int64], note: str) -> Change:
    """The column of what each of its different texts was read as."""
    codes = pa.array(found.codes_B, mask=found.codes_B < 0)
    values = pa.chunked_array([read.take(codes)])
    lost_V = pc.is_null(read).to_numpy(zero_copy_only=False) & (counts > 0)
    lost_V &= pc.not_equal(found.values, "").to_numpy(zero_copy_only=False)
    if lost_V.any():
        note = f"{note}; {_rows_lost(found, counts, lost_V)}"
    return Change(values, note)


def _rows_lost(found: Coded, counts: NDArray[np.int64], lost_V: NDArray[np.bool_]) -> str:
    """How many rows became missing, by which words, and where the first of them stands."""
    places = np.flatnonzero(lost_V)
    commonest = places[np.argsort(-counts[places], kind="stable")]
    shown = ", ".join(f"{found.values[int(place)].as_py()!r}" for place in commonest[:_WORDS_SHOWN])
    more = ", ..." if len(places) > _WORDS_SHOWN else ""
    first = int(np.argmax(np.append(lost_V, False)[found.codes_B]))
    rows = told(counts[places].sum(), "row")
    return f"{shown}{more} missing in {rows} (the first is row {first}, counting from 0)"


def _without_words(column: pa.ChunkedArray, words: Collection[str]) -> Change | None:
    """The column with null for its words for missing; None where it has none."""
    is_encoded = pa.types.is_dictionary(column.type)
    different = _dictionary(column) if is_encoded else _short_values(column, words)
    found = different.filter(missing_among(different.cast(pa.large_string()), words))
    if len(found) == 0:
        return None
    if is_encoded:
        chunks = [_without_entries(chunk, found) for chunk in column.chunks]
        cleaned = pa.chunked_array(chunks, column.type)
    else:
        is_word = pc.is_in(column, value_set=found)
        cleaned = pc.if_else(is_word, pa.scalar(None, column.type), column)
    num_lost = cleaned.null_count - column.null_count
    shown = [repr(word) for word in found.to_pylist() if word.strip()]
    if num_lost == 0 or not shown:
        return Change(cleaned, "") if num_lost else None
    return Change(cleaned, f"{', '.join(shown)} taken for missing in {told(num_lost, 'row')}")


def _dictionary(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 0:
        return pa.array([], column.type.value_type)
    return column.chunk(0).dictionary


def _short_values(column: pa.ChunkedArray, words: Collection[str]) -> pa.Array:
    """The different values of a plain column, if any of them may be a word; else none."""
    longest = max(map(len, words)) + 1
    if pc.any(pc.less_equal(pc.binary_length(column), longest)).as_py():
        with_space = [f"{space}{word}" for word in words for space in ("", " ")]
        candidates = pa.array(with_space, column.type)
        if pc.any(pc.is_in(column, value_set=candidates)).as_py():
            return pc.unique(column.drop_null())
    return pa.array([], column.type)


def _without_entries(chunk: pa.DictionaryArray, entries: pa.Array) -> pa.DictionaryArray:
    indices = chunk.indices
    places = pc.index_in(entries, value_set=chunk.dictionary)
    for place in places.drop_null().to_pylist():
        # As words are few, comparing is faster than looking each row up.
        is_word = pc.equal(indices, pa.scalar(place, indices.type))
        indices = pc.if_else(is_word, pa.scalar(None, indices.type), indices)
    return pa.DictionaryArray.from_arrays(indices, chunk.dictionary)


def _without_numbers(name: str, column: pa.ChunkedArray, options: ReadOptions) -> Change | None:
    """Numbers that were named as missing, such as -1, as null."""
    if not options.missing or not is_number(column.type):
        return None
    numbers = numbers_for(name, options)
    if len(numbers) == 0:
        return None
    is_word = pc.is_in(column.cast(pa.float64(), safe=False), value_set=numbers)
    num_lost = pc.sum(is_word).as_py() or 0
    if num_lost == 0:
        return None
    cleaned = pc.if_else(is_word, pa.scalar(None, column.type), column)
    shown = ", ".join(f"{number:g}" for number in numbers.to_pylist())
    return Change(cleaned, f"{shown} taken for missing in {told(num_lost, 'row')}")


def _as_text(column: pa.ChunkedArray) -> Change | None:
    """A column of numbers that is to be text; what has no text, such as a list, stays."""
    try:
        return Change(column.cast(value_type(column.type)).cast(pa.large_string()), "")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def words_for(name: str, options: ReadOptions) -> frozenset[str]:
    """The words that stand for a missing value in one column.

    >>> sorted(words_for("click", ReadOptions(missing=("-1", "watch=0"))))
    ['', '-1']
    """
    values = options.values.get(name, ())
    return frozenset(word for word in _words_named(name, options) if word not in values)


def _words_named(name: str, options: ReadOptions) -> frozenset[str]:
    """The same, those among them that are values of the column."""
    return _USUAL if options.missing is None else frozenset({"", *_named(name, options.missing)})


def numbers_for(name: str, options: ReadOptions) -> pa.Array:
    """The numbers that stand for a missing value in one column: only those that are asked for."""
    return parsed_numbers(pa.array(_named(name, options.missing or ()), pa.string())).drop_null()


def missing_among(texts: pa.Array, words: Collection[str]) -> pa.Array:
    """Which of a column's different texts stand for a missing value.

    A word of letters stays a value among codes of its form: NA among country codes.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    found = pc.is_in(trimmed, value_set=pa.array(sorted(words), trimmed.type))
    for word in _WORDS_THAT_ARE_CODES:
        if word in words and _are_codes_like(word, trimmed.filter(pc.invert(found))):
            found = pc.and_(found, pc.not_equal(trimmed, word))
    return found


def _are_codes_like(word: str, others: pa.Array) -> bool:
    if len(others) < 2:
        return False
    fitting = pc.match_substring_regex(others, f"^[A-Z]{{{len(word)}}}$")
    return bool(pc.sum(fitting).as_py() > 0.5 * len(others))


def _named(name: str, missing: Collection[str]) -> list[str]:
    """The words given for all columns, and those given for this one."""
    words = []
    for entry in missing:
        column, sign, word = entry.partition("=")
        if not sign:
            words.append(entry)
        elif column.strip() == name:
            words.append(word.strip())
    return words
