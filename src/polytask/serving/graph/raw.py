"""Modules from the raw columns of a graph to the tensors of `Input.encode`: numbers and ids."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from polytask.columns.values import value_kind
from polytask.errors import UserError
from polytask.inputs import Input
from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.numbers import Numbers, NumericScale
from polytask.inputs.vocabulary import FIRST_ID, MISSING_ID, UNSEEN_ID, Vocabulary
from polytask.serving.graph.columns import Channels, Lookup, Need, vocabulary_lookup
from polytask.serving.graph.searching import entries_of, places_in

_LARGEST = float(torch.finfo(torch.float32).max)


class Raw(NamedTuple):
    """The raw columns as `Channels` has them, and the derived ones; what no input reads is empty."""

    numbers_BN: Tensor = torch.empty(0)
    ids_BC: Tensor = torch.empty(0)
    times_BK: Tensor = torch.empty(0)
    derived: tuple[Tensor, ...] = ()
    derived_ids: tuple[Tensor, ...] = ()

    def numbers(self, places: Sequence[int]) -> Tensor:
        """Columns of numbers side by side."""
        return _side_by_side(self.numbers_BN, self.derived, places)

    def ids(self, places: Sequence[int]) -> Tensor:
        """Columns of ids side by side."""
        return _side_by_side(self.ids_BC, self.derived_ids, places)


def _side_by_side(raw: Tensor, derived: Sequence[Tensor], places: Sequence[int]) -> Tensor:
    if min(places) >= 0:
        are_all = list(places) == list(range(raw.shape[1]))
        return raw if are_all else raw[:, list(places)]
    columns = [raw[:, place] if place >= 0 else derived[-1 - place] for place in places]
    return torch.stack(columns, dim=1)


class Reading(NamedTuple):
    """How a run's tables are read, as far as it concerns its inputs: the texts that count as missing, by column."""

    words: Callable[[str], Sequence[str]]


class RawNumbers(nn.Module):
    """`Numbers.encode`: standardised in float64, or normal scores; float32, NaN where missing."""

    def __init__(self, scales: Sequence[NumericScale], places: Sequence[int] = ()) -> None:
        super().__init__()
        self.places = list(places)
        mean_N = torch.tensor([scale.mean for scale in scales], dtype=torch.float64)
        std_N = torch.tensor([scale.std for scale in scales], dtype=torch.float64)
        self.mean_N: Tensor
        self.std_N: Tensor
        self.register_buffer("mean_N", mean_N)
        self.register_buffer("std_N", std_N)
        self.ranked = [n for n, scale in enumerate(scales) if scale.quantiles]
        quantiles = [scales[n].quantiles for n in self.ranked]
        self.quantiles_RV: Tensor
        self.register_buffer("quantiles_RV", torch.tensor(quantiles, dtype=torch.float64))

    def forward(self, raw: Raw) -> Tensor:
        return self.scaled(raw.numbers(self.places))

    def scaled(self, values_BN: Tensor) -> Tensor:
        """(B, N), float64, in the columns' own units -> float32."""
        scaled_BN = (values_BN - self.mean_N) / self.std_N
        # By comparisons, which leave NaN alone: what a graph's Clip does with it is not said.
        scaled_BN = torch.where(scaled_BN > _LARGEST, _LARGEST, scaled_BN)
        scaled_BN = torch.where(scaled_BN < -_LARGEST, -_LARGEST, scaled_BN)
        if self.ranked:
            scores_BR = normal_scores(values_BN[:, self.ranked], self.quantiles_RV)
            order = [n for n in range(len(self.mean_N)) if n not in self.ranked]
            back = [[*order, *self.ranked].index(n) for n in range(len(self.mean_N))]
            scaled_BN = torch.cat([scaled_BN[:, order], scores_BR], dim=1)[:, back]
        return scaled_BN.float()


def normal_scores(values_BR: Tensor, quantiles_RV: Tensor) -> Tensor:
    """`Numbers`' normal scores of training ranks, by the same formula: ties get the middle of their ranks."""
    size = quantiles_RV.shape[1]
    known_BR = values_BR.nan_to_num()
    below_BR, upto_BR = (places_in(quantiles_RV, known_BR, right=r) for r in (False, True))
    left_BR = (upto_BR - 1).clamp(0, size - 2)
    low_BR, high_BR = (entries_of(quantiles_RV, places) for places in (left_BR, left_BR + 1))
    width_BR = torch.where(high_BR > low_BR, high_BR - low_BR, 1.0)
    between_BR = left_BR + ((known_BR - low_BR) / width_BR).clamp(0, 1)
    is_tie_BR = below_BR < upto_BR
    upper_BR = torch.where(is_tie_BR, (upto_BR - 1).double(), between_BR)
    lower_BR = torch.where(is_tie_BR, below_BR.double(), between_BR)
    step = 0.5 / size
    share_BR = ((upper_BR + lower_BR) / (2 * (size - 1))).clamp(step, 1 - step)
    return torch.where(values_BR.isnan(), values_BR, inverse_normal(share_BR))


def inverse_normal(share: Tensor) -> Tensor:
    """The standard normal's quantile function in float64, to a few units of its last place.

    Source: Wichura, Applied Statistics 1988, algorithm AS 241 (PPND16).

    >>> inverse_normal(torch.tensor([0.975], dtype=torch.float64)).round(decimals=6).item()
    1.959964
    """
    centred = share - 0.5
    middle = centred * _ratio(0.180625 - centred.square(), _MIDDLE)
    far = (-torch.minimum(share, 1 - share).log()).sqrt()
    # The outermost share of Numbers is 1 / 512, where `far` is 2.5: the formula for 5 and more is not needed.
    tail = _ratio(far - 1.6, _TAIL)
    return torch.where(centred.abs() <= 0.425, middle, torch.where(centred < 0, -tail, tail))


_MIDDLE = (
    (
        *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
        *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
        *(3.3430575583588128105e4, 2.5090809287301226727e3),
    ),
    (
        *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
        *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
        *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
        *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
    ),
    (
        *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
        *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
        1.05075007164441684324e-9,
    ),
)


def _ratio(x: Tensor, coefficients: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    numerator, denominator = (_polynomial(x, each) for each in coefficients)
    return numerator / denominator


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    value = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


class RawIds(nn.Module):
    """Ids as a graph looks them up."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.places = list(places)

    def forward(self, raw: Raw) -> Tensor:
        return raw.ids(self.places)


class DerivedIds(nn.Module):
    """The ids of a derived column's values, which are found by halving: (B,) float64 -> (B,) int64."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        order = sorted(range(len(lookup.keys)), key=lambda place: float(lookup.keys[place]))
        self.is_single = lookup.need == "numbers"
        keys = torch.tensor([float(lookup.keys[place]) for place in order], dtype=torch.float64)
        self.keys_V: Tensor
        self.ids_V: Tensor
        self.register_buffer("keys_V", keys.float() if self.is_single else keys)
        self.register_buffer("ids_V", torch.tensor([lookup.ids[place] for place in order]))

    def forward(self, values_B: Tensor) -> Tensor:
        known_B = values_B.nan_to_num()
        known_B = known_B.float() if self.is_single else known_B
        ids_B = torch.full_like(values_B, UNSEEN_ID, dtype=torch.int64)
        if len(self.keys_V):
            places_B = places_in(self.keys_V, known_B).clamp(max=len(self.keys_V) - 1)
            ids_B = torch.where(self.keys_V[places_B] == known_B, self.ids_V[places_B], ids_B)
        return torch.where(values_B.isnan(), MISSING_ID, ids_B)


def of_numbers(one: Input, channels: Channels, reading: Reading) -> nn.Module:
    assert isinstance(one, Numbers)
    return RawNumbers(one.scales, channels.numbers_of(one.columns))


def of_categories(one: Input, channels: Channels, reading: Reading) -> nn.Module:
    assert isinstance(one, Categories)
    found = zip(one.columns, one.vocabularies)
    return RawIds([channels.ids_of(lookup_of(name, v, reading)) for name, v in found])


def of_frequent_values(one: Input, channels: Channels, reading: Reading) -> nn.Module:
    assert isinstance(one, FrequentValues)
    lookups = [
        Lookup(name, "numbers", values, tuple(range(FIRST_ID, FIRST_ID + len(values))))
        for name, values in zip(one.columns, one.values)
    ]
    return RawIds([channels.ids_of(lookup) for lookup in lookups])


def lookup_of(name: str, vocabulary: Vocabulary, reading: Reading) -> Lookup:
    """The ids of a vocabulary's values; UserError for those that a graph cannot hold."""
    if vocabulary.num_buckets:
        raise UserError(
            f"column {name!r} has --hash-buckets, and no graph has their hash (CRC-32 of a text): fit "
            "without them, with --max-ids to bound the values"
        )
    need = need_of(name, vocabulary)
    values = vocabulary.values.array
    if need in ("texts", "large integers"):
        texts = {str(value) for value in values.to_pylist()} if need == "texts" else set()
        mark = "" if "" not in texts else "<missing>"
        return vocabulary_lookup(name, values, need, mark=mark, words=reading.words(name))
    return vocabulary_lookup(name, values, need, mark="", words=())


def need_of(name: str, vocabulary: Vocabulary) -> Need:
    """What the raw column of a vocabulary holds."""
    if not vocabulary.values:
        kinds: Mapping[str, Need] = {"bool": "booleans", "large_string": "texts", "string": "texts"}
        return kinds.get(vocabulary.dtype, "integers" if "int" in vocabulary.dtype else "texts")
    kind = value_kind(vocabulary.values.array.type)
    if kind == "float":
        raise UserError(
            f"column {name!r} has categories that are fractions, which no graph looks up exactly: "
            "read it as a number (--numeric), or as text in the table"
        )
    if kind == "integer":
        return "large integers" if vocabulary.values.array.type.bit_width == 64 and (
            str(vocabulary.values.array.type) == "uint64"
        ) else "integers"
    return "booleans" if kind == "boolean" else "texts"
