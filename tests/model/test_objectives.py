"""Objectives beside the tasks, written as a user would: exact gradients, and what they are for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import MGDA, Balancer, Equal, Need, NormClipped, UPGrad, balanced_backward
from polytask.inputs import SingleInput
from polytask.model import (
    MultiTaskModel,
    Objective,
    Outputs,
    labelled_rows,
    reverse_gradient,
)
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, regression
from polytask.training import Settings, TrainingRun, train
from polytask.trunks import PLE, MMoE, SharedBottom, SoftSharing, Trunk


class Domain(Objective):
    """Which domain a row is from, told from x or from the seam; the rest learns to hide it."""

    def __init__(self, width: int, *, reads: str = "x", scale: float | None = 1.0) -> None:
        super().__init__("domain")
        self.reads, self.scale = reads, scale
        self.head = nn.Linear(width, 1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        read = {"x": result.x, "seam": result.seam[-1].flatten(1), "features": result.features[0]}
        seen_BH = read[self.reads]
        if self.scale is not None:
            seen_BH = reverse_gradient(seen_BH, self.scale)
        labels = batch.labels["domain"].nan_to_num()
        return nn.functional.binary_cross_entropy_with_logits(
            self.head(seen_BH)[:, 0], labels, reduction="none"
        )

    def row_weights(self, batch: Batch) -> Tensor | None:
        return labelled_rows("domain", batch)


class Reconstruction(Objective):
    """The input, told from x."""

    def __init__(self, width: int, num_inputs: int) -> None:
        super().__init__("reconstruction", is_weighed=False)
        self.decoder = nn.Linear(width, num_inputs)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        return (self.decoder(result.x) - batch.inputs["x"]).square().mean(dim=1)


class Around(Objective):
    """Encodes the inputs once more, past the seam."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__("around")
        self.encoders = [encoder]

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        return self.encoders[0](batch.inputs).square().mean(dim=1)


def make_batch(num_rows: int = 40, dtype: torch.dtype = torch.float64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.randn(num_rows, 5, generator=generator, dtype=dtype)
    domain_B = (torch.rand(num_rows, generator=generator) < 0.5).to(dtype)
    x_BD[:, 1] = 2 * domain_B - 1 + 0.1 * x_BD[:, 1]
    domain_B[:3] = torch.nan
    labels = {"a": (x_BD[:, 0] > 0).to(dtype), "b": x_BD[:, 2] - x_BD[:, 0], "domain": domain_B}
    return Batch({"x": x_BD}, labels)


def make_model(trunk: Trunk, objectives: list[Objective]) -> MultiTaskModel:
    encoder = SingleInput("x", nn.Linear(5, 6))
    return MultiTaskModel(
        encoder, trunk, [binary("a"), regression("b")], tower_hidden=(3,), objectives=objectives
    )


TRUNKS: dict[str, Callable[[], Trunk]] = {
    "shared_bottom": lambda: SharedBottom(6, 2, hidden=(4,)),
    "mmoe": lambda: MMoE(6, 2, num_experts=2, expert_hidden=(4,)),
    "ple": lambda: PLE(6, 2, num_levels=2, expert_hidden=(4,)),
}
WIDTHS = {"shared_bottom": 4, "mmoe": 8, "ple": 4}
CASES = [(name, reads) for name in TRUNKS for reads in ("x", "seam", "features")]
CASES.remove(("ple", "seam"))  # Its last seam tensor has another width.


@pytest.mark.parametrize(("name", "reads"), CASES)
@pytest.mark.parametrize("rule", [MGDA, UPGrad, Equal])
def test_every_gradient_is_the_weighted_sum_of_the_exact_ones(
    name: str, reads: str, rule: type[Balancer]
) -> None:
    torch.manual_seed(0)
    width = {"x": 6, "seam": WIDTHS[name], "features": 4}[reads]
    objectives = [Reconstruction(6, 5), Domain(width, reads=reads, scale=0.7)]
    model, batch = make_model(TRUNKS[name](), objectives).double(), make_batch()
    assert model.loss_names == ("a", "b", "domain") and model.num_losses == 3
    result = model(batch.inputs)
    losses, penalty = model.losses(result, batch), model.penalty(result, batch)
    parameters = dict(model.named_parameters())
    exact = [
        torch.autograd.grad(loss, [*parameters.values()], retain_graph=True, allow_unused=True)
        for loss in (*losses, penalty)
    ]
    balancer = rule(3)
    seam = model.seam(result) if balancer.needs is not Need.LOSSES else None
    step = balanced_backward(losses, balancer, seam=seam, penalty=penalty)
    for place, (key, parameter) in enumerate(parameters.items()):
        *mine, added = [gradients[place] for gradients in exact]
        reaching = [t for t, gradient in enumerate(mine) if gradient is not None]
        weights = step.weights.shared_T if len(reaching) > 1 else step.weights.private_T
        expected = torch.zeros_like(parameter) if added is None else added
        for t in reaching:
            expected = expected + float(weights[t]) * mine[t]
        assert parameter.grad is not None, key
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14, msg=key)


def test_x_is_one_tensor_for_objectives_and_a_trunk_that_reads_it() -> None:
    """Then the conflict of an objective with the tasks at x is measured, not hidden."""
    torch.manual_seed(0)
    model = make_model(TRUNKS["mmoe"](), [Domain(6)]).double()
    result = model(make_batch().inputs)
    assert sum(tensor is result.x for tensor in model.seam(result)) == 1
    assert len(model.seam(result)) == len(result.seam)
    bottom = make_model(TRUNKS["shared_bottom"](), [Domain(6)]).double()
    result = bottom(make_batch().inputs)
    assert bottom.seam(result) == (result.x, *result.seam)
    alone = make_model(TRUNKS["shared_bottom"](), [Reconstruction(6, 5)]).double()
    result = alone(make_batch().inputs)
    assert alone.seam(result) == result.seam


def test_a_path_around_the_seam_is_refused() -> None:
    model = make_model(TRUNKS["mmoe"](), [])
    around = make_model(TRUNKS["mmoe"](), [Around(model.encoder)])
    around.encoder = model.encoder
    batch = make_batch(dtype=torch.float32)
    result = around(batch.inputs)
    with pytest.raises(ValueError, match="both through the seam and around it"):
        balanced_backward(around.losses(result, batch), MGDA(3), seam=around.seam(result))


def test_training_measures_at_the_whole_seam() -> None:
    """A shared bottom's seam is z alone; the adversary reads x."""
    torch.manual_seed(0)
    model = make_model(TRUNKS["shared_bottom"](), [Domain(6)])
    run = TrainingRun.start(model, MGDA(3), settings=Settings(epochs=2))
    steps = list(train(run, InMemoryStream(make_batch(dtype=torch.float32), batch_size=20)))
    assert len(steps) == 4
    assert all((step.balancing.gram_TT.diagonal() > 0).all() for step in steps)


def domain_and_task_losses(objectives: list[Objective]) -> tuple[list[float], TrainingRun]:
    torch.manual_seed(0)
    model = make_model(TRUNKS["shared_bottom"](), objectives)
    settings = Settings(epochs=60, learning_rate=1e-2, patience=0)
    run = TrainingRun.start(model, Equal(model.num_losses), settings=settings)
    stream = InMemoryStream(make_batch(400, torch.float32), batch_size=100)
    steps = list(train(run, stream))
    assert steps[-1].batch.labels["domain"].shape == (100,)
    return steps[-1].balancing.losses_T.tolist(), run


def test_an_adversary_on_the_seam_hides_the_domain_and_the_tasks_still_learn() -> None:
    """Chance is log 2 = .693."""
    with_reversal, _ = domain_and_task_losses([Domain(4, reads="seam")])
    without, _ = domain_and_task_losses([Domain(4, reads="seam", scale=None)])
    assert without[2] < 0.2
    assert with_reversal[2] > 0.6
    assert with_reversal[1] < 0.3 and without[1] < 0.3


def test_a_reconstruction_is_learnt_beside_the_weighed_losses() -> None:
    _, run = domain_and_task_losses([Reconstruction(6, 5)])
    assert run.balancer.num_tasks == 2
    batch = make_batch(400, torch.float32)
    error = run.model.penalty(run.model(batch.inputs), batch)
    assert error is not None and error.item() < 0.05 < 0.5 < batch.inputs["x"].var().item()


def test_what_is_not_weighed_is_added_to_the_trunk_s_penalty() -> None:
    torch.manual_seed(0)
    model = make_model(SoftSharing(6, 2, hidden=(4,)), [Reconstruction(6, 5)])
    with torch.no_grad():  # The tasks' layers start alike, at no cost.
        for parameter in model.trunk.parameters():
            parameter.add_(torch.randn_like(parameter))
    batch = make_batch(dtype=torch.float32)
    result = model(batch.inputs)
    cost = model.trunk.penalty()
    assert cost is not None and cost.item() > 0
    expected = cost + model.objectives[0](result, batch).mean()
    torch.testing.assert_close(model.penalty(result, batch), expected)


def test_an_objective_without_rows_is_absent() -> None:
    model = make_model(TRUNKS["mmoe"](), [Domain(6), Reconstruction(6, 5)])
    whole = make_batch(dtype=torch.float32)
    batch = Batch(whole.inputs, {name: whole.labels[name] for name in ("a", "b")})
    result = model(batch.inputs)
    assert [loss is None for loss in model.losses(result, batch)] == [False, False, True]
    unlabelled = whole[:3]
    assert model.losses(model(unlabelled.inputs), unlabelled)[2] is None


def test_wrong_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match=r"names of their own.*'domain', 'domain'"):
        make_model(TRUNKS["mmoe"](), [Domain(6), Domain(6)])
    model = make_model(TRUNKS["mmoe"](), [Domain(6)])
    with pytest.raises(ValueError, match=r"made for 2 losses, but the model has 3.*domain"):
        TrainingRun.start(model, NormClipped(MGDA(2), max_norm=1.0))


def test_a_reversed_gradient_is_that_of_minus_the_loss() -> None:
    """As it comes, and times a scale; the tensor itself stays as it is."""
    for scales, factor in (((), -1.0), ((0.25,), -0.25)):
        x_D = torch.tensor([1.0, -2.0], requires_grad=True)
        seen_D = reverse_gradient(x_D, *scales)
        assert torch.equal(seen_D, x_D)
        (seen_D**3).sum().backward()
        torch.testing.assert_close(x_D.grad, factor * 3 * x_D.detach() ** 2)


def test_penalties_of_several_objectives_are_added() -> None:
    """Beside the trunk's own cost, where there is one."""

    class Constant(Objective):
        def __init__(self, name: str, value: float) -> None:
            super().__init__(name, is_weighed=False)
            self.value = value

        def forward(self, result: Outputs, batch: Batch) -> Tensor:
            return torch.full((len(batch),), self.value)

    objectives = [Constant("two", 2.0), Constant("three", 3.0)]
    trunk, batch = SharedBottom(4, 1), Batch({"x": torch.zeros(5, 4)}, {"a": torch.ones(5)})
    model = MultiTaskModel(SingleInput("x"), trunk, [binary("a")], objectives=objectives)
    penalty = model.penalty(model(batch.inputs), batch)
    assert penalty is not None
    assert penalty.item() == pytest.approx(5.0)
