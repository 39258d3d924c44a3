"""Guesses what a column is to a model, each with the number that it rests on."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from polytask.data.facts import Facts
from polytask.data.moments import moment_in

ColumnKind = str
"""The name of the input that reads a column, such as "numeric", or "ignored"."""
Guess = tuple[ColumnKind, str]

FEW = 20
"""Whole numbers with at most so many different values are categories."""
FEW_ON_A_DIAL = 32
"""The same for hours, weekdays, months and days, where 23 stands beside 0."""
NEARLY_ONE_A_ROW = 0.95
FREE_TEXT_SHARE = 0.5
FREE_TEXT_WORDS = 3.0
LARGEST_EXACT_FLOAT = 2**53

_CODE_WORDS = frozenset(
    {"id", "ids", "uid", "uuid", "guid", "hash", "onehot", "sku", "isbn", "imei", "brand"}
    | {"code", "codes", "zip", "zipcode", "postcode", "gender", "genre", "type", "kind", "class"}
    | {"category", "categories", "cat", "cate"}
)
_ID_ENDING = re.compile(
    r"(user|item|video|author|movie|product|ad|session|customer|device|shop|store|brand|campaign"
    r"|music|query|doc|page|cate|category)id$"
)
_DIAL_WORDS = frozenset({"hour", "hours", "weekday", "dayofweek", "dow", "month", "day"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_PANDAS_INDEX = re.compile(r"(|Unnamed: \d+|__index_level_\d+__)$")
_DATE_TEXT = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}.*)?$"
_ISO_TEXT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[-+]\d{2}:?\d{2})?)?$"
_NUMBER_TEXT = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def guess(facts: Facts, *, asked: bool = False) -> Guess:
    """An input's name or "ignored", and why. `asked`: the user named it among the inputs."""
    if facts.num_distinct == 0:
        return "ignored", "no value in any row"
    if (asked or not facts.is_constant) and _holds_times(facts):
        return "time", f"times ({facts.value_type}), such as {facts.values[0].as_py()}"
    reason = None if asked else _reason_to_ignore(facts)
    if reason is not None:
        return "ignored", reason
    if pa.types.is_boolean(facts.value_type):
        return "categorical", "true or false"
    if is_text(facts.value_type):
        return "categorical", f"text, {_different(facts)}{_number_hint(facts)}"
    if is_number(facts.value_type):
        return _guess_number(facts)
    return "ignored", f"{facts.type} is neither a number nor text"


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def holds_numbers_as_text(facts: Facts) -> bool:
    """Whether every value is a number written as text."""
    if not is_text(facts.value_type):
        return False
    return bool(pc.all(pc.match_substring_regex(facts.values, _NUMBER_TEXT)).as_py())


def _reason_to_ignore(facts: Facts) -> str | None:
    if facts.is_constant:
        return f"the same value in every row: {facts.values[0].as_py()!r}"
    if _PANDAS_INDEX.match(facts.name):
        return "looks like a saved pandas index"
    if is_text(facts.value_type):
        return _text_to_ignore(facts)
    if facts.is_whole:
        return _numbers_to_ignore(facts)
    return None


def _holds_times(facts: Facts) -> bool:
    """Arrow's types of times, and text that is ISO 8601 throughout."""
    if not is_text(facts.value_type):
        return bool(pa.types.is_temporal(facts.value_type))
    return bool(pc.all(pc.match_substring_regex(facts.values, _ISO_TEXT)).as_py())


def _text_to_ignore(facts: Facts) -> str | None:
    if facts.num_distinct > FEW and _uniqueness(facts) >= NEARLY_ONE_A_ROW:
        return f"nearly one value a row: {_different(facts)} in {facts.num_counted:,} rows"
    if facts.num_distinct > FEW and _uniqueness(facts) >= FREE_TEXT_SHARE:
        words = float(pc.mean(pc.count_substring_regex(facts.values, r"\S+")).as_py())
        if words >= FREE_TEXT_WORDS:
            return f"free text: {_different(facts)}, of {words:.0f} words on average"
    if pc.all(pc.match_substring_regex(facts.values, _DATE_TEXT)).as_py():
        return f"dates as text, such as {facts.values[0].as_py()!r}"
    return None


def _numbers_to_ignore(facts: Facts) -> str | None:
    if facts.num_distinct > FEW and _is_code(facts.name) and _is_one_a_row(facts):
        return f"nearly one value a row: {_different(facts)} in {facts.num_counted:,} rows"
    if facts.low is not None and facts.high is not None:
        span = facts.high - facts.low + 1
        if facts.num_rows > FEW and span == facts.num_rows and _is_one_a_row(facts):
            return f"counts the rows: {facts.low:,} to {facts.high:,}"
    return None if _is_code(facts.name) else moment_in(facts, words_of(facts.name))


def _guess_number(facts: Facts) -> Guess:
    if facts.is_declared:
        return "categorical", f"the table declares categories, {_different(facts)}"
    if not facts.is_whole:
        return "numeric", "decimal numbers"
    if _is_code(facts.name):
        return "categorical", f"the name says a code, {_different(facts)}"
    if facts.num_distinct <= _few(facts.name) and facts.num_counted >= 2 * facts.num_distinct:
        return "categorical", f"whole numbers, only {_different(facts)}"
    if facts.high is not None and facts.high > LARGEST_EXACT_FLOAT:
        return "categorical", f"whole numbers as long as ids, {_different(facts)}"
    return "numeric", f"whole numbers, {_different(facts)}"


def words_of(name: str) -> frozenset[str]:
    """`userId_2` -> user, id, 2."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def _is_code(name: str) -> bool:
    return bool(words_of(name) & _CODE_WORDS or _ID_ENDING.search(name.lower()))


def _few(name: str) -> int:
    return FEW_ON_A_DIAL if words_of(name) & _DIAL_WORDS else FEW


def _uniqueness(facts: Facts) -> float:
    return facts.num_distinct / max(facts.num_counted, 1)


def _is_one_a_row(facts: Facts) -> bool:
    return _uniqueness(facts) >= NEARLY_ONE_A_ROW


def _different(facts: Facts) -> str:
    where = f" in a sample of {facts.num_sampled:,}" if facts.num_sampled < facts.num_rows else ""
    return f"{facts.num_distinct:,} different{where}"


def _number_hint(facts: Facts) -> str:
    """Text that is numbers throughout, and many, was perhaps meant as quantities."""
    if facts.num_distinct <= FEW or _is_code(facts.name) or not holds_numbers_as_text(facts):
        return ""
    return "; every one is a number: if these are quantities, ask for numeric"
