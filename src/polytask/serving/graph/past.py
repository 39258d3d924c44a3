"""Histories in a graph: what was observed of a key before a row's time, looked up in sorted lists."""

import numpy as np

from polytask.inputs import Input
from polytask.inputs.history import KeyHistory
from polytask.inputs.history_past import Past
from polytask.inputs.vocabulary import FIRST_ID
from polytask.serving.graph.calendar import known_times
from polytask.serving.graph.encoding import ids_of, scaled
from polytask.serving.graph.sources import Sources
from polytask.serving.graph.values import Value, places_in

_FIRST, _LAST = 315_532_800_000_000, 7_258_118_400_000_000
"""1980 and 2200 in microseconds since 1970: times of a table lie between them, other numbers do not."""


def of_history(one: Input, sources: Sources) -> Value:
    """log(1 + rows) and smoothed means of each key, scaled."""
    assert isinstance(one, KeyHistory)
    known = _known_blocks(one, sources)
    columns = [column for past in one.pasts for column in _observed(one, past, known, sources)]
    return scaled(one.scales.scales, columns)


def is_a_time(one: KeyHistory) -> bool:
    """Whether the column of the time holds times. That is not kept; where numbers count microseconds, both are one."""
    return _FIRST <= one.blocks.end < _LAST


def _known_blocks(one: KeyHistory, sources: Sources) -> Value:
    """How many blocks each row knows."""
    if not is_a_time(one):
        times = sources.number(one.time)
    elif one.time in sources.zones:
        times = _in_float64(sources.time(one.time, "times", sources.zones[one.time]))
    else:
        times = _in_float64(sources.time(one.time, "times", None))
    count = float(one.blocks.count)
    back = ((-times + one.blocks.end) / one.blocks.width).of("Ceil")
    back = back.where(~back.isnan(), 0.0).within(0.0, count)
    return -back.cast("int64") + one.blocks.count


def _in_float64(raw: Value) -> Value:
    is_known, ticks = known_times(raw)
    return ticks.cast("float64").where(is_known, float("nan"))


def _observed(one: KeyHistory, past: Past, known: Value, sources: Sources) -> list[Value]:
    """The columns of one key in their own units."""
    codes, is_known = None, None
    for name, vocabulary in zip(past.key, past.vocabularies):
        ids = sources.counted(name, ids_of(name, vocabulary, sources))
        is_seen = ids >= FIRST_ID
        codes = ids if codes is None else codes * vocabulary.num_ids + ids
        is_known = is_seen if is_known is None else is_known & is_seen
    assert codes is not None and is_known is not None
    places, observed = past.places.array().astype(np.int64), past.observed.array()
    before = np.zeros((len(places) + 1, observed.shape[1]))
    np.cumsum(observed, axis=0, out=before[1:])
    first = codes * one.blocks.count
    start, stop = places_in(first, places), places_in(first + known, places)

    def seen(column: int) -> Value:
        entries = np.ascontiguousarray(before[:, column])
        found = stop.entries_of(entries, "float64") - start.entries_of(entries, "float64")
        return found.where(is_known, 0.0)

    columns = [(seen(0) + 1.0).of("Log")]
    for place, mean in enumerate(one.means):
        labelled, total = seen(1 + 2 * place), seen(2 + 2 * place)
        weight = labelled + one.smoothing
        share = (total + one.smoothing * mean) / weight.where(weight > 0.0, 1.0)
        columns.append(share.where(weight > 0.0, mean))
    return columns
