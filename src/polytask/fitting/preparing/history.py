"""--history: which keys' pasts are inputs, and what a past is made of."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polytask.config import FitConfig
from polytask.errors import UserError, flag
from polytask.inputs import Input
from polytask.inputs.fitted import Fit
from polytask.task import Task

_TIMES = "*"


def parse_keys(config: FitConfig) -> tuple[tuple[str, ...], ...]:
    """`user_id,user_id * tag` as the columns of each key."""
    keys = tuple(tuple(part.strip() for part in key.split(_TIMES)) for key in config.history)
    for key, text in zip(keys, config.history):
        if not all(key) or len(set(key)) < len(key):
            raise UserError(f"{flag('history', text)}: write COLUMN, or COLUMN * COLUMN for a pair")
    if keys and config.time_column is None:
        raise UserError("--history needs --time-column: a row's history is what came before it")
    return keys


def claimed_columns(config: FitConfig) -> tuple[str, ...]:
    """Keys of one column: their past is the input in the place of the value itself."""
    return tuple(key[0] for key in parse_keys(config) if len(key) == 1)


def history_columns(config: FitConfig) -> tuple[str, ...]:
    """What the input reads: the columns of all keys, and the time."""
    keys = parse_keys(config)
    if not keys:
        return ()
    assert config.time_column is not None
    return (*dict.fromkeys(name for key in keys for name in key), config.time_column)


def history_fit(
    config: FitConfig,
    fit: Callable[..., Input],
    tasks: Sequence[Task],
    labels_BT: NDArray[np.float32],
) -> Fit:
    """`KeyHistory.fit` with the keys, the time and the labels of all tasks that have a mean."""
    targets = {
        task.name: labels_BT[:, t].astype(np.float64)
        for t, task in enumerate(tasks)
        if task.kind.num_classes <= 2
    }
    return partial(fit, time=config.time_column, keys=parse_keys(config), targets=targets)
