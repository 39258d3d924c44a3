"""A small table, a model that may fold its first layer, and its losses over steps."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from polytask.balancing import Equal, Ranks
from polytask.inputs import FittedInputs
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import Task
from polytask.training import Settings, TrainingRun, train
from polytask.trunks import MMoE

NUM_ROWS, BATCH_SIZE = 1200, 512


def table() -> pa.Table:
    random = np.random.default_rng(0)
    columns = {f"c{i}": random.integers(0, 3 * i + 3, NUM_ROWS).astype(str) for i in range(16)}
    return pa.table(columns | {"x": random.normal(size=NUM_ROWS)})


def fitted() -> FittedInputs:
    rows = table()
    return FittedInputs.fit(rows, {"categorical": rows.column_names[:16], "numeric": ["x"]})


def labelled(inputs: FittedInputs) -> Batch:
    """Two tasks, the second known only where the first is yes."""
    encoded = inputs.encode(table())
    random = np.random.default_rng(1)
    first = ((encoded["categorical"][:, 3] % 2) > 0) ^ torch.from_numpy(
        random.random(NUM_ROWS) < 0.1
    )
    second = (encoded["numeric"][:, 0] > 0).float().where(first, torch.nan)
    return Batch(encoded, {"a": first.float(), "b": second})


def make_run(
    inputs: FittedInputs,
    tasks: Sequence[Task],
    *,
    folds: bool,
    epochs: int,
    ranks: Ranks | None = None,
) -> TrainingRun:
    torch.manual_seed(0)
    encoder = inputs.encoder()
    if folds:
        encoder.fold_for(BATCH_SIZE)
    trunk = MMoE(encoder.out_features, 2, num_experts=2, expert_hidden=(16, 16))
    model = MultiTaskModel(encoder, trunk, tasks)
    assert bool(model.num_folded) is folds
    settings = Settings(epochs=epochs, patience=0)
    return TrainingRun.start(model, Equal(2), settings=settings, ranks=ranks)


def losses_of(run: TrainingRun, rows: Batch, *, last_step: int | None = None) -> Tensor:
    """Of each step and task, up to a step."""
    found = []
    for step in train(run, InMemoryStream(rows, BATCH_SIZE)):
        found.append(step.balancing.losses_T)
        if step.step == last_step:
            break
    return torch.stack(found)
