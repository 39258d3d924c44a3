"""Numbers, categories and frequent values in a graph: what `Input.encode` makes of a table, of raw columns."""

from collections.abc import Sequence

import numpy as np

from polytask.columns.values import value_kind
from polytask.errors import UserError
from polytask.inputs import Input
from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.numbers import Numbers, NumericScale
from polytask.inputs.vocabulary import FIRST_ID, MISSING_ID, Vocabulary
from polytask.serving.contract import MISSING_TEXT, Holds
from polytask.serving.graph.normal import normal_scores
from polytask.serving.graph.sources import Sources, ValueIds
from polytask.serving.graph.values import Value, side_by_side

_LARGEST = float(np.finfo(np.float32).max)


def of_numbers(one: Input, sources: Sources) -> Value:
    assert isinstance(one, Numbers)
    return scaled(one.scales, [sources.number(name) for name in one.columns])


def scaled(scales: Sequence[NumericScale], values: Sequence[Value]) -> Value:
    """Standardised in float64, or normal scores (B, N); float32, NaN where missing."""
    mean_N, std_N = (np.array([getattr(s, name) for s in scales]) for name in ("mean", "std"))
    scaled_BN = ((side_by_side(values) - mean_N) / std_N).within(-_LARGEST, _LARGEST)
    ranked = [n for n, scale in enumerate(scales) if scale.quantiles]
    if not ranked:
        return scaled_BN.cast("float32")
    columns = [
        normal_scores(value, np.array(scale.quantiles)) if scale.quantiles else scaled_BN.column(n)
        for n, (value, scale) in enumerate(zip(values, scales))
    ]
    return side_by_side(columns).cast("float32")


def of_categories(one: Input, sources: Sources) -> Value:
    assert isinstance(one, Categories)
    named = zip(one.columns, one.vocabularies)
    return side_by_side([sources.counted(name, ids_of(name, v, sources)) for name, v in named])


def of_frequent_values(one: Input, sources: Sources) -> Value:
    assert isinstance(one, FrequentValues)
    found = [
        sources.single_ids(name, values, range(FIRST_ID, FIRST_ID + len(values)))
        for name, values in zip(one.columns, one.values)
    ]
    return side_by_side(found)


def ids_of(name: str, vocabulary: Vocabulary, sources: Sources) -> Value:
    """The ids of a vocabulary's values; UserError for values that no graph looks up."""
    if vocabulary.num_buckets:
        raise UserError(
            f"column {name!r} has --hash-buckets, and no graph has their hash (CRC-32 of a text): fit "
            "without them, with --max-ids to bound the values"
        )
    holds, values = held_by(name, vocabulary), vocabulary.values.array.to_pylist()
    ids = [*range(FIRST_ID, FIRST_ID + len(values))]
    if holds not in ("texts", "large integers"):
        return sources.ids(ValueIds(name, holds, [int(value) for value in values], ids))
    texts = [str(value) for value in values]
    known = set(texts)
    words = dict.fromkeys([MISSING_TEXT, *sources.words(name)])
    missing = [word for word in words if word not in known]
    lookup = ValueIds(name, holds, [*missing, *texts], [*[MISSING_ID] * len(missing), *ids])
    return sources.ids(lookup)


def held_by(name: str, vocabulary: Vocabulary) -> Holds:
    """What the raw column of a vocabulary holds."""
    if not vocabulary.values:
        if "int" in vocabulary.dtype:
            return "integers"
        return "booleans" if vocabulary.dtype == "bool" else "texts"
    dtype = vocabulary.values.array.type
    kind = value_kind(dtype)
    if kind == "float":
        raise UserError(
            f"column {name!r} has categories that are fractions, which no graph looks up exactly: "
            f"read it as a number (--numeric={name}), or as text in the table"
        )
    if kind == "integer":
        return "large integers" if str(dtype) == "uint64" else "integers"
    return "booleans" if kind == "boolean" else "texts"
