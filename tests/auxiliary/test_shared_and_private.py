"""Shared-private networks: orthogonality against its formula, and an adversary that reads what is shared."""

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask
from polytask.auxiliary import Adversarial, Orthogonality
from polytask.config import validate_config
from polytask.config.build import build_model
from polytask.errors import UserError
from polytask.fitting import prepare
from polytask.model.outputs import Outputs
from polytask.streams import Batch

QUICK = {
    "batch_size": 100,
    "epochs": 12,
    "learning_rate": 0.01,
    "baseline": "none",
    "threads": 1,
    "ensemble": 1,
    "intervals": False,
    "log_every": 1,
    "ignore": "site",
}
SPLIT = {"name": "shared_private", "hidden": [8], "private_hidden": [6]}


def features_of(*features_BH: torch.Tensor, num_shared: int) -> Outputs:
    return Outputs([], [], [*features_BH], (), features_BH[0], num_shared)


def overlap(shared_BS: np.ndarray, private_BP: np.ndarray) -> float:
    """|S^T H / B|^2, row by row and entry by entry."""
    total = 0.0
    parts = []
    for part in (shared_BS, private_BP):
        centred = part - part.mean(axis=0)
        parts.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    for s in range(parts[0].shape[1]):
        for p in range(parts[1].shape[1]):
            total += (
                sum(a * b for a, b in zip(parts[0][:, s], parts[1][:, p])) / len(parts[0])
            ) ** 2
    return total


def test_orthogonality_is_the_squared_frobenius_norm() -> None:
    torch.manual_seed(0)
    shared_BS = torch.randn(20, 4, dtype=torch.float64)
    own = [torch.randn(20, 3, dtype=torch.float64) for _ in range(2)]
    result = features_of(*(torch.cat([shared_BS, h], dim=1) for h in own), num_shared=4)
    loss = Orthogonality(0.1).objective(7, num_steps=1)
    found_B = loss(result, Batch({"x": torch.zeros(20)}))
    expected = np.mean([overlap(shared_BS.numpy(), h.numpy()) for h in own])
    assert found_B.shape == (20,) and found_B.mean().item() == pytest.approx(expected)
    same = features_of(torch.cat([own[0], own[0]], dim=1), num_shared=3)
    assert 0.2 < loss(same, Batch({"x": torch.zeros(20)})).mean() <= 1


def test_the_adversary_reads_what_is_shared_alone() -> None:
    loss = Adversarial(1.0, "site", ("a", "b"), (0.5, 0.5), 1.0, 8).objective(4, num_steps=1)
    loss.advance()
    features_BH = torch.randn(10, 7, requires_grad=True)
    batch = Batch({"x": torch.zeros(10)}, {"adversarial": torch.arange(10.0) % 2})
    loss(features_of(features_BH, num_shared=4), batch).sum().backward()
    assert features_BH.grad[:, :4].abs().sum() > 0 and not features_BH.grad[:, 4:].any()


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """`site` can be told from x and y; the label follows from x alone."""
    random = np.random.default_rng(0)
    is_web = random.random(2000) < 0.5
    x, y = random.normal(size=(2, 2000))
    return pa.table(
        {
            "x": x,
            "y": y + 2.5 * is_web,
            "site": np.where(is_web, "web", "app").tolist(),
            "yes": (x + 0.5 * random.normal(size=2000) > 0).astype(int),
            "also": x + 0.3 * random.normal(size=2000),
        }
    )


def test_the_discriminator_falls_towards_chance_while_the_task_is_learned(table: pa.Table) -> None:
    """Told from what is shared: first by an adversary whose gradient is not reversed."""
    found = {}
    for reversal in (0.0, 3.0):
        specs = [
            {"name": "adversarial", "column": "site", "weight": 1.0, "reversal": reversal},
            {"name": "orthogonality", "weight": 0.1},
        ]
        run = polytask.fit(table, ["yes", "also"], auxiliary=specs, trunk=SPLIT, **QUICK)
        loss, nothing = run.metrics.auxiliary.losses
        assert nothing.accuracy is None
        found[reversal] = (loss.accuracy, loss.chance, run.metrics.tasks["yes"].test["auc"].value)
    assert found[0.0][0] > 0.8 and found[3.0][0] < 0.65
    assert found[3.0][1] == pytest.approx(0.5, abs=0.03)
    assert found[3.0][2] > found[0.0][2] - 0.03 > 0.8


def test_orthogonality_needs_something_private(table: pa.Table) -> None:
    with pytest.raises(UserError, match="trunk='shared_private'"):
        polytask.fit(table, ["yes"], auxiliary="orthogonality", **QUICK)


def test_the_discriminator_is_as_wide_as_what_is_shared(table: pa.Table) -> None:
    config = validate_config(
        {
            "tasks": ["yes", "also"],
            "auxiliary": {"name": "adversarial", "column": "site"},
            "trunk": SPLIT,
            **QUICK,
        }
    )
    prepared = prepare(config, table)
    model = build_model(
        prepared.config, prepared.tasks, inputs=prepared.inputs, auxiliaries=prepared.auxiliaries
    )
    assert model.objectives[0].layers[0].in_features == 8
    assert model.trunk.out_features == 14
