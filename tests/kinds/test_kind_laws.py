"""What every kind claims: round trips, heads at the training mean, losses, gradients, export."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from ruamel.yaml import YAML
from scipy import stats
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.kinds import (
    KINDS,
    Binary,
    Count,
    Kind,
    Multiclass,
    Quantile,
    Regression,
    Tags,
    describe_kind,
    kind_from_record,
    kind_to_record,
    make_kind,
)
from polytask.metrics import quick_metric

RANDOM = np.random.default_rng(3)
YES_NO = (RANDOM.random(200) < 0.2).astype(int)
AMOUNTS = RANDOM.lognormal(1.0, 0.8, 200)
MEMBERS: dict[str, tuple[Kind, list[object]]] = {
    "binary": (Binary(), YES_NO.tolist()),
    "binary, positive": (Binary(positive=">=5"), AMOUNTS.tolist()),
    "binary, probabilities": (Binary(), (YES_NO * 0.7 + 0.1).tolist()),
    "binary, noise": (Binary(noise="learned"), YES_NO.tolist()),
    "multiclass": (Multiclass(), RANDOM.choice(["a", "b", "c"], 200, p=[0.6, 0.3, 0.1]).tolist()),
    "tags": (Tags(), RANDOM.choice(["DET", "NOUN", "VERB"], 200, p=[0.6, 0.3, 0.1]).tolist()),
    "multiclass, classes": (Multiclass(classes=(2, 1, 0)), (YES_NO + 1).tolist()),
    "multiclass, noise": (Multiclass(noise="learned"), (YES_NO * 3).tolist()),
    "regression": (Regression(unit="s"), (AMOUNTS * 1e3 - 40).tolist()),
    "regression, log1p": (Regression(transform="log1p"), AMOUNTS.tolist()),
    "regression, noise": (Regression(noise="learned"), AMOUNTS.tolist()),
    "count": (Count(), RANDOM.poisson(4, 200).tolist()),
    "count, large": (Count(), RANDOM.poisson(5_000, 200).tolist()),
    "quantile": (Quantile(), AMOUNTS.tolist()),
    "quantile, log1p": (Quantile(levels=(0.2, 0.6), transform="log1p"), AMOUNTS.tolist()),
}
ALL = pytest.mark.parametrize("member", MEMBERS)


def column_of(values: list[object]) -> pa.ChunkedArray:
    return pa.chunked_array([values])


def fit(member: str) -> tuple[Kind, Tensor]:
    """The fitted kind, and its training labels."""
    kind, values = MEMBERS[member]
    fitted = kind.fit(column_of(values), "the label")
    return fitted, torch.tensor(fitted.encode(column_of(values), "the label").values_B)


def outputs_for(kind: Kind, rows: int, scale: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise_BO = torch.randn(rows, kind.num_outputs, generator=generator, dtype=torch.float64)
    return kind.initial_bias().double() + scale * noise_BO


def test_every_registered_kind_is_a_member() -> None:
    assert {type(kind) for kind, _ in MEMBERS.values()} == set(KINDS.values())


@ALL
def test_options_go_through_yaml_and_what_was_fitted_through_json(member: str) -> None:
    kind, _ = MEMBERS[member]
    fitted, _ = fit(member)
    described = describe_kind(fitted)
    again = make_kind(YAML(typ="safe").load(json.dumps(described)))
    if kind.options().keys() == fitted.options().keys():
        assert again == kind
    record = json.loads(json.dumps(kind_to_record(fitted), allow_nan=False))
    assert kind_from_record(record) == fitted


@ALL
def test_the_main_metric_stands_first(member: str) -> None:
    """It is what early stopping watches, and what a result is read by."""
    kind, _ = fit(member)
    assert kind.metrics[0].name == kind.main_metric


@ALL
def test_missing_values_are_no_labels_and_unseen_ones_no_crash(member: str) -> None:
    fitted, _ = fit(member)
    _, values = MEMBERS[member]
    labels_B = fitted.encode(column_of([values[0], None, values[1]]), "y").values_B
    is_labelled = fitted.is_labelled(torch.tensor(labels_B))
    assert is_labelled.tolist() == [True, False, True]
    assert fitted.encode(pa.chunked_array([pa.nulls(2)]), "y").num_unseen == 0
    if fitted.num_classes and not fitted.options().get("positive"):
        unseen = 0.5 if isinstance(values[0], float) else "zz" if isinstance(values[0], str) else 77
        encoded = fitted.encode(column_of([unseen]), "y")
        if encoded.num_unseen:
            assert not fitted.is_labelled(torch.tensor(encoded.values_B)).any()


@ALL
def test_heads_start_at_the_training_mean_in_the_labels_own_unit(member: str) -> None:
    fitted, labels_B = fit(member)
    bias_O = fitted.initial_bias()
    assert bias_O.shape == (fitted.num_outputs,)
    outputs_BO = bias_O.expand(len(labels_B), -1)
    fitted = fitted.calibrated(outputs_BO, labels_B, torch.ones(len(labels_B)))
    found = fitted.predict(bias_O[None])[0].double().numpy()
    own_B = fitted.decode(labels_B.numpy())
    if isinstance(fitted, Quantile):
        # Quantiles of a logarithm lie between the same labels, at another place.
        shares = [(own_B <= value + 1e-6).mean() for value in found]
        np.testing.assert_allclose(shares, fitted.levels, atol=0.01)
    elif isinstance(fitted, Multiclass | Tags):
        counts = np.bincount(own_B.astype(int), minlength=len(fitted.classes)) + 0.5
        np.testing.assert_allclose(found, counts / counts.sum(), rtol=1e-5)
    else:
        np.testing.assert_allclose(found, own_B.mean(), rtol=1e-5)


def log_loss(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    rate_B = 1 / (1 + np.exp(-outputs_BO[:, 0]))
    return -labels_B * np.log(rate_B) - (1 - labels_B) * np.log(1 - rate_B)


def cross_entropy(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    odds_BC = np.exp(outputs_BO)
    chosen_B = odds_BC[np.arange(len(labels_B)), labels_B.astype(int)]
    return -np.log(chosen_B / odds_BC.sum(axis=1))


def half_deviance(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    """The log-likelihood that is missing to that of a rate equal to the label."""
    rate_B = np.exp(outputs_BO[:, 0])
    best_B = np.where(labels_B > 0, stats.poisson.logpmf(labels_B, np.maximum(labels_B, 1e-300)), 0)
    return best_B - stats.poisson.logpmf(labels_B, rate_B)


def squared_error(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    return (outputs_BO[:, 0] - labels_B) ** 2


def gaussian(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
    deviation_B = np.exp(outputs_BO[:, 1] / 2)
    return -stats.norm.logpdf(labels_B, outputs_BO[:, 0], deviation_B) - math.log(2 * math.pi) / 2


def pinball(levels: tuple[float, ...]):
    def loss(outputs_BO: np.ndarray, labels_B: np.ndarray) -> np.ndarray:
        total_B = np.zeros(len(labels_B))
        for o, level in enumerate(levels):
            above_B = np.maximum(labels_B - outputs_BO[:, o], 0)
            below_B = np.maximum(outputs_BO[:, o] - labels_B, 0)
            total_B += level * above_B + (1 - level) * below_B
        return total_B / len(levels)

    return loss


REFERENCES = {
    "binary": log_loss,
    "binary, positive": log_loss,
    "binary, probabilities": log_loss,
    "multiclass": cross_entropy,
    "multiclass, classes": cross_entropy,
    "tags": cross_entropy,
    "regression": squared_error,
    "regression, log1p": squared_error,
    "regression, noise": gaussian,
    "count": half_deviance,
    "count, large": half_deviance,
    "quantile": pinball((0.1, 0.5, 0.9)),
    "quantile, log1p": pinball((0.2, 0.6)),
}


@pytest.mark.parametrize("member", REFERENCES)
def test_losses_are_their_formulas(member: str) -> None:
    fitted, labels_B = fit(member)
    outputs_BO = outputs_for(fitted, len(labels_B), scale=0.3)
    found_B = fitted.loss(outputs_BO, labels_B).numpy()
    expected_B = REFERENCES[member](outputs_BO.numpy(), labels_B.numpy())
    if isinstance(fitted, Count):
        # A constant rate costs no more than 1.
        mean_B1 = np.full((len(labels_B), 1), math.log(labels_B.mean()))
        expected_B = expected_B / max(half_deviance(mean_B1, labels_B.numpy()).mean(), 1.0)
    np.testing.assert_allclose(found_B, expected_B, rtol=1e-9, atol=1e-9)


@ALL
def test_gradients_are_those_of_the_loss(member: str) -> None:
    fitted, labels_B = fit(member)
    outputs_BO = outputs_for(fitted, 12, scale=0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda o: fitted.loss(o, labels_B[:12]), outputs_BO)


@ALL
def test_float32_has_the_gradients_of_float64(member: str) -> None:
    fitted, labels_B = fit(member)
    found = []
    for dtype in (torch.float32, torch.float64):
        outputs_BO = outputs_for(fitted, len(labels_B)).float().to(dtype).requires_grad_()
        fitted.loss(outputs_BO, labels_B.to(dtype)).sum().backward()
        found.append(outputs_BO.grad.double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@ALL
def test_losses_are_negative_only_where_a_kind_says_so(member: str) -> None:
    fitted, labels_B = fit(member)
    outputs_BO = outputs_for(fitted, len(labels_B), scale=5.0)
    perfect_BO = outputs_BO.clone()
    perfect_BO[:, 0] = labels_B
    losses_B = torch.cat([fitted.loss(each, labels_B) for each in (outputs_BO, perfect_BO)])
    assert bool((losses_B < 0).any()) == fitted.loss_can_be_negative
    assert losses_B.isfinite().all()


def test_learned_weights_know_squared_errors() -> None:
    """By the factor of 2 that Kendall et al., CVPR 2018, have between the two forms."""
    found = {name for name in MEMBERS if fit(name)[0].is_squared_error}
    assert found == {"regression", "regression, log1p", "regression, noise"}


def test_a_perfect_fit_costs_nothing() -> None:
    label_B = torch.tensor([1.0, 3.0, 5_000.0, 3e6])
    count_B = Count(mean=4.0).loss(label_B.log()[:, None], label_B)
    assert count_B.max() <= 1e-6 and count_B.min() >= 0
    assert Regression().loss(label_B[:, None], label_B).abs().max() == 0
    assert Quantile().loss(label_B[:, None].expand(-1, 3), label_B).abs().max() == 0


class Predicting(nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, outputs_BO: Tensor) -> Tensor:
        return self.kind.predict(outputs_BO)


@ALL
def test_predictions_export_with_a_free_batch_size(member: str) -> None:
    fitted, _ = fit(member)
    model = Predicting(fitted)
    outputs_BO = outputs_for(fitted, 5).float()
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(model, (outputs_BO,), dynamic_shapes=({0: batch},))
    more_BO = outputs_for(fitted, 9).float()
    torch.testing.assert_close(exported.module()(more_BO), model(more_BO))


@ALL
def test_half_precision_outputs_are_taken(member: str) -> None:
    fitted, labels_B = fit(member)
    outputs_BO = outputs_for(fitted, len(labels_B), scale=0.1).bfloat16()
    assert fitted.loss(outputs_BO, labels_B.float()).isfinite().all()
    assert fitted.predict(outputs_BO).dtype in (torch.float32, torch.float64)


def test_a_count_far_above_comes_back() -> None:
    # A clamped log rate has no gradient there.
    kind = Count(mean=4.0)
    outputs_BO = torch.tensor([[70.0], [20.0]], requires_grad=True)
    losses_B = kind.loss(outputs_BO, torch.tensor([3.0, 0.0]))
    losses_B.sum().backward()
    assert losses_B.isfinite().all() and (outputs_BO.grad > 1e6).all()
    assert outputs_BO.grad.isfinite().all()


def test_large_counts_have_the_exact_gradient_around_their_mean() -> None:
    kind = Count(mean=1e9)
    outputs_BO = torch.tensor([[20.0]], dtype=torch.float64, requires_grad=True)
    kind.loss(outputs_BO, torch.tensor([2.0])).sum().backward()
    assert outputs_BO.grad.item() == pytest.approx(math.exp(20.0) - 2.0)
    assert kind.predict(kind.initial_bias()[None]).item() == pytest.approx(1e9, rel=1e-5)


def test_learned_noise_predicts_what_it_is_trained_on() -> None:
    """The probability of a label is the one whose negative logarithm is the loss."""
    outputs_BO = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)).double() * 2
    kind = Binary(noise="learned")
    loss_B = kind.loss(outputs_BO, torch.ones(50))
    torch.testing.assert_close(kind.predict(outputs_BO), (-loss_B).exp())
    kind = Multiclass(classes=("a", "b", "c"), noise="learned")
    outputs_BO = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).double() * 2
    losses_BC = torch.stack([kind.loss(outputs_BO, torch.full((50,), c)) for c in range(3)], dim=1)
    torch.testing.assert_close(kind.predict(outputs_BO), (-losses_BC).exp())


def test_duans_factor_makes_the_mean_predicted_the_mean_observed() -> None:
    sigma = 0.8
    random = np.random.default_rng(0)
    x_B = random.normal(size=200_000)
    logarithm_B = 1.0 + 0.5 * x_B + sigma * random.normal(size=len(x_B))
    kind = Regression(transform="log1p").fit(pa.chunked_array([np.expm1(logarithm_B)]), "y")
    labels_B = torch.tensor(kind.encode(pa.chunked_array([np.expm1(logarithm_B)]), "y").values_B)
    exact_BO = torch.tensor((1.0 + 0.5 * x_B - kind.mean) / kind.std)[:, None]
    weights_B = torch.ones(len(x_B))
    settled = kind.calibrated(exact_BO, labels_B, weights_B)
    assert settled.smearing_factor == pytest.approx(math.exp(sigma**2 / 2), rel=0.01)
    observed = np.expm1(logarithm_B).mean()
    assert settled.predict(exact_BO).mean().item() == pytest.approx(observed, rel=0.01)
    assert kind.predict(exact_BO).mean().item() < 0.75 * observed
    # It does not matter what the factor was before, nor is a row of weight 0 counted.
    assert settled.calibrated(exact_BO, labels_B, weights_B) == settled
    half_B = (torch.arange(len(x_B)) % 2).double()
    alone = kind.calibrated(exact_BO[1::2], labels_B[1::2], weights_B[1::2])
    assert kind.calibrated(exact_BO, labels_B, half_B).smearing_factor == pytest.approx(
        alone.smearing_factor
    )
    off = replace(kind, smearing=False)
    assert off.calibrated(exact_BO, labels_B, weights_B) == off and not off.needs_calibration


def test_the_exponential_of_an_error_stays_below_the_largest_label() -> None:
    labels = pa.chunked_array([[0.0, 2.0, None, 30.0, 5.0]])
    kind = Regression(transform="log1p").fit(labels, "y")
    outputs_BO = torch.linspace(-3, 40, 100)[:, None]
    predicted_B = kind.predict(outputs_BO)
    assert predicted_B.max().item() == kind.largest == 30.0
    free_B = kind.scale.back(outputs_BO[:, 0])
    assert torch.equal(predicted_B[free_B < 30], free_B[free_B < 30]) and (free_B < 30).sum() > 5
    # A quantity itself may go on beyond what was seen.
    assert Regression().fit(labels, "y").predict(outputs_BO).max().item() > 30


def test_quantiles_do_not_cross() -> None:
    kind = Quantile(levels=(0.1, 0.5, 0.9))
    outputs_BO = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    predictions = kind.predict(outputs_BO)
    assert (predictions.diff(dim=1) >= 0).all()
    labels_B = torch.randn(100, generator=torch.Generator().manual_seed(1))
    sorted_B = kind.loss(outputs_BO.sort(dim=1).values, labels_B)
    assert (sorted_B <= kind.loss(outputs_BO, labels_B) + 1e-6).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("binry", "unknown kind 'binry' - did you mean 'binary'"),
        ({"unit": "s"}, "a kind is a name, or a mapping"),
        ({"name": "count", "noise": "learned"}, "count has no option 'noise'"),
        ({"name": "regression", "mean": 3.0}, "regression has no option 'mean'"),
        ({"name": "regression", "transform": "sqrt"}, "regression: transform: .*log1p"),
        ({"name": "quantile", "levels": [0.9, 0.1]}, "levels must ascend"),
        ({"name": "multiclass", "classes": ["a"]}, "two classes or more"),
    ],
)
def test_wrong_specifications_are_told(spec: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_kind(spec)


def test_a_transformed_label_is_watched_by_its_ranks() -> None:
    """A tail of a few rows decides R2: of two equal models it takes either."""
    assert (Regression().main_metric, Regression(transform="log1p").main_metric) == ("r2", "xauc")
    draw = np.random.default_rng(0)
    mean = np.exp(draw.normal(size=4000))
    spreads: dict[str, list[float]] = {"r2": [], "xauc": []}
    for _ in range(20):
        labels = mean * (draw.pareto(1.5, 4000) + 1)
        for name, values in spreads.items():
            values.append(quick_metric(name, Regression(transform="log1p"), mean, labels))
    assert np.std(spreads["r2"]) > 5 * np.std(spreads["xauc"])
