"""Fewer training rows than there are, with the steps that these deserve."""

from dataclasses import replace

from polytask.config import FitConfig
from polytask.fitting.budget import with_budget
from polytask.fitting.preparing.prepare import Prepared
from polytask.streams.order import epoch_order

_BY_ROWS = (
    *("batch_size", "epochs", "patience", "ensemble", "cross_layers", "shortcuts", "linear"),
    "embedding_optimizer",
)
"""The options that follow from the number of rows where the user leaves them open."""


def drawn(prepared: Prepared, config: FitConfig, rows: int | None) -> Prepared:
    """At most `rows` of the training rows, drawn by the seed of the split; all of them for None.

    `config` is what was asked for, before `prepare` filled in what follows from the number of rows.
    Encoders stay fitted on all training rows.
    """
    if rows is None or rows >= prepared.num_train:
        return prepared
    rows = min(rows, len(prepared.train))
    chosen = epoch_order(len(prepared.train), seed=config.split_seed, epoch=0)[:rows]
    lengths_B = None if prepared.lengths_B is None else prepared.lengths_B[chosen]
    return replace(
        prepared,
        config=with_rows_budget(prepared.config, config, rows),
        train=prepared.train[chosen],
        lengths_B=lengths_B,
        stored=None,
    )


def with_rows_budget(config: FitConfig, asked: FitConfig, rows: int) -> FitConfig:
    """The options with what follows from so many rows, where the options that were asked for leave it open."""
    return with_budget(
        config.model_copy(update={name: getattr(asked, name) for name in _BY_ROWS}), rows
    )
