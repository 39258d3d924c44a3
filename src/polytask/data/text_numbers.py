"""Numbers as people write them: 1,234.50, 1.234,50, $1.20, 12 %; and what is no number among them."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polytask.data.options import Decimal

MANY = 20
"""Text is numbers in spite of some other values only where more different numbers than this occur."""
_LARGEST_SHARE = 0.01
_LARGEST_SHARE_OF_FEW_WORDS = 0.1
_FEW_WORDS = 3
_MOST = 0.8
_SURE_FRACTION = r",0[0-9]|\..*,"
_SURE_FRACTIONS = 0.01
"""8,12 may be a list of two ids, but not 8,05: so many of the different values must be like this."""
_EXACT_DIGITS = 15

_SIGNS = "$€£¥₹₽₩%"
_MINUS = "\u2212"
_SPACE = "\u00a0\u202f "
_CELL = (
    rf"\s*(?P<minus>[-+{_MINUS}]?)(?P<before>[{_SIGNS}]?)\s*(?P<minus2>[-+{_MINUS}]?)"
    rf"(?P<body>[0-9.,][0-9.,'{_SPACE}]*(?:[eE][-+]?[0-9]+)?)(?P<after>[{_SIGNS}]?)\s*"
)
_SPACES = rf"[\s{_SPACE}]"
_MAY_BE_NUMBER = re.compile(_CELL)
_ZEROS_IN_FRONT = r"^0[0-9]"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a column's numbers are written: the decimal sign and what parts thousands."""

    decimal: Decimal
    thousands: str
    pattern: str

    def plain(self, bodies: pa.Array) -> pa.Array:
        """The bodies as Arrow parses them."""
        if self.thousands == " ":
            bodies = pc.replace_substring_regex(bodies, pattern=_SPACES, replacement="")
        elif self.thousands:
            bodies = pc.replace_substring(bodies, pattern=self.thousands, replacement="")
        if self.decimal == ",":
            bodies = pc.replace_substring(bodies, pattern=",", replacement=".")
        return bodies


def _grouped(thousands: str, decimal: Decimal) -> NumberFormat:
    by = {" ": _SPACES, ".": r"\."}.get(thousands, thousands)
    fraction = r"(?:\.[0-9]+)?" if decimal == "." else "(?:,[0-9]+)?"
    return NumberFormat(
        decimal, thousands, rf"^(?:[0-9]{{1,3}}(?:{by}[0-9]{{3}})+|[0-9]{{1,3}}){fraction}$"
    )


_PLAIN = NumberFormat(".", "", r"^(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
_PLAIN_COMMA = NumberFormat(",", "", r"^(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][-+]?[0-9]+)?$")
_WITH_POINT = (_PLAIN, _grouped(",", "."), _grouped(" ", "."), _grouped("'", "."))
_WITH_COMMA = (_PLAIN_COMMA, _grouped(".", ","), _grouped(" ", ","), _grouped("'", ","))


@dataclass(frozen=True, slots=True, eq=False)
class ReadNumbers:
    """What was found among a column's different texts.

    values: int64 or float64, null where a text is no number or a missing one. wrong: which texts
    are neither numbers nor missing. format: None where numbers stand as programs write them.
    """

    values: pa.Array
    wrong: NDArray[np.bool_]
    format: NumberFormat
    sign: str

    @property
    def how(self) -> str:
        """What makes the numbers unusual, in words; empty for plain ones."""
        told = []
        if self.format.decimal == ",":
            told.append("decimal commas")
        if self.format.thousands:
            told.append(f"thousands parted by {self.format.thousands!r}")
        if self.sign:
            told.append(f"{self.sign} left out")
        return ", ".join(told)


def read_numbers(
    texts: pa.Array,
    counts: NDArray[np.int64],
    missing: NDArray[np.bool_],
    *,
    decimal: Decimal | None,
    known: bool = False,
) -> ReadNumbers | None:
    """The numbers of a column's different texts; None where they are no column of numbers.

    `counts` are the rows of each text. `known`: the column is known to hold numbers, so that a
    placeholder such as "-" may stand in every row.
    """
    parts = pc.extract_regex(texts, f"^{_CELL}$")
    body = pc.struct_field(parts, "body")
    sign = _joined(pc.struct_field(parts, "before"), pc.struct_field(parts, "after"))
    # A text without a letter or a digit is a placeholder, such as "-", "--", "." or a long dash.
    open_V = ~missing & _matches(texts, r"[\pL\pN]")
    chosen_sign = _commonest(sign, np.where(open_V, counts, 0))
    if chosen_sign is not None:
        body = pc.if_else(pc.equal(sign, chosen_sign), pc.utf8_trim_whitespace(body), None)
    found = _format(body, np.where(open_V, counts, 0), decimal)
    if found is None and not (known and not open_V.any()):
        return None
    number_format = found or _PLAIN
    fits_V = _matches(body, number_format.pattern) & open_V
    wrong = open_V & ~fits_V
    if not _are_numbers(fits_V, wrong, counts):
        return None
    minuses = pa.array(["-", _MINUS], texts.type)
    signs = (pc.struct_field(parts, name) for name in ("minus", "minus2"))
    minus = pc.or_(*(pc.is_in(each, value_set=minuses) for each in signs))
    bodies = pc.if_else(pa.array(fits_V), body, None)
    values = _parsed(number_format, bodies, minus)
    if values is None:
        return None
    return ReadNumbers(values, wrong, number_format, chosen_sign or "")


def numbers_in_doubt(texts: pa.Array, missing: NDArray[np.bool_]) -> str:
    """Why a column that stays text may yet have been meant as numbers; empty where nothing says so."""
    present = texts.filter(pa.array(~missing))
    if len(present) <= MANY:
        return ""
    if np.mean(_matches(present, r"^[-+]?[0-9]+,[0-9]+$")) >= _MOST:
        return "text; if its commas are decimal signs, pass --decimal=','"
    plain = _matches(present, rf"^[-+]?{_PLAIN.pattern[1:]}")
    if np.mean(plain) < _MOST or _matches(present, _ZEROS_IN_FRONT).any():
        return ""
    others = present.filter(pa.array(~plain)).slice(0, _FEW_WORDS).to_pylist()
    return (
        f"text, for too many of its values are no numbers, such as {', '.join(map(repr, others))};"
        " if they are missing ones, name them by --missing"
        if others
        else ""
    )


def looks_numeric(texts: list[str]) -> bool:
    """Whether half of some texts may be numbers: cheap, and hardly ever wrong with "no"."""
    candidates = sum(map(bool, map(_MAY_BE_NUMBER.fullmatch, texts)))
    return bool(texts) and 2 * candidates >= len(texts)


def _format(
    body: pa.Array, rows: NDArray[np.int64], decimal: Decimal | None
) -> NumberFormat | None:
    """The way of writing that most rows follow, the plainest where several do."""
    formats = {".": _WITH_POINT, ",": (*_WITH_COMMA, _PLAIN)}.get(
        decimal or "", (*_WITH_POINT, *_WITH_COMMA)
    )
    best, most = None, 0
    for candidate in formats:
        fits = _matches(body, candidate.pattern)
        num_rows = int(rows[fits].sum())
        if num_rows > most and _has_evidence(candidate, body.filter(pa.array(fits)), decimal):
            best, most = candidate, num_rows
    return best


def _has_evidence(candidate: NumberFormat, bodies: pa.Array, decimal: Decimal | None) -> bool:
    """1,234 may be one number, another, or a list of two: only the column can tell."""
    if candidate is _PLAIN:
        return True
    if candidate.decimal == "," and decimal != ",":
        return bool(np.mean(_matches(bodies, _SURE_FRACTION)) >= _SURE_FRACTIONS)
    if candidate.thousands == "," and decimal is None:
        return bool(_matches(bodies, r"^[0-9]{1,2},|\.").any())
    return True


def _are_numbers(
    fits_V: NDArray[np.bool_], wrong_V: NDArray[np.bool_], counts: NDArray[np.int64]
) -> bool:
    """All, or all but a few where there are many different numbers."""
    num_wrong, num_rows = counts[wrong_V].sum(), counts[fits_V | wrong_V].sum()
    if num_wrong == 0:
        return True
    if np.count_nonzero(fits_V) <= MANY:
        return False
    few_words = np.count_nonzero(wrong_V) <= _FEW_WORDS
    share = _LARGEST_SHARE_OF_FEW_WORDS if few_words else _LARGEST_SHARE
    return bool(num_wrong <= max(1, share * num_rows))


def _parsed(number_format: NumberFormat, bodies: pa.Array, minus: pa.Array) -> pa.Array | None:
    """int64 where all are whole, else float64; None for codes: zeros in front, too many digits."""
    is_plain = number_format in (_PLAIN, _PLAIN_COMMA)
    if is_plain and _matches(bodies, _ZEROS_IN_FRONT).any():
        return None
    plain = number_format.plain(bodies)
    signed = pc.if_else(minus, _joined(pa.scalar("-", plain.type), plain), plain)
    if not _matches(plain, r"[.eE]").any():
        try:
            return signed.cast(pa.int64())
        except pa.ArrowInvalid:
            return None
    long = rf"^[0-9]{{{_EXACT_DIGITS + 1},}}$"
    return None if _matches(plain, long).any() else signed.cast(pa.float64())


def _commonest(sign: pa.Array, rows: NDArray[np.int64]) -> str | None:
    """The currency or percent sign of most rows; "" where most have none."""
    encoded = sign.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if not (codes >= 0).any():
        return None
    weights = np.bincount(codes[codes >= 0], weights=rows[codes >= 0])
    return str(encoded.dictionary[int(np.argmax(weights))].as_py())


def _joined(first: pa.Array | pa.Scalar, second: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(first, second, pa.scalar("", second.type))


def _matches(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Which texts match; a missing one does not."""
    found = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    matches: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return matches
