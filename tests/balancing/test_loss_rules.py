"""Loss rules: each weight is the derivative of the paper's formula; goldens; options; refusals."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polytask.balancing import (
    DWA,
    FAMO,
    GLS,
    IMTLL,
    RLW,
    STCH,
    Balancer,
    Decayed,
    Measurement,
    ScaleInvariant,
    Static,
    Uncertainty,
)

LOSSES = torch.tensor([0.3, 2.0, 7.0], dtype=torch.float64)
NADIR = [1.0, 5.0, 4.0]


def weigh(balancer: Balancer, losses: Tensor | list[float], step: int = 0) -> Tensor:
    losses_T = torch.as_tensor(losses, dtype=torch.float64)
    active_T = torch.ones(len(losses_T), dtype=torch.bool)
    return balancer(Measurement(losses_T, active_T, step=step, epoch=step)).shared_T


def goldens(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def _uncertainty_at(s_T: Tensor, **options) -> Uncertainty:
    balancer = Uncertainty(len(s_T), **options)
    balancer.log_variance_T.data.copy_(s_T)
    return balancer


def _imtl_l_at(s_T: Tensor) -> IMTLL:
    balancer = IMTLL(len(s_T))
    balancer.log_scale_T.copy_(s_T)
    return balancer


S = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
CLASSES = ["regression", "classification", "regression"]
FACTORS = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)

# Each rule beside its paper's formula, written anew and differentiated by autograd.
FORMULAS: dict[str, tuple[Callable[[], Balancer], Callable[[Tensor], Tensor]]] = {
    "static": (lambda: Static(3, weights=[1, 0.5, 2]), lambda x: x @ x.new_tensor([1, 0.5, 2])),
    "gls": (lambda: GLS(3), lambda x: x.prod() ** (1 / 3)),
    "scale invariant": (lambda: ScaleInvariant(3), lambda x: x.log().sum()),
    "imtl-l": (lambda: _imtl_l_at(S), lambda x: (S.exp() * x - S).sum()),
    "uncertainty": (
        lambda: _uncertainty_at(S, forms=CLASSES),
        lambda x: (FACTORS * (-S).exp() * x + S / 2).sum(),
    ),
    "liebel-koerner": (
        lambda: _uncertainty_at(S, non_negative=True),
        lambda x: (x / (2 * S.exp()) + (1 + S.exp()).log()).sum(),
    ),
    "stch": (
        lambda: STCH(3, mu=0.7, nadir=NADIR),
        lambda x: 3 * 0.7 * ((x / x.new_tensor(NADIR)).log() / 0.7).logsumexp(0),
    ),
    "famo": (
        lambda: FAMO(3, min_losses=[0.1, 0.0, 1.0]),
        lambda x: (
            (x - x.new_tensor([0.1, 0, 1])).log().mean()
            / (1 / (x - x.new_tensor([0.1, 0, 1]))).mean().detach()
        ),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_weights_are_the_derivative_of_the_formula(name: str) -> None:
    make, formula = FORMULAS[name]
    losses_T = LOSSES.clone().requires_grad_()
    formula(losses_T).backward()
    torch.testing.assert_close(weigh(make(), LOSSES), losses_T.grad, rtol=1e-13, atol=1e-13)


SCALE_FREE: dict[str, Callable[[], Balancer]] = {
    "gls": lambda: GLS(3),
    "scale_invariant": lambda: ScaleInvariant(3),
    "stch": lambda: STCH(3, warmup_steps=1),
    "famo": lambda: FAMO(3),
    "dwa": lambda: DWA(3, window=1),
}


@pytest.mark.parametrize("name", SCALE_FREE)
def test_a_factor_on_one_loss_changes_no_ratio_of_what_is_minimised(name: str) -> None:
    """With weights w, what task k contributes to the step is w_k grad L_k, in units of L_k."""
    factor_T = torch.tensor([1000.0, 1.0, 1.0], dtype=torch.float64)
    plain, scaled = SCALE_FREE[name](), SCALE_FREE[name]()
    for step in range(4):
        losses_T = LOSSES * torch.tensor([0.9, 0.5, 0.99]) ** step
        mine = weigh(plain, losses_T, step)
        theirs = weigh(scaled, losses_T * factor_T, step)
        if name != "dwa":
            mine, theirs = mine * losses_T, theirs * losses_T * factor_T
        torch.testing.assert_close(theirs / theirs.sum(), mine / mine.sum())
        after_T = losses_T * torch.tensor([0.9, 0.8, 0.95])
        plain.after_step(list(after_T))
        scaled.after_step(list(after_T * factor_T))


LOG_BASED: dict[str, Callable[[], Balancer]] = {
    "GLS": lambda: GLS(2),
    "ScaleInvariant": lambda: ScaleInvariant(2),
    "STCH": lambda: STCH(2),
    "FAMO": lambda: FAMO(2),
    "DWA": lambda: DWA(2),
}


@pytest.mark.parametrize("name", LOG_BASED)
@pytest.mark.parametrize("loss", [0.0, -0.5])
def test_a_loss_without_logarithm_is_named(name: str, loss: float) -> None:
    if name == "DWA" and loss == 0:
        pytest.skip("a loss of 0 has a ratio")
    with pytest.raises(ValueError, match=rf"{name}.*that of task 1 is"):
        weigh(LOG_BASED[name](), [1.0, loss])


def test_uncertainty_goldens(goldens_folder: Path) -> None:
    forms = {"reg": "regression", "cls": "classification"}
    for case in goldens(goldens_folder, "uncertainty_weighting")["cases"]:
        s_T = torch.tensor(case["s"], dtype=torch.float64)
        balancer = _uncertainty_at(
            s_T, forms=[forms[kind] for kind in case["kind"]], learning_rate=None
        )
        assert weigh(balancer, case["L"]).tolist() == pytest.approx(case["dtotal_dL"], rel=1e-8)
        gradient = balancer.log_variance_T.grad
        assert gradient.tolist() == pytest.approx(case["dtotal_ds"], rel=1e-8, abs=1e-12)
        at_optimum = _uncertainty_at(
            torch.tensor(case["s_star"], dtype=torch.float64),
            forms=[forms[kind] for kind in case["kind"]],
            learning_rate=None,
        )
        weights_T = weigh(at_optimum, case["L"])
        assert at_optimum.log_variance_T.grad.abs().max() < 1e-12
        assert (
            2 * weights_T * torch.tensor(case["L"], dtype=torch.float64)
        ).tolist() == pytest.approx([1.0, 1.0])


def test_liebel_koerner_goldens(goldens_folder: Path) -> None:
    for case in goldens(goldens_folder, "uncertainty_weighting")["liebel_korner"]:
        sigma_T = torch.tensor(case["sigma"], dtype=torch.float64)
        balancer = _uncertainty_at(2 * sigma_T.log(), non_negative=True, learning_rate=None)
        weigh(balancer, case["L"])
        # d / d sigma = (d / d s) 2 / sigma for s = 2 log sigma.
        mine = balancer.log_variance_T.grad * 2 / sigma_T
        assert mine.tolist() == pytest.approx(case["dtotal_dsigma"], rel=1e-8, abs=1e-12)
        star_T = torch.tensor(case["sigma2_star"], dtype=torch.float64)
        balancer = _uncertainty_at(star_T.log(), non_negative=True, learning_rate=None)
        assert weigh(balancer, case["L"]).tolist() == pytest.approx(case["min_weight"], rel=1e-8)
        assert balancer.log_variance_T.grad.abs().max() < 1e-8


def test_uncertainty_learns_weights_of_any_size() -> None:
    """torch-rechub holds s at 0 or above: losses .69, .10, .01 end at weights 1.45, 2, 2 there."""
    balancer = Uncertainty(3, learning_rate=0.1)
    for step in range(300):
        weights_T = weigh(balancer, [0.69, 0.10, 0.01], step)
    assert weights_T.tolist() == pytest.approx([0.5 / 0.69, 5.0, 50.0], rel=1e-2)


def test_uncertainty_in_an_optimizer_of_ones_own() -> None:
    balancer = Uncertainty(2, learning_rate=None)
    optimizer = torch.optim.SGD(
        [{"params": balancer.parameters(), "weight_decay": 0.0}], lr=1.0, weight_decay=1.0
    )
    for step in range(60):
        optimizer.zero_grad()
        weights_T = weigh(balancer, [4.0, 0.5], step)
        optimizer.step()
    assert weights_T.tolist() == pytest.approx([0.125, 1.0], rel=1e-6)


def test_uncertainty_of_a_loss_of_zero_stays_finite() -> None:
    balancer = Uncertainty(2, learning_rate=0.2)
    for step in range(100):
        weights_T = weigh(balancer, [0.0, 1.0], step)
    assert weights_T[0] == pytest.approx(0.5 * math.exp(10), rel=1e-6)


def test_imtl_l_goldens(goldens_folder: Path) -> None:
    case = goldens(goldens_folder, "misc")["imtl_l"]
    assert weigh(_imtl_l_at(torch.tensor(case["s"])), case["L"]).tolist() == pytest.approx(
        [math.exp(s) for s in case["s"]]
    )
    balancer = IMTLL(2, learning_rate=0.1)
    for step in range(300):
        weights_T = weigh(balancer, case["L"], step)
    assert weights_T.log().tolist() == pytest.approx(case["s_star"], abs=1e-3)


def test_dwa_goldens(goldens_folder: Path) -> None:
    for case in goldens(goldens_folder, "dwa")["cases"]:
        balancer = DWA(len(case["ratio"]), temperature=case["T"], window=2, max_ratio=math.inf)
        wobble = torch.tensor([[0.5], [1.5]])  # two steps whose mean is the window's loss
        windows = [case["loss_t2"], case["loss_t1"], [1.0] * len(case["ratio"])]
        seen = [
            weigh(balancer, factor * torch.tensor(loss, dtype=torch.float64), 2 * window + step)
            for window, loss in enumerate(windows)
            for step, factor in enumerate(wobble)
        ]
        assert all(weights_T.eq(1).all() for weights_T in seen[:4])
        for weights_T in seen[4:]:
            assert weights_T.tolist() == pytest.approx(case["weights"], rel=1e-8)


def test_dwa_keeps_the_means_of_a_task_that_had_no_label_in_a_window() -> None:
    balancer = DWA(2, window=1)
    nan = float("nan")
    for step, losses in enumerate([[1.0, 1.0], [0.5, 0.9], [nan, 0.9], [0.5, 0.9]]):
        losses_T = torch.tensor(losses, dtype=torch.float64)
        measured = Measurement(losses_T, ~losses_T.isnan(), step=step)
        weights_T = balancer(measured).shared_T
    # Task 0 fell from 1 to 0.5 when it was last seen, task 1 from 0.9 to 0.9 in the last window.
    expected = 2 * (torch.tensor([0.5, 1.0], dtype=torch.float64) / 2.0).softmax(0)
    torch.testing.assert_close(weights_T, expected)


def test_dwa_clips_the_ratio_of_a_loss_that_was_almost_nothing() -> None:
    balancer = DWA(2, window=1, max_ratio=4.0)
    for step, losses in enumerate([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]):
        weights_T = weigh(balancer, losses, step)
    expected = 2 * torch.tensor([4.0, 1.0]).double().div(2.0).softmax(0)
    torch.testing.assert_close(weights_T, expected)


def test_famo_goldens(goldens_folder: Path) -> None:
    case = goldens(goldens_folder, "misc")["famo"]
    balancer = FAMO(2, weight_decay=0.0)
    weights_T = weigh(balancer, case["losses"])
    assert weights_T.tolist() == pytest.approx(case["effective_task_weights"], rel=1e-12)
    balancer.after_step([torch.tensor(loss) for loss in case["new_losses"]])
    assert balancer.logits_T.tolist() == pytest.approx(case["w_after_adam_lr_0_025"], rel=1e-6)
    assert balancer.adam.mean_T.tolist() == pytest.approx(
        [0.1 * gradient for gradient in case["grad_w"]], rel=1e-6
    )


def test_famo_asks_for_the_losses_after_the_step() -> None:
    balancer = FAMO(2)
    weigh(balancer, [1.0, 2.0])
    assert balancer.needs_losses_after_step
    with pytest.raises(ValueError, match=r"call balancer\.after_step"):
        weigh(balancer, [1.0, 2.0], 1)
    balancer.after_step([None, torch.tensor(1.0)])
    assert balancer.logits_T.tolist() == [0.0, 0.0]
    weigh(balancer, [1.0, 2.0], 1)


def test_the_adam_inside_is_torchs() -> None:
    """Its moments live on between steps; a fresh Adam a step would be sign descent."""
    balancer = FAMO(2, learning_rate=0.1, weight_decay=0.01)
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1, weight_decay=0.01)
    for step in range(20):
        before = torch.tensor([2.0, 1.0]).double()
        after = before * torch.tensor([0.9, 0.8 + 0.03 * step])
        weigh(balancer, before, step)
        balancer.after_step(list(after))
        optimizer.zero_grad()
        (logits.softmax(0) @ (before.log() - after.log())).backward()
        optimizer.step()
    torch.testing.assert_close(balancer.logits_T, logits.detach(), rtol=1e-12, atol=1e-12)


def test_small_goldens(goldens_folder: Path) -> None:
    misc = goldens(goldens_folder, "misc")
    case = misc["geometric_loss"]
    assert weigh(GLS(2), case["L"]).tolist() == pytest.approx(case["weights"], rel=1e-12)
    case = misc["ple_loss"]
    balancer = Decayed(2, weights=case["w0"], decay=case["gamma"])
    assert weigh(balancer, case["L_k"], step=case["t"]).tolist() == pytest.approx(case["w_t"])
    case = misc["stch"]
    losses_T = torch.tensor(case["log_ratio"]).exp().double().requires_grad_()
    value = case["mu"] * (losses_T.log() / case["mu"]).logsumexp(0)
    assert value.item() == pytest.approx(case["value"], rel=1e-6)
    mine = weigh(STCH(2, mu=case["mu"], nadir=[1.0, 1.0]), losses_T.detach())
    torch.testing.assert_close(mine, 2 * torch.autograd.grad(value, losses_T)[0])


def test_stch_learns_where_it_starts_from() -> None:
    balancer = STCH(2, warmup_steps=3)
    for step in range(3):
        losses_T = torch.tensor([1.0 + step, 10.0]).double()
        torch.testing.assert_close(weigh(balancer, losses_T, step), 1 / losses_T)
    assert balancer.nadir_T.tolist() == [2.0, 10.0]
    expected = 2 * torch.tensor([0.5, 0.25]).double().log().softmax(0) / torch.tensor([1.0, 2.5])
    torch.testing.assert_close(weigh(balancer, [1.0, 2.5], 3), expected)
    assert balancer.nadir_T.tolist() == [2.0, 10.0]


@pytest.mark.parametrize("distribution", ["normal", "dirichlet"])
def test_rlw_draws_from_seed_and_step(distribution) -> None:
    def draws(seed: int) -> Tensor:
        balancer = RLW(3, distribution=distribution, seed=seed)
        return torch.stack([weigh(balancer, LOSSES, step) for step in range(500)])

    first = draws(0)
    torch.testing.assert_close(first, draws(0), rtol=0, atol=0)
    assert not torch.equal(first, draws(1))
    assert len({tuple(row) for row in first.tolist()}) == 500
    torch.testing.assert_close(first.sum(1), torch.ones(500).double())
    # Means 1/3; E[w_1^2] = 1/6 for Dirichlet(1, 1, 1).
    torch.testing.assert_close(first.mean(0), torch.full((3,), 1 / 3).double(), atol=0.05, rtol=0)
    if distribution == "dirichlet":
        assert first[:, 0].square().mean().item() == pytest.approx(1 / 6, abs=0.03)


def test_decayed_counts_in_epochs_or_steps() -> None:
    active_T = torch.ones(2, dtype=torch.bool)
    measured = Measurement(torch.ones(2).double(), active_T, step=3)
    assert Decayed(2, decay=0.5, unit="step")(measured).shared_T.tolist() == [0.125, 0.125]
    with pytest.raises(ValueError, match="epoch=epoch"):
        Decayed(2)(measured)


WRONG_OPTIONS: list[tuple[Callable[[], Balancer], str]] = [
    (lambda: Decayed(2, decay=0.0), "decay must be above 0"),
    (lambda: Decayed(2, decay=[0.9]), "decay needs one number a task"),
    (lambda: Decayed(2, unit="month"), "unit must be"),
    (lambda: RLW(2, distribution="uniform"), "distribution must be"),
    (lambda: Uncertainty(2, forms=["regression"]), "forms needs"),
    (lambda: Uncertainty(2, learning_rate=0.0), "learning_rate must be above 0"),
    (lambda: DWA(2, temperature=0.0), "temperature must be above 0"),
    (lambda: DWA(2, window=0), "window must be at least 1"),
    (lambda: STCH(2, mu=0.0), "mu must be above 0"),
    (lambda: STCH(2, nadir=[0.0, 1.0]), "nadir must be above 0"),
    (lambda: FAMO(2, min_losses=[0.0]), "min_losses needs one number"),
    (lambda: FAMO(2, weight_decay=-1.0), "weight_decay must be at least 0"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_OPTIONS, ids=[m for _, m in WRONG_OPTIONS])
def test_options_that_cannot_be_meant_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
