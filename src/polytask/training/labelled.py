"""Predictions where they are asked about: rows without a label of any task are not computed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from polytask.balancing import Ranks
from polytask.model import Network, Objective, few_enough
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import Predictions, predict_together
from polytask.training.run import Precision
from polytask.training.scoring import Array


def labelled_places(
    tasks: Sequence[Task], table: Batch, objectives: Iterable[nn.Module] = ()
) -> Tensor | None:
    """Where the rows are that have a label of one of the tasks; None where that is most rows.

    A class that training has not seen is a label: it is scored as a miss. With `objectives` rows that count
    in one of these are among them.

    >>> from polytask.task import binary
    >>> table = Batch({"x": torch.zeros(3)}, {"click": torch.tensor([1.0, torch.nan, 0.0])})
    >>> labelled_places([binary("click")], table)
    tensor([0, 2])
    """
    known: list[Tensor] = []
    for task in tasks:
        if task.name in table.labels:
            decoded = task.kind.decode(table.labels[task.name].cpu().numpy())
            known.append(torch.from_numpy(~np.isnan(decoded)))
    for objective in objectives:
        assert isinstance(objective, Objective)
        weight_B = objective.row_weights(table)
        known.append(torch.ones(len(table)).bool() if weight_B is None else weight_B.cpu() > 0)
    # Labels of words say nothing of which rows to leave out.
    if not known or any(known_B.shape != (len(table),) for known_B in known):
        return None
    return few_enough(torch.stack(known).any(dim=0))


def predict_labelled(model: Network, table: Batch, *, precision: Precision = "fp32") -> Predictions:
    """`predict` for what is scored: NaN on rows without a label, where they are many.

    >>> from polytask.inputs import SingleInput
    >>> from polytask.model import MultiTaskModel
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> model = MultiTaskModel(SingleInput("x"), SharedBottom(4, 1), [binary("click")])
    >>> table = Batch({"x": torch.zeros(3, 4)}, {"click": torch.tensor([1.0, torch.nan, 0.0])})
    >>> predict_labelled(model, table).values["click"].round(decimals=1).tolist()
    [0.5, nan, 0.5]
    """
    found = predict_labelled_together(model, table, None, precision=precision)
    assert found is not None
    return found


def predict_labelled_together(
    model: Network, table: Batch, ranks: Ranks | None, *, precision: Precision = "fp32"
) -> Predictions | None:
    """The same by all ranks, each a share; None on all but the first."""
    places = labelled_places(model.tasks, table)
    if places is None:
        return predict_together(model, table, ranks, precision=precision)
    found = predict_together(model, table[places], ranks, precision=precision)
    if found is None:
        return None
    values, conditional = (
        {name: _spread(each, places, len(table)) for name, each in part.items()}
        for part in (found.values, found.conditional)
    )
    return replace(found, values=values, conditional=conditional)


def _spread(values: Array, places: Tensor, num_rows: int) -> Array:
    whole = np.full((num_rows, *values.shape[1:]), np.nan, dtype=values.dtype)
    whole[places.numpy()] = values
    return whole
