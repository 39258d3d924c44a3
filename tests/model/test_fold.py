"""The folded first layer: the plain path's numbers, gradients and reach, for every trunk that it serves."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from polytask import kernels
from polytask.balancing import MGDA, Equal, reach
from polytask.inputs import FittedInputs, FrequentValues
from polytask.inputs.fold_layout import FoldedLayout, Looked
from polytask.inputs.folded import FoldedRows
from polytask.inputs.joined import JoinedEncoder
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import predict
from polytask.trunks import TRUNKS, Trunk
from polytask.trunks.shortcuts import WithShortcuts

NUM_ROWS, BATCH_SIZE = 600, 256
SERVED = [name for name, kind in TRUNKS.items() if kind.reads_x_by_products]
SHORTCUTS = " with shortcuts"
SERVED += [name + SHORTCUTS for name in SERVED]
TASKS = [binary("a"), binary("b")]


def table() -> pa.Table:
    random = np.random.default_rng(0)
    columns = {f"c{i}": random.integers(0, 3 * i + 3, NUM_ROWS).astype(str) for i in range(9)}
    columns["many"] = random.integers(0, 400, NUM_ROWS).astype(str)
    numbers = {"x": random.normal(size=NUM_ROWS), "y": random.integers(0, 5, NUM_ROWS) * 1.5}
    numbers["z"] = np.where(
        random.random(NUM_ROWS) < 0.2, np.nan, random.exponential(size=NUM_ROWS)
    )
    return pa.table(columns | numbers)


@pytest.fixture(autouse=True, params=["kernels", "operators"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to make the products, and experts above them."""
    if request.param == "operators":
        monkeypatch.setattr(kernels, "suits", lambda *_: False)
    elif kernels.state().startswith("no"):
        pytest.skip(kernels.state())


@pytest.fixture(scope="module")
def fitted() -> FittedInputs:
    rows = table()
    names = {"categorical": rows.column_names[:10], "numeric": ["x", "y", "z"]}
    names["frequent_values"] = ["y"]
    return FittedInputs.fit(rows, names, fits={"frequent_values": FrequentValues.fit})


@pytest.fixture(scope="module")
def rows(fitted: FittedInputs) -> Batch:
    inputs = fitted.encode(table())
    labels = {
        "a": (inputs["categorical"][:, 3] % 2).float(),
        "b": (inputs["numeric"][:, 0] > 0).float(),
    }
    return Batch(inputs, labels)


def make_model(
    fitted: FittedInputs, trunk: str, *, folds: bool, dropout: float = 0.0
) -> MultiTaskModel:
    torch.manual_seed(0)
    encoder = fitted.encoder()
    if folds:
        encoder.fold_for(BATCH_SIZE)
        assert encoder.fold is not None
    kind = TRUNKS[trunk.removesuffix(SHORTCUTS)]
    made: Trunk = kind(encoder.out_features, 2, dropout=dropout)
    if trunk.endswith(SHORTCUTS):
        made = WithShortcuts(made, in_features=encoder.out_features)
        for weight in made.shortcuts.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    model = MultiTaskModel(encoder, made, TASKS, tower_hidden=(4,))
    assert bool(model.num_folded) == folds
    return model


def gradients(
    model: MultiTaskModel, rows: Batch, **needs: bool
) -> tuple[list[Tensor | None], list[frozenset[int]]]:
    result = model(rows.inputs, **needs)
    losses = model.losses(result, rows)
    graph = reach(losses)
    torch.autograd.backward([loss for loss in losses if loss is not None])
    named = dict(model.named_parameters())
    tasks = [graph.of(parameter) for parameter in named.values()]
    return [*result.outputs, *(p.grad for p in named.values())], tasks


@pytest.mark.parametrize("trunk", SERVED)
def test_outputs_gradients_and_reach(trunk: str, fitted: FittedInputs, rows: Batch) -> None:
    plain, folded = (make_model(fitted, trunk, folds=folds) for folds in (False, True))
    expected, expected_tasks = gradients(plain, rows, needs_seam=True)
    found, tasks = gradients(folded, rows, needs_seam=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert tasks == expected_tasks
    assert folded(rows.inputs, needs_seam=False).seam == ()
    torch.testing.assert_close(gradients(folded, rows)[0][:2], expected[:2])


@pytest.mark.parametrize("trunk", SERVED)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_steps_and_predictions(
    trunk: str, dropout: float, fitted: FittedInputs, rows: Batch
) -> None:
    """The last batch of an epoch is too short to be folded, and is read as usual."""
    losses, values = [], []
    for folds in (False, True):
        model = make_model(fitted, trunk, folds=folds, dropout=dropout)
        run = TrainingRun.start(model, Equal(2), settings=Settings(epochs=4, patience=0))
        stream = InMemoryStream(rows, BATCH_SIZE)
        losses.append(torch.stack([step.balancing.losses_T for step in train(run, stream)]))
        values.append(predict(model, rows).values["a"])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-3, atol=1e-5)


def test_what_needs_x_has_it(
    fitted: FittedInputs, rows: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradient rules measure at the seam, and explanations read x."""
    model = make_model(fitted, "mmoe", folds=True)
    monkeypatch.setattr(JoinedEncoder, "folded", lambda *_: pytest.fail("x is needed"))
    run = TrainingRun.start(model, MGDA(2), settings=Settings(epochs=1))
    next(train(run, InMemoryStream(rows, BATCH_SIZE)))
    model.explain(rows.inputs)
    assert model(rows.inputs).x.shape == (NUM_ROWS, model.encoder.out_features)


def test_columns_of_many_values_are_looked_up(fitted: FittedInputs) -> None:
    encoder = fitted.encoder()
    encoder.fold_for(BATCH_SIZE)
    parts = encoder.fold.parts if encoder.fold else {}
    by_kernels = {"numeric": 6} if kernels.suits(BATCH_SIZE) else {}
    expected = {"categorical": 9, "frequent_values": 1, **by_kernels}
    assert {name: len(part.columns) for name, part in parts.items()} == expected
    encoder.fold_for(64)
    assert encoder.num_folded == 0, "of small batches too little is saved"
    crossed = fitted.encoder(cross_layers=1)
    crossed.fold_for(BATCH_SIZE)
    assert crossed.fold is None


def test_one_product_against_its_definition() -> None:
    """Columns of two tables and widths, in any place of x, with zeros at its end."""
    torch.manual_seed(0)
    tables = [torch.randn(11, 2), torch.randn(40, 3)]
    columns = [
        Looked(0, 0, 4, 5, 2),
        Looked(0, 4, 7, 0, 2),
        Looked(1, 0, 2, 7, 3),
        Looked(1, 2, 38, 2, 3),
    ]
    layout = FoldedLayout.of(columns, num_entries=12)
    ids_BC = torch.stack([torch.randint(0, c.num_rows, (300,)) for c in columns], dim=1)
    rest_BR, weight_HD, bias_H = torch.randn(300, 2), torch.randn(6, 16), torch.randn(6)
    x_BD = torch.zeros(300, 16)
    x_BD[:, 10:12] = rest_BR
    for c, column in enumerate(columns):
        vectors = tables[column.table][column.first + ids_BC[:, c]]
        x_BD[:, column.start : column.start + column.width] = vectors
    for is_rectified in (False, True):
        rows = FoldedRows(layout, ids_BC, rest_BR, tuple(tables))
        found = rows.linear(weight_HD, bias_H, is_rectified=is_rectified)
        expected = x_BD @ weight_HD.T + bias_H
        torch.testing.assert_close(found, expected.relu() if is_rectified else expected)


def test_the_rest_of_x_has_its_gradient() -> None:
    """What is no looked-up column may be the output of a network."""
    layout = FoldedLayout.of([Looked(0, 0, 5, 0, 2)], num_entries=4)
    leaves: Mapping[str, Tensor] = {
        "table": torch.randn(5, 2).requires_grad_(),
        "rest": torch.randn(9, 2).requires_grad_(),
        "weight": torch.randn(3, 8).requires_grad_(),
    }
    ids_BC = torch.randint(0, 5, (9, 1))
    rows = FoldedRows(layout, ids_BC, leaves["rest"], (leaves["table"],))
    x_BD = torch.cat([leaves["table"][ids_BC[:, 0]], leaves["rest"], torch.zeros(9, 4)], dim=1)
    pairs = (
        rows.linear(leaves["weight"], None, is_rectified=True),
        (x_BD @ leaves["weight"].T).relu(),
    )
    found, expected = (torch.autograd.grad(y.square().sum(), [*leaves.values()]) for y in pairs)
    torch.testing.assert_close(found, expected)
