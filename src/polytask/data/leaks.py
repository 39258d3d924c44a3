"""Inputs that give a label away: every input alone against every task."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.columns.numbers import finite_numbers
from polytask.columns.values import coded, is_number
from polytask.data.schema import Schema
from polytask.errors import UserError, flag
from polytask.records import Leak
from polytask.records.run import LeakMetric
from polytask.task import Task

_MOST_ROWS = 200_000
_NUM_BINS = 256
_ROWS_A_BIN = 40
_FEWEST_ROWS = 20
"""With fewer rows of a class, or of its complement, an AUC is mostly chance."""

WARN_ABOVE: Mapping[LeakMetric, float] = MappingProxyType({"AUC": 0.95, "R2": 0.8})


def find_leaks(
    train_table: pa.Table,
    schema: Schema,
    labels_BT: NDArray[np.float32],
    tasks: Sequence[Task],
    *,
    warn_above: Mapping[LeakMetric, float] = WARN_ABOVE,
    seed: int = 0,
) -> list[Leak]:
    """The inputs whose AUC or R2 for a task is above `warn_above`, worst first.

    Each input alone: the rate of yes per value (numbers: per quantile bin) is taken from one half
    of the rows and ranks the other half, and the other way round; the AUC is the mean of the two.
    (Within one half, an id with a row a value would look like a perfect leak.) Multiclass: the
    largest AUC of a class against the rest. Labels that are quantities: the mean label per value is
    taken from one half and its R2 from the other, on the labels or on their ranks, whichever is
    more: in a heavy tail a bin's mean misses even a copy.
    """
    # Not default_rng(seed) itself: labels that someone drew by that would be the folds.
    random = np.random.default_rng([seed, *b"leaks"])
    rows = np.arange(train_table.num_rows)
    if len(rows) > _MOST_ROWS:
        rows = np.sort(random.choice(train_table.num_rows, _MOST_ROWS, replace=False))
    fold_B = random.integers(0, 2, len(rows))
    leaks = []
    for name, codes_B in _coded_inputs(train_table, schema, rows):
        for index, task in enumerate(tasks):
            if task.per_word:
                continue
            metric, value = _measured(codes_B, labels_BT[rows, index], task, fold_B)
            if value > warn_above[metric]:
                leaks.append(Leak(name, task.name, metric, value))
    return sorted(leaks, key=lambda leak: -leak.value)


def stop_at_leaks(leaks: Sequence[Leak], allowed: Sequence[str]) -> None:
    """UserError for leaks that are too good to be trained on unseen, and not allowed by name."""
    stops = [leak for leak in leaks if leak.stops and leak.column not in allowed]
    if not stops:
        return
    found = "; ".join(leak.finding for leak in stops)
    columns = ",".join(sorted({leak.column for leak in stops}))
    raise UserError(
        f"inputs that give the label away: {found}. If they are known only after the event, "
        f"pass {flag('after', columns)}; if they are true inputs, {flag('allow', columns)}"
    )


def _measured(
    codes_B: NDArray[np.int64],
    labels_B: NDArray[np.float32],
    task: Task,
    fold_B: NDArray[np.int64],
) -> tuple[LeakMetric, float]:
    missing_B = np.isnan(labels_B)
    if task.kind.num_classes == 0:
        codes_B, fold_B = codes_B[~missing_B], fold_B[~missing_B]
        values_B = labels_B[~missing_B].astype(np.float64)
        both = (values_B, _ranks(values_B))
        return "R2", max(_explained(codes_B, each_B, fold_B) for each_B in both)
    # The likelier class, where labels are probabilities of yes.
    class_B = np.floor(np.where(missing_B, -1, labels_B) + 0.5).astype(np.int64)
    return "AUC", _largest_auc(codes_B, class_B, fold_B)


def _ranks(values_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; ties share the middle of theirs. (scipy.stats has it and takes 2 s to import.)"""
    _, place_B, counts = np.unique(values_B, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = np.cumsum(counts) - (counts + 1) / 2
    return middle[place_B]


def _explained(
    codes_B: NDArray[np.int64], labels_B: NDArray[np.float64], fold_B: NDArray[np.int64]
) -> float:
    """The mean R2 of each fold predicted by the other fold's mean label per value."""
    if len(labels_B) < 2 * _FEWEST_ROWS:
        return 0.0
    centred_B = labels_B - labels_B.mean()
    scores = []
    for fold in (0, 1):
        known_B, scored_B = fold_B != fold, fold_B == fold
        size = int(codes_B.max()) + 1
        total_V = np.bincount(codes_B[known_B], weights=centred_B[known_B], minlength=size)
        # Values that the other half lacks have the overall mean, 0 here.
        mean_V = total_V / np.bincount(codes_B[known_B], minlength=size).clip(1)
        wrong = np.square(centred_B[scored_B] - mean_V[codes_B[scored_B]]).sum()
        spread = np.square(centred_B[scored_B] - centred_B[scored_B].mean()).sum()
        scores.append(1 - wrong / spread if spread > 0 else 0.0)
    return float(np.mean(scores))


def _coded_inputs(
    table: pa.Table, schema: Schema, rows: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Each input as codes from 0; what is missing has the last code."""
    is_sample = len(rows) < table.num_rows
    for name in (name for names in schema.inputs.values() for name in names):
        if pa.types.is_nested(table[name].type) or _holds_bytes(table[name].type):
            continue
        column = table[name].take(pa.array(rows)) if is_sample else table[name]
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
        if name in schema.numeric or (is_number(column.type) and name not in schema.categorical):
            yield name, _binned(finite_numbers(column, f"column {name!r}"))
        else:
            found = coded(column, f"column {name!r}")
            codes_B = found.codes_B.astype(np.int64)
            yield name, np.where(codes_B < 0, len(found.values), codes_B)


def _holds_bytes(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype))


def _binned(values_B: NDArray[np.float64]) -> NDArray[np.int64]:
    """Codes of quantile bins, or of the values themselves where they are few."""
    missing_B = np.isnan(values_B)
    present = values_B[~missing_B]
    codes_B = np.zeros(len(values_B), dtype=np.int64)
    if len(present) == 0:
        return codes_B
    different = np.unique(present)
    if len(different) > _NUM_BINS:
        # With fewer rows a bin many bins would be empty in one of the halves.
        num_bins = int(np.clip(len(present) // _ROWS_A_BIN, 8, _NUM_BINS))
        different = np.unique(np.quantile(present, np.linspace(0, 1, num_bins)))
    codes_B[~missing_B] = np.searchsorted(different, present, side="right")
    codes_B[missing_B] = len(different) + 1
    return codes_B


def _largest_auc(
    codes_B: NDArray[np.int64], class_B: NDArray[np.int64], fold_B: NDArray[np.int64]
) -> float:
    """The largest AUC of one class against the rest, among classes with rows enough; 0 if none."""
    labelled_B = class_B >= 0
    codes_B, class_B, fold_B = codes_B[labelled_B], class_B[labelled_B], fold_B[labelled_B]
    rows_of_class = np.bincount(class_B)
    enough = (rows_of_class >= _FEWEST_ROWS) & (len(class_B) - rows_of_class >= _FEWEST_ROWS)
    if len(rows_of_class) <= 2:
        enough[:1] = False
    if not enough.any():
        return 0.0
    num_values = int(codes_B.max()) + 1
    cells_B = fold_B * num_values + codes_B
    by_class = np.split(cells_B[np.argsort(class_B)], np.cumsum(rows_of_class)[:-1])

    def counted(cells: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(cells, minlength=2 * num_values).reshape(2, num_values)

    total_FV = counted(cells_B)
    return max(_auc_across(counted(by_class[c]), total_FV) for c in np.flatnonzero(enough))


def _auc_across(yes_FV: NDArray[np.int64], total_FV: NDArray[np.int64]) -> float:
    """The mean AUC of each fold ranked by the other fold's rates per value."""
    aucs = []
    for fold in (0, 1):
        yes, total = yes_FV[1 - fold], total_FV[1 - fold]
        if total.sum() == 0:
            return 0.0
        # One row's worth of the overall rate, so that unseen values stand in the middle.
        rate_V = (yes + yes.sum() / total.sum()) / (total + 1)
        aucs.append(_auc(rate_V, yes_FV[fold], total_FV[fold] - yes_FV[fold]))
    return float(np.mean(aucs))


def _auc(score_V: NDArray[np.float64], yes_V: NDArray[np.int64], no_V: NDArray[np.int64]) -> float:
    """AUC of scores that yes_V and no_V rows have; equal scores count half."""
    if yes_V.sum() == 0 or no_V.sum() == 0:
        return 0.5
    order = np.argsort(score_V)
    sorted_V = score_V[order]
    starts = np.flatnonzero(np.append(True, sorted_V[1:] != sorted_V[:-1]))
    yes = np.add.reduceat(yes_V[order], starts)
    no = np.add.reduceat(no_V[order], starts)
    below = np.cumsum(no) - no / 2
    return float((yes * below).sum() / (yes.sum() * no.sum()))
