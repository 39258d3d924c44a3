"""TAG's lookahead: goldens, first order, what stays untouched, and its cost."""

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from polytask.balancing import Equal
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary, count, regression
from polytask.training import Settings, TrainingRun
from polytask.training.loop import train
from polytask.transfer.affinity import AffinityMeter, lookahead, trained_with_affinity
from polytask.trunks import MMoE, SharedBottom, SingleTask


class _Centre(nn.Module):
    """Stands in for a model: losses |theta - c_i|^2 of one shared vector."""

    def __init__(self, theta: list[float], centres: list[list[float]]) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta).double())
        self.centres = torch.tensor(centres).double()

    def forward(self, inputs):
        return self.theta

    def losses(self, result, batch):
        return [(result - centre).square().sum() / 2 for centre in self.centres]


def table(num_rows: int = 256, *, seed: int = 0) -> Batch:
    x_BD = torch.randn(num_rows, 6, generator=torch.Generator().manual_seed(seed))
    score_B = x_BD @ torch.tensor([1.0, -1.0, 0.5, 0.0, 0.0, 0.0])
    labels = {"click": (score_B > 0).float(), "same": (score_B > 0).float()}
    return Batch({"x": x_BD}, labels | {"opposite": -score_B})


def model(trunk=MMoE, *, tasks=None) -> MultiTaskModel:
    torch.manual_seed(0)
    tasks = tasks or [binary("click"), binary("same"), regression("opposite")]
    return MultiTaskModel(SingleInput("x"), trunk(6, len(tasks)), tasks)


def test_two_quadratics_have_the_golden_affinities(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "misc.json").read_text())["tag_quadratic"]
    found = lookahead(
        _Centre(golden["theta"], golden["centers"]),  # type: ignore[arg-type]
        Batch({"x": torch.zeros(1)}),
        learning_rate=golden["lr"],
    )
    torch.testing.assert_close(found.affinity_TT, torch.tensor(golden["Z"]).double())


def test_z_is_one_minus_the_ratio_of_losses(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "misc.json").read_text())["tag"]
    ratios = zip(golden["L_after_step_on_0"], golden["L_before"])
    assert [1 - after / before for after, before in ratios] == pytest.approx(golden["Z_0_to"])


def test_a_small_step_gives_the_inner_product_of_the_gradients() -> None:
    """To first order Z_{i->j} = rate <g_i, g_j> / L_j over the shared parameters."""
    net, batch = model().double(), table()
    batch = Batch(
        {"x": batch.inputs["x"].double()}, {k: v.double() for k, v in batch.labels.items()}
    )
    rate = 1e-6
    found = lookahead(net, batch, learning_rate=rate)
    losses = net.losses(net(batch.inputs), batch)
    shared = [p for name, p in net.named_parameters() if "experts" in name]
    rows = [torch.autograd.grad(each, shared, retain_graph=True) for each in losses]
    flat = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    expected = rate * (flat @ flat.T) / torch.stack([*losses]).detach()
    torch.testing.assert_close(found.affinity_TT, expected, rtol=1e-3, atol=1e-9)
    lengths = flat.norm(dim=1)
    torch.testing.assert_close(
        found.cosine_TT, flat @ flat.T / torch.outer(lengths, lengths), rtol=1e-6, atol=1e-9
    )


def test_nothing_of_the_model_is_changed() -> None:
    net, batch = model(), table()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    lookahead(net, batch, learning_rate=1.0)
    assert net.training and all(p.grad is None for p in net.parameters())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_nothing_is_dropped_out_meanwhile() -> None:
    net = model(lambda width, tasks: SharedBottom(width, tasks, dropout=0.5)).train()
    first, second = (lookahead(net, table(), learning_rate=0.1) for _ in range(2))
    assert torch.equal(first.affinity_TT, second.affinity_TT) and net.training


def test_training_is_the_same_with_and_without_it() -> None:
    ends = []
    for meter in (None, AffinityMeter()):
        run = TrainingRun.start(model(), Equal(3), settings=Settings(epochs=8))
        stream = InMemoryStream(table(), batch_size=32)
        steps = (
            train(run, stream)
            if meter is None
            else trained_with_affinity(run, stream, meter, every=3)
        )
        assert len([*steps]) == 64
        ends.append(torch.cat([p.flatten() for p in run.model.parameters()]))
    assert torch.equal(*ends)
    assert meter is not None and len(meter.lookaheads) == 21
    assert meter.affinity_TT[0, 1] > 0 > meter.affinity_TT[0, 2]
    assert meter.conflict_TT[0, 2] > 0.5 > meter.conflict_TT[0, 1]


def test_absent_tasks_and_models_that_share_nothing_have_no_affinity() -> None:
    batch = table()
    some = Batch(batch.inputs, {name: batch.labels[name] for name in ("click", "opposite")})
    found = lookahead(model(), some, learning_rate=0.1).affinity_TT
    assert found[1].isnan().all() and found[:, 1].isnan().all() and not found[0, 2].isnan()
    apart = lookahead(model(SingleTask), batch, learning_rate=0.1)
    assert apart.affinity_TT.isnan().all() and apart.cosine_TT.isnan().all()


def test_a_loss_below_zero_has_no_ratio() -> None:
    tasks = [binary("click"), count("many")]
    x_BD = torch.randn(64, 6)
    labels = {"click": (x_BD[:, 0] > 0).float(), "many": torch.full((64,), 50.0)}
    net = model(SharedBottom, tasks=tasks)
    loss = net.losses(net({"x": x_BD}), Batch({"x": x_BD}, labels))[1]
    found = lookahead(net, Batch({"x": x_BD}, labels), learning_rate=0.1).affinity_TT
    assert loss is not None and bool(found[0, 1].isnan()) == (loss.item() <= 0)


@pytest.mark.slow
@pytest.mark.parametrize("num_tasks", [2, 4, 8])
def test_sampled_every_ten_steps_it_costs_at_most_half_a_step_a_task(num_tasks: int) -> None:
    """(1 + 0.5 T) equal-weight training steps; the median of interleaved rounds."""
    names = [f"task{t}" for t in range(num_tasks)]
    x_BD = torch.randn(20_480, 64)
    rows = Batch({"x": x_BD}, {name: (x_BD[:, t] > 0).float() for t, name in enumerate(names)})
    tasks, seconds = [binary(name) for name in names], {True: [], False: []}
    for _ in range(3):
        for metered in (False, True):
            net = MultiTaskModel(SingleInput("x"), MMoE(64, num_tasks), tasks)
            run = TrainingRun.start(net, Equal(num_tasks), settings=Settings(epochs=2))
            stream, start = InMemoryStream(rows, batch_size=512), time.process_time()
            steps = (
                trained_with_affinity(run, stream, AffinityMeter())
                if metered
                else train(run, stream)
            )
            for _ in steps:
                pass
            seconds[metered].append(time.process_time() - start)
    ratio = sorted(seconds[True])[1] / sorted(seconds[False])[1]
    print(f"{num_tasks} tasks: {ratio:.2f} training steps a step")
    assert ratio <= 1 + 0.5 * num_tasks
