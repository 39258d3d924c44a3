"""The linear part: ridge regressions against scikit-learn's, and what a network adds to them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from polytask import UserError, fit, load
from polytask.inputs import SingleInput
from polytask.model import LinearPart, MultiTaskModel
from polytask.model.linear_part import _PENALTIES
from polytask.task import regression
from polytask.trunks import SharedBottom


class Named(SingleInput):
    """The numbers themselves, with the width that an ensemble needs to know."""

    out_features = 2

    def __init__(self) -> None:
        super().__init__("numeric")


def rows(number: int = 60, columns: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_BN = torch.randn(number, columns, generator=generator)
    noise_B = 0.7 * torch.randn(number, generator=generator)
    return x_BN, x_BN @ torch.linspace(1, 2, columns) + noise_B


def test_the_penalty_and_its_slopes_are_those_of_leaving_each_row_out() -> None:
    x_BN, y_B = rows()
    part = LinearPart(num_columns=4, num_tasks=1)
    found = part.fit(x_BN, {0: y_B}, {})[0]
    variance = y_B.double().var(correction=0).item()
    scores = {}
    for penalty in _PENALTIES:
        out = cross_val_predict(Ridge(alpha=penalty), x_BN.double(), y_B.double(), cv=LeaveOneOut())
        # Each is centred by the rows that are left, as the part is by all: a row of 60 less.
        scores[penalty] = 1 - np.mean((out - y_B.numpy()) ** 2) / variance
    best = max(scores, key=lambda penalty: scores[penalty])
    assert found == pytest.approx(scores[best], abs=1e-3)
    expected = Ridge(alpha=best).fit(x_BN.double(), y_B.double()).coef_
    np.testing.assert_allclose(part.weight_TN[0].numpy(), expected, atol=1e-5)


def test_weights_are_copies_of_rows_and_missing_labels_no_rows() -> None:
    x_BN, y_B = rows()
    times_B = torch.arange(60) % 3
    twice = LinearPart(num_columns=4, num_tasks=1)
    twice.fit(x_BN.repeat_interleave(times_B, dim=0), {0: y_B.repeat_interleave(times_B)}, {})
    weighted = LinearPart(num_columns=4, num_tasks=1)
    with_missing_B = torch.where(times_B == 0, torch.nan, y_B)
    weighted.fit(x_BN, {0: with_missing_B}, {0: times_B.float()})
    # The left-one-out error of a copied row is another, the slopes of small penalties are the same.
    torch.testing.assert_close(weighted.weight_TN, twice.weight_TN, atol=0.02, rtol=0.02)


def test_what_no_line_explains_has_none() -> None:
    x_BN, _ = rows(200)
    part = LinearPart(num_columns=4, num_tasks=2)
    found = part.fit(x_BN, {0: x_BN[:, 0].square(), 1: x_BN[:, 1] * 3}, {})
    assert found[0] < 0.4 < found[1]
    assert not part.weight_TN[0].any() and part.weight_TN[1].any()


def test_constants_missing_columns_and_a_handful_of_rows() -> None:
    part = LinearPart(num_columns=3, num_tasks=2)
    x_BN = torch.tensor([[1.0, 0.0, torch.nan]]).repeat(20, 1)
    x_BN[:, 1] = torch.arange(20)
    labels = {0: x_BN[:, 1] * 2, 1: torch.full((20,), 3.0)}
    part.fit(x_BN, labels, {})
    assert torch.isfinite(part.weight_TN).all()
    assert not part.weight_TN[1].any() and not part.weight_TN[:, 2].any()
    few = LinearPart(num_columns=3, num_tasks=1)
    assert few.fit(x_BN[:5], {0: labels[0][:5]}, {}) == {}


def test_a_line_ends_as_far_beyond_the_rows_as_they_are_wide() -> None:
    part = LinearPart(num_columns=1, num_tasks=1)
    x_B1 = torch.linspace(0, 1, 30)[:, None]
    part.fit(x_B1, {0: 5 * x_B1[:, 0]}, {})
    told = part({"numeric": torch.tensor([[2.0], [3.0], [1e6], [-1e6]])})[:, 0]
    assert told[0] == pytest.approx(told[1]) == pytest.approx(told[2])
    assert told[0] == pytest.approx(7.5, rel=1e-3) and told[3] == pytest.approx(-7.5, rel=1e-3)


def test_no_rows_have_no_predictions() -> None:
    part = LinearPart(num_columns=2, num_tasks=1)
    model = MultiTaskModel(Named(), SharedBottom(2, 1), [regression("a")], linear=part)
    assert model.eval()({"numeric": torch.zeros(0, 2)}).outputs[0].shape == (0, 1)


@pytest.mark.parametrize("ensemble", [1, 3])
def test_an_output_is_the_head_s_and_the_line_s(ensemble: int) -> None:
    tasks = [regression("a"), regression("b", noise="learned")]
    part = LinearPart(num_columns=2, num_tasks=2)

    model = MultiTaskModel(Named(), SharedBottom(2, 2), tasks, ensemble=ensemble, linear=part)
    inputs = {"numeric": torch.randn(7, 2)}
    before = [model.train()(inputs).own, model.eval()(inputs).own]
    part.weight_TN.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    part.low_N.fill_(-9)
    part.high_N.fill_(9)
    after = [model.train()(inputs).own, model.eval()(inputs).own]
    for copies, old, new in zip((ensemble, 1), before, after):
        line_N = inputs["numeric"].repeat_interleave(copies, dim=0)
        torch.testing.assert_close(new[0], old[0] + line_N[:, :1])
        torch.testing.assert_close(new[1][:, :1], old[1][:, :1] + 2 * line_N[:, 1:])
        torch.testing.assert_close(new[1][:, 1:], old[1][:, 1:])


def test_a_fit_goes_on_where_no_row_was_trained_on(tmp_path: object) -> None:
    """y = 2 x + sin(3 x) on x < 1, tested on x up to 2: bins end there, the line does not."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, 800)
    table = pa.table({"x": x, "z": generator.normal(size=800), "y": 2 * x + 0.3 * np.sin(3 * x)})
    beyond = generator.uniform(1, 2, 200)
    test = pa.table({"x": beyond, "z": np.zeros(200), "y": 2 * beyond + 0.3 * np.sin(3 * beyond)})
    options = {"epochs": 10, "allow": "x", "intervals": False, "baseline": "none", "threads": 1}
    errors = {}
    for linear in (True, False):
        run = fit(table, ["y:regression"], test=test, linear=linear, **options)  # type: ignore[arg-type]
        errors[linear] = run.metrics.tasks["y"].test["rmse"].value
    assert 1.5 * errors[True] < errors[False]
    run.save(f"{tmp_path}/run")
    assert load(f"{tmp_path}/run").predict(test).equals(run.predict(test))


def test_small_tables_have_one_by_default() -> None:
    table = pa.table({"x": np.arange(100.0), "y": np.arange(100.0)[::-1] * 2})
    options = {"epochs": 1, "intervals": False, "baseline": "none"}
    run = fit(table, ["y:regression"], allow="x", **options)  # type: ignore[arg-type]
    assert run.config.linear and run.model.linear is not None  # type: ignore[union-attr]
    with pytest.raises(UserError, match="linear"):
        fit(table, ["y:regression"], allow="x", linear="perhaps", **options)  # type: ignore[arg-type]
