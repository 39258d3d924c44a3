"""balanced_backward in what real training consists of: mixed precision, compiled and other modules."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polytask.balancing import (
    MGDA,
    Balancer,
    Equal,
    NashMTL,
    PCGrad,
    Uncertainty,
    UPGrad,
    balanced_backward,
)

RULES = (MGDA, PCGrad, NashMTL, UPGrad, Uncertainty)
PLACES = ("seam", "parameters")


class Model(nn.Module):
    """Any body, two heads; regressions on targets of different size."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body = body
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(2))

    def losses(self, z_BH: Tensor) -> list[Tensor]:
        generator = torch.Generator().manual_seed(5)
        targets_B = torch.randn(len(z_BH), generator=generator)
        pairs = zip(self.heads, (targets_B, 3 * targets_B.roll(1)))
        return [(head(z_BH).squeeze(1) - y_B).square().mean() for head, y_B in pairs]


def make(body: Callable[[], nn.Module], width: int = 8) -> Model:
    torch.manual_seed(0)
    return Model(body(), width)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh())


def inputs() -> Tensor:
    return torch.randn(32, 4, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None]


def assert_is_weighted_sum(
    model: Model, forward: Callable[[Model], Tensor], weights: Sequence[Sequence[float]]
) -> None:
    """What is in `.grad` is what the weights say, by a backward pass a task."""
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    expected = {name: torch.zeros_like(gradient) for name, gradient in found.items()}
    for task in range(2):
        model.zero_grad()
        model.losses(forward(model))[task].backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                weight = weights[int(name.startswith("heads"))][task]
                expected[name] += weight * parameter.grad
    assert all(gradient.any() for gradient in expected.values())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def balanced(model: Model, z_BH: Tensor, balancer: Balancer, where: str, **options: float):
    seam = [z_BH] if where == "seam" and balancer.needs else None
    return balanced_backward(model.losses(z_BH), balancer, seam=seam, **options)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("rule", RULES)
def test_bfloat16_autocast_without_a_scaler(rule: type[Balancer], where: str) -> None:
    steps = []
    for enabled in (False, True):
        model = make(perceptron)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            z_BH = model.body(inputs())
            assert z_BH.dtype == (torch.bfloat16 if enabled else torch.float32)
            steps.append(balanced(model, z_BH, rule(2), where))
        assert all(gradient.dtype == torch.float32 for gradient in gradients(model))
        steps.append(gradients(model))
    plain, expected, mixed, found = steps
    torch.testing.assert_close(mixed.weights.shared_T, plain.weights.shared_T, rtol=0.1, atol=0.02)
    largest = max(float(gradient.abs().max()) for gradient in expected)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1 * largest)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("rule", RULES)
def test_a_loss_scale_changes_gradients_and_nothing_else(rule: type[Balancer], where: str) -> None:
    """Nash-MTL's and Uncertainty's updates are not proportional to a factor on the losses."""
    plain, scaled = make(perceptron), make(perceptron)
    balancers = rule(2), rule(2)
    one = balanced(plain, plain.body(inputs()), balancers[0], where)
    other = balanced(scaled, scaled.body(inputs()), balancers[1], where, loss_scale=1024.0)
    torch.testing.assert_close(tuple(one.weights), tuple(other.weights))
    torch.testing.assert_close(one.losses_T, other.losses_T)
    torch.testing.assert_close(one.gram_TT, other.gram_TT)
    for mine, theirs in zip(gradients(plain), gradients(scaled)):
        torch.testing.assert_close(1024 * mine, theirs)
    state, other_state = (balancer.state_dict() for balancer in balancers)
    torch.testing.assert_close(state, other_state)


@pytest.mark.parametrize("where", PLACES)
def test_float16_with_a_scaler_skips_what_overflows_and_goes_on(where: str) -> None:
    model, balancer = make(perceptron), NashMTL(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30)
    before = [parameter.clone() for parameter in model.parameters()]
    losses, skipped = [], 0
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            z_BH = model.body(inputs())
            scale = scaler.scale(torch.ones(())).item()
            step = balanced(model, z_BH, balancer, where, loss_scale=scale)
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < scale:
            skipped += 1
            assert step.gram_TT is None and int(balancer.num_steps) == 0
            assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
        losses.append(float(step.losses_T.sum()))
    assert 3 < skipped < 30 and int(balancer.num_steps) == 60 - skipped
    assert losses[-1] < 0.9 * losses[0]


def test_without_a_scale_a_gradient_that_is_not_finite_still_stops() -> None:
    theta = torch.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="gradient of task 1 is not finite"):
        balanced_backward([theta.sum(), theta.sqrt().sum()], MGDA(2))
    balanced_backward([theta.sum(), theta.sqrt().sum()], MGDA(2), loss_scale=2.0)
    assert not theta.grad.isfinite().any()


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("rule", RULES)
def test_bfloat16_parameters(rule: type[Balancer], where: str) -> None:
    model = make(perceptron).bfloat16()
    z_BH = model.body(inputs().bfloat16())
    step = balanced(model, z_BH, rule(2), where)
    assert step.gram_TT is None or step.gram_TT.dtype == torch.float64
    assert all(gradient.dtype == torch.bfloat16 for gradient in gradients(model))
    assert all(gradient.isfinite().all() for gradient in gradients(model))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 8, num_layers=2, batch_first=True)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.gru(x_BD.unsqueeze(2))[0][:, -1]


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, x_BD: Tensor) -> Tensor:
        return checkpoint(self.body, x_BD, use_reentrant=False)


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.norm(self.first(x_BD)).tanh()


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("body", [Recurrent, Checkpointed, Normalised])
def test_modules_with_a_backward_of_their_own(body: Callable[[], nn.Module], where: str) -> None:
    model = make(body)
    weights = balanced(model, model.body(inputs()), UPGrad(2), where).weights
    assert_is_weighted_sum(model, lambda m: m.body(inputs()), [part.tolist() for part in weights])


@pytest.mark.parametrize("where", PLACES)
def test_running_statistics_move_once_a_forward_pass(where: str) -> None:
    model = make(Normalised)
    balanced(model, model.body(inputs()), UPGrad(2), where)
    assert int(model.body.norm.num_batches_tracked) == 1
    expected = 0.1 * model.body.first(inputs()).mean(0)
    torch.testing.assert_close(model.body.norm.running_mean, expected)


class Looked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50_000, 8, sparse=True)

    def forward(self, ids_B: Tensor) -> Tensor:
        return self.table(ids_B).tanh()


@pytest.mark.parametrize("where", [*PLACES, "the table"])
def test_sparse_gradients_of_a_table_are_never_made_dense(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a sparse gradient was made dense")

    monkeypatch.setattr(Tensor, "to_dense", refuse)
    model = make(lambda: nn.Sequential(Looked(), nn.Linear(8, 8)))
    ids_B = torch.arange(32) % 20
    z_BH = model.body(ids_B)
    parameters = [model.body[0].table.weight] if where == "the table" else None
    seam = [z_BH] if where == "seam" else None
    balanced_backward(model.losses(z_BH), UPGrad(2), seam=seam, parameters=parameters)
    gradient = model.body[0].table.weight.grad
    assert gradient.is_sparse
    assert gradient.coalesce().values().shape == (20, 8)


def check_compiled(backend: str) -> None:
    """What all tasks share, compiled as one module."""
    torch.compiler.reset()
    model = make(perceptron)
    compiled = torch.compile(model.body, backend=backend)
    z_BH = compiled(inputs())
    weights = balanced_backward(model.losses(z_BH), UPGrad(2), seam=[z_BH]).weights
    assert_is_weighted_sum(model, lambda m: m.body(inputs()), [w.tolist() for w in weights])
    model.zero_grad()
    # At the parameters the graph is walked once a task, which torch allows after this setting.
    with pytest.raises(RuntimeError, match=r"set torch\._functorch\.config\.donated_buffer=False"):
        balanced_backward(model.losses(compiled(inputs())), UPGrad(2))
    assert not gradients(model)
    torch.compiler.reset()
    with torch._functorch.config.patch(donated_buffer=False):
        compiled = torch.compile(model.body, backend=backend)
        weights = balanced_backward(model.losses(compiled(inputs())), UPGrad(2)).weights
    assert_is_weighted_sum(model, lambda m: m.body(inputs()), [w.tolist() for w in weights])


def test_compiled_modules() -> None:
    check_compiled("aot_eager")


@pytest.mark.slow
def test_modules_compiled_to_machine_code() -> None:
    check_compiled("inductor")


def test_a_model_compiled_with_its_heads_is_refused_by_gradient_rules() -> None:
    torch.compiler.reset()
    model = make(perceptron)
    losses = torch.compile(lambda x_BD: model.losses(model.body(x_BD)), backend="aot_eager")
    with pytest.raises(ValueError, match="compile what all tasks share as one module"):
        balanced_backward(losses(inputs()), MGDA(2))
    balanced_backward(losses(inputs()), Equal(2))
    weights = [[1.0, 1.0], [1.0, 1.0]]
    assert_is_weighted_sum(model, lambda m: m.body(inputs()), weights)
