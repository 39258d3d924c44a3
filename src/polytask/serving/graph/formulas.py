"""Derived columns in a graph: a formula of `data.derive` in float64, NaN where missing.

DIFF to `polytask predict`: whole numbers beyond 2^53 are rounded, and one beyond 64 bits is no error.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import TypeAlias

import torch
from torch import Tensor, nn

from polytask.data.derive import Derivation
from polytask.data.derive.grammar import read_formula
from polytask.data.derive.operations import Node
from polytask.errors import UserError
from polytask.serving.contract import MISSING_INTEGER
from polytask.serving.graph.columns import Channels, Lookup, Need, raw_type
from polytask.serving.graph.parts_of_times import DAY, Zone, date_of, days_since_1970, in_microseconds
from polytask.serving.graph.raw import Raw, Reading

Maker: TypeAlias = Callable[[Raw], Tensor]
_TEXT_YES = 2


def formulas_of(
    derivations: Sequence[Derivation], channels: Channels, reading: Reading
) -> list[nn.Module]:
    """A module for each derived column, in order; UserError for one that no graph calculates."""
    known: dict[str, Need] = {name: raw_type(name, n) for name, n in channels.needs().items()}
    known |= dict.fromkeys(channels.derived, "numbers")
    found: list[nn.Module] = []
    for derivation in derivations:
        try:
            node = read_formula(derivation.expression)
            found.append(Formula(node, channels, known=known, words=reading.words))
        except UserError as error:
            raise UserError(
                f"derived column {derivation.name!r} cannot be calculated in a graph: {error.message}; "
                "--derived-as-inputs leaves it to whoever asks, as a column of its own"
            ) from error
    return found


class Formula(nn.Module):
    """One derived column, (B,) float64.

    UserError, when it is made, for what no graph calculates: texts but for == and in, `date`.
    """

    def __init__(
        self,
        node: Node,
        channels: Channels,
        *,
        known: Mapping[str, Need],
        words: Callable[[str], Sequence[str]],
    ) -> None:
        super().__init__()
        self._channels, self._known, self._words = channels, known, words
        self.zones = nn.ModuleList()
        self._way = self._number(node)

    def forward(self, raw: Raw) -> Tensor:
        return self._way(raw)

    def _number(self, node: Node) -> Maker:
        if node.symbol == "literal":
            if isinstance(node.literal, str):
                raise UserError(f"the text {node.literal!r} in a place other than beside == and in")
            value = float(node.literal or 0)
            return lambda raw: torch.tensor(value, dtype=torch.float64)
        if node.symbol == "column":
            return self._column(node.columns[0])
        if node.symbol in _OF_A_TIME or node.symbol in ("days_since", "age"):
            return self._of_times(node)
        if node.symbol in ("Is", "IsNot"):
            return self._null(node)
        if node.symbol in ("Eq", "NotEq", "In", "NotIn") and self._has_texts(node):
            return self._texts(node)
        function = _FUNCTIONS.get(node.symbol)
        if function is None:
            raise UserError(f"{node.symbol} is calculated by no graph")
        operands = [self._number(each) for each in node.operands]
        return lambda raw: function(*(operand(raw) for operand in operands))

    def _column(self, name: str) -> Maker:
        if self._known.get(name) in ("texts", "large integers", "times"):
            raise UserError(f"column {name!r} holds {self._known[name]}, where numbers are due")
        (place,) = self._channels.numbers_of([name])
        return lambda raw: raw.numbers([place])[:, 0]

    def _null(self, node: Node) -> Maker:
        (operand,) = node.operands
        is_known = operand.symbol != "column" or operand.columns[0] in self._known
        if not is_known:
            raise UserError(
                f"nothing says what column {operand.columns[0]!r} holds, of which only is asked whether it is null"
            )
        if operand.symbol == "column" and self._known.get(operand.columns[0]) == "texts":
            missing = self._text_ids(operand.columns[0], [])
            found: Maker = lambda raw: missing(raw) == 0  # noqa: E731
        else:
            number = self._number(operand)
            found = lambda raw: number(raw).isnan()  # noqa: E731
        if node.symbol == "Is":
            return lambda raw: found(raw).double()
        return lambda raw: (~found(raw)).double()

    def _has_texts(self, node: Node) -> bool:
        return any(
            isinstance(each.literal, str)
            or (each.symbol == "column" and self._known.get(each.columns[0]) == "texts")
            for each in node.operands
        )

    def _texts(self, node: Node) -> Maker:
        """A column of texts beside texts that are written in the formula."""
        columns = [each for each in node.operands if each.symbol == "column"]
        texts = [each.literal for each in node.operands if isinstance(each.literal, str)]
        if len(columns) != 1 or len(texts) != len(node.operands) - 1:
            raise UserError(f"{node.symbol} of texts that are not one column and texts in quotes")
        ids = self._text_ids(columns[0].columns[0], texts)
        is_positive = node.symbol in ("Eq", "In")

        def found(raw: Raw) -> Tensor:
            ids_B = ids(raw)
            truth_B = (ids_B == _TEXT_YES) if is_positive else (ids_B != _TEXT_YES)
            return torch.where(ids_B == 0, torch.nan, truth_B.double())

        return found

    def _text_ids(self, name: str, texts: list[str]) -> Maker:
        """0 where missing, 2 where one of the texts, else 1."""
        if self._known.get(name, "texts") != "texts":
            raise UserError(f"column {name!r} holds {self._known[name]}, where texts are due")
        wanted = list(dict.fromkeys(texts))
        missing = [word for word in dict.fromkeys(["", *self._words(name)]) if word not in wanted]
        ids = (*[0] * len(missing), *[_TEXT_YES] * len(wanted))
        place = self._channels.ids_of(Lookup(name, "texts", (*missing, *wanted), ids))
        return lambda raw: raw.ids([place])[:, 0]

    def _of_times(self, node: Node) -> Maker:
        how = [each.literal for each in node.operands if isinstance(each.literal, str)]
        whens = [each for each in node.operands if not isinstance(each.literal, str)]
        unit = next((text for text in how if text in ("s", "ms", "us", "ns")), None)
        zone = next((str(text) for text in how if text != unit), None)
        times = [self._time(when, unit, zone) for when in whens]
        function = _OF_A_TIME.get(node.symbol) or _OF_TWO_TIMES[node.symbol]
        return lambda raw: _where_known(function, [time(raw) for time in times])

    def _time(self, when: Node, unit: str | None, zone: str | None) -> Maker:
        """Microseconds on the clock of the zone, MISSING_INTEGER where missing."""
        if when.symbol != "column" or when.columns[0] in self._channels.derived:
            raise UserError("a part of a time that is no column of the table")
        name = when.columns[0]
        if unit is None and zone is not None:
            raise UserError(f"the zone of column {name!r} is moved to {zone!r}")
        place = self._channels.time_of(
            name, "times" if unit is None else "integers", None if unit else False
        )
        self.zones.append(clock := Zone(zone))

        def ticks(raw: Raw) -> Tensor:
            raw_B = raw.times_BK[:, place]
            known_B = clock(in_microseconds(torch.where(raw_B == MISSING_INTEGER, 0, raw_B), unit))
            return torch.where(raw_B == MISSING_INTEGER, MISSING_INTEGER, known_B)

        return ticks


def _where_known(function: Callable[..., Tensor], ticks: list[Tensor]) -> Tensor:
    missing_B = reduce(torch.logical_or, [each == MISSING_INTEGER for each in ticks])
    values_B = function(*(torch.where(missing_B, 0, each) for each in ticks)).double()
    return torch.where(missing_B, torch.nan, values_B)


def _defined(undefined: Tensor, value: Tensor) -> Tensor:
    return torch.where(undefined, torch.nan, value)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    return _defined(b == 0, a / torch.where(b == 0, 1.0, b))


def _remainder(a: Tensor, b: Tensor) -> Tensor:
    """numpy's: the sign is that of b."""
    divisor = torch.where(b == 0, 1.0, b)
    rest = torch.fmod(a, divisor)
    return _defined(b == 0, torch.where((rest != 0) & ((rest < 0) != (divisor < 0)), rest + divisor, rest))


def _floor_divided(a: Tensor, b: Tensor) -> Tensor:
    """numpy's: what the remainder leaves, divided, and rounded to a whole number."""
    divisor = torch.where(b == 0, 1.0, b)
    return _defined(b == 0, ((a - _remainder(a, divisor)) / divisor + 0.5).floor())


def _power(a: Tensor, b: Tensor) -> Tensor:
    return _defined((a == 0) & (b < 0), torch.pow(a, b))


def _log1p(a: Tensor) -> Tensor:
    """Exact near 0, where the logarithm of a rounded sum is not."""
    total = 1 + torch.where(a <= -1, 0.0, a)
    near = torch.where(total == 1, 1.0, total - 1)
    return _defined(a <= -1, torch.where(total == 1, a, total.log() * a / near))


def _logarithm(a: Tensor) -> Tensor:
    return _defined(a <= 0, torch.where(a <= 0, 1.0, a).log())


def _largest(a: Tensor, b: Tensor) -> Tensor:
    return _defined(a.isnan() | b.isnan(), torch.where(a > b, a, b))


def _compared(compare: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    return _defined(a.isnan() | b.isnan(), compare(a, b).double())


def _not(a: Tensor) -> Tensor:
    return _defined(a.isnan(), (a == 0).double())


def _all_of(*values: Tensor) -> Tensor:
    """SQL's and: false and null is false."""
    is_false = reduce(torch.logical_or, [value == 0 for value in values])
    is_null = reduce(torch.logical_or, [value.isnan() for value in values])
    return torch.where(is_false, 0.0, _defined(is_null, torch.ones_like(is_null, dtype=torch.float64)))


def _any_of(*values: Tensor) -> Tensor:
    return _not(_all_of(*(_not(value) for value in values)))


def _is_in(value: Tensor, *members: Tensor) -> Tensor:
    found = reduce(torch.logical_or, [value == member for member in members])
    return _defined(value.isnan(), found.double())


_FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mult": torch.mul,
    "Div": _divided,
    "FloorDiv": _floor_divided,
    "Mod": _remainder,
    "Pow": _power,
    "USub": torch.neg,
    "UAdd": lambda a: a,
    "Not": _not,
    "And": _all_of,
    "Or": _any_of,
    "Eq": partial(_compared, torch.eq),
    "NotEq": partial(_compared, torch.ne),
    "Lt": partial(_compared, torch.lt),
    "LtE": partial(_compared, torch.le),
    "Gt": partial(_compared, torch.gt),
    "GtE": partial(_compared, torch.ge),
    "In": _is_in,
    "NotIn": lambda value, *members: _not(_is_in(value, *members)),
    "abs": torch.abs,
    "exp": torch.exp,
    "log": _logarithm,
    "log1p": _log1p,
    "sqrt": lambda a: _defined(a < 0, torch.where(a < 0, 0.0, a).sqrt()),
    "max": lambda *values: reduce(_largest, values),
    "min": lambda *values: -reduce(_largest, [-value for value in values]),
}
_OF_A_TIME: Mapping[str, Callable[[Tensor], Tensor]] = {
    "year": lambda ticks: date_of(ticks)[0],
    "month": lambda ticks: date_of(ticks)[1],
    "day": lambda ticks: date_of(ticks)[2],
    "weekday": lambda ticks: (days_since_1970(ticks) + 3) % 7,
    "hour": lambda ticks: ticks % DAY // 3_600_000_000,
    "minute": lambda ticks: ticks % 3_600_000_000 // 60_000_000,
}


def _age(when: Tensor, born: Tensor) -> Tensor:
    (year, month, day), (first_year, first_month, first_day) = date_of(when), date_of(born)
    is_before = month * 100 + day < first_month * 100 + first_day
    return year - first_year - is_before.long()


_OF_TWO_TIMES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "days_since": lambda when, earlier: (when - earlier).double() / DAY,
    "age": _age,
}
