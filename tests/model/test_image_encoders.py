"""Over an encoder of pictures every trunk's seam holds, and a gradient rule's step is exact."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from polytask.balancing import balanced_backward
from polytask.balancing.balancer import GramRule
from polytask.balancing.measurement import Measurement
from polytask.inputs import FittedInputs, Image
from polytask.model import MultiTaskModel
from polytask.streams import Batch
from polytask.task import Task, binary, regression
from polytask.trunks import TRUNKS

RANDOM = np.random.default_rng(0)
NUM_ROWS = 6
TABLE = pa.table(
    {"photo": RANDOM.integers(0, 256, (NUM_ROWS, 16, 16)).tolist(), "age": RANDOM.normal(size=6)}
)
TASKS: Sequence[Task] = (binary("a"), binary("b"), regression("c"))
NETWORKS = ("lenet", "resnet")


WEIGHTS = [0.2, 1.7, 0.6]


class _Decided(GramRule):
    """A gradient rule that has decided beforehand."""

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return torch.tensor(WEIGHTS, dtype=torch.float64)


def model_and_batch(trunk: str, network: str) -> tuple[MultiTaskModel, Batch]:
    columns = {"image": ["photo"], "numeric": ["age"]}
    fits = {"image": lambda table, names: Image.fit(table, names, network=network, width=8)}
    inputs = FittedInputs.fit(TABLE, columns, fits=fits)
    torch.manual_seed(0)
    encoder = inputs.encoder()
    made = TRUNKS[trunk](encoder.out_features, len(TASKS))
    model = MultiTaskModel(encoder, made, TASKS, tower_hidden=(4,)).double()
    x = {k: v.double() if v.is_floating_point() else v for k, v in inputs.encode(TABLE).items()}
    labels = {"a": torch.tensor([0.0, 1, 0, 1, 1, 0]), "b": torch.tensor([1.0, 1, 0, 0, 1, 0])}
    return model, Batch(x, labels | {"c": torch.arange(6.0)})


def losses_of(model: MultiTaskModel, batch: Batch) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    result = model(batch.inputs)
    losses = model.losses(result, batch)
    assert all(loss is not None for loss in losses)
    return losses, model.seam(result)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_the_step_at_the_seam_is_the_weighted_sum_of_exact_gradients(
    trunk: str, network: str
) -> None:
    model, batch = model_and_batch(trunk, network)
    losses, seam = losses_of(model, batch)
    step = balanced_backward(losses, _Decided(len(TASKS)), seam=seam)
    given = {name: p.grad for name, p in model.named_parameters()}
    parameters = dict(model.named_parameters())
    again, _ = losses_of(model, batch)
    rows = [
        torch.autograd.grad(loss, [*parameters.values()], retain_graph=True, allow_unused=True)
        for loss in again
    ]
    private = step.weights.private_T.tolist()
    for name, each in zip(parameters, zip(*rows)):
        reached = [t for t, gradient in enumerate(each) if gradient is not None]
        weights = WEIGHTS if len(reached) > 1 else private
        expected = sum(weights[t] * each[t] for t in reached)
        torch.testing.assert_close(given[name], expected)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_row_alone_is_the_row_in_a_batch(trunk: str, network: str) -> None:
    model, batch = model_and_batch(trunk, network)
    for mode in (True, False):
        model.train(mode)
        together = model(batch.inputs).outputs
        for row in range(NUM_ROWS):
            alone = model(batch[row : row + 1].inputs).outputs
            torch.testing.assert_close([each[row : row + 1] for each in together], alone)
