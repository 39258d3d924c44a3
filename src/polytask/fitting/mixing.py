"""How the batches of an epoch are shared out among several data sets."""

import math
from collections.abc import Iterator, Sequence

from polytask.config import FitConfig
from polytask.fitting.preparing.data_sets import DataSet
from polytask.records import DataSetRecord
from polytask.streams import batches_in_shares

_TEMPERATURES = {"proportional": 1.0, "sqrt": 2.0, "uniform": math.inf}


def batches_by_set(config: FitConfig, data_sets: Sequence[DataSet]) -> dict[str, int]:
    """How many batches of an epoch are of each data set; together as many as all have."""
    if not data_sets:
        return {}
    assert config.batch_size is not None
    rows = [len(each.rows["train"]) for each in data_sets]
    own = [math.ceil(number / config.batch_size) for number in rows]
    shares = config.shares
    temperature = _TEMPERATURES[shares] if isinstance(shares, str) else float(shares)
    counts = batches_in_shares(rows, own, temperature=temperature)
    return {each.name: count for each, count in zip(data_sets, counts)}


def data_set_records(config: FitConfig, data_sets: Sequence[DataSet]) -> tuple[DataSetRecord, ...]:
    """Rows, tasks and share of each data set; none where there is one table."""
    if not data_sets:
        return ()
    assert config.batch_size is not None
    batches = batches_by_set(config, data_sets)
    total = sum(batches.values())
    return tuple(
        DataSetRecord(
            name=each.name,
            tasks=each.tasks,
            rows={part: len(rows) for part, rows in each.rows.items() if rows},
            batches=batches[each.name],
            share=batches[each.name] / total,
            passes=batches[each.name] / math.ceil(len(each.rows["train"]) / config.batch_size),
        )
        for each in data_sets
    )


def mixing_lines(config: FitConfig, data_sets: Sequence[DataSet]) -> Iterator[str]:
    """A line for what an epoch is, and one a data set."""
    records = data_set_records(config, data_sets)
    if not records:
        return
    total = sum(record.batches for record in records)
    shares = config.shares if isinstance(config.shares, str) else f"rows ** (1/{config.shares:g})"
    yield f"an epoch is {total:,} batches, each of one data set, in shares: {shares}"
    for record in records:
        rows = ", ".join(f"{number:,} {part}" for part, number in record.rows.items())
        yield (
            f"  {record.name}: {rows} rows for {', '.join(record.tasks)}; {record.batches:,} batches "
            f"({record.share:.0%}), {record.passes:.2g} times its training rows"
        )
