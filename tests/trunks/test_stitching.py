"""Cross-stitch and sluice networks against hand-computed values and what they reduce to."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polytask.trunks import CrossStitch, SingleTask, Sluice, Trunk
from polytask.trunks.stitching import squared_overlap


@pytest.fixture
def x_BD() -> Tensor:
    return torch.randn(7, 5, dtype=torch.float64)


def _as_networks(single: SingleTask, trunk: CrossStitch | Sluice) -> None:
    """Give the stitched networks the layers of single-task ones."""
    networks = trunk.networks
    layers = [[m for m in bottom if isinstance(m, nn.Linear)] for bottom in single.bottoms]
    with torch.no_grad():
        networks.first.weight.copy_(torch.cat([task[0].weight for task in layers]))
        networks.first.bias.copy_(torch.cat([task[0].bias for task in layers]))
        for layer, (weight, bias) in enumerate(zip(networks.weights, networks.biases), start=1):
            weight.copy_(torch.stack([task[layer].weight.T for task in layers]))
            bias.copy_(torch.stack([task[layer].bias[None] for task in layers]))


@pytest.mark.parametrize("per_channel", [False, True])
def test_identity_stitches_are_single_task_networks(per_channel: bool, x_BD: Tensor) -> None:
    single = SingleTask(5, 3, hidden=(6, 4, 3)).double()
    trunk = CrossStitch(5, 3, hidden=(6, 4, 3), own=1.0, per_channel=per_channel).double()
    _as_networks(single, trunk)
    torch.testing.assert_close(trunk(x_BD), single(x_BD), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_last_stitch_equals_the_golden_values(goldens_folder: Path, per_channel: bool) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["cross_stitch"]
    values = {key: torch.tensor(value, dtype=torch.float64) for key, value in golden.items()}
    trunk = CrossStitch(3, 2, hidden=(4, 2), per_channel=per_channel).double()
    with torch.no_grad():
        for row, alpha_T in zip(trunk.stitches[1], values["alpha"]):
            row.copy_(alpha_T[:, None].expand(2, 2) if per_channel else alpha_T)
    first, second = trunk.split((torch.stack([values["x1"], values["x2"]]),))
    torch.testing.assert_close(first, values["out1"], rtol=0, atol=1e-12)
    torch.testing.assert_close(second, values["out2"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
def test_stitches_are_those_of_a_loop_over_tasks(per_channel: bool, x_BD: Tensor) -> None:
    single = SingleTask(5, 3, hidden=(6, 4)).double()
    trunk = CrossStitch(5, 3, hidden=(6, 4), per_channel=per_channel).double()
    _as_networks(single, trunk)
    with torch.no_grad():
        for row in trunk.stitches.parameters():
            row.add_(torch.randn_like(row))
    hidden = [x_BD] * 3
    for layer, rows in enumerate(trunk.stitches):
        own = [bottom[2 * layer](h).relu() for bottom, h in zip(single.bottoms, hidden)]
        hidden = [sum(row[s] * own[s] for s in range(3)) for row in rows]
    torch.testing.assert_close(trunk(x_BD), hidden)


def test_stitches_lean_to_the_own_network_and_sum_to_one() -> None:
    trunk = CrossStitch(5, 3, hidden=(6, 4))
    for layer, stitch in enumerate(trunk.explain(torch.zeros(1, 5)).stitches, start=1):
        assert stitch.layer == layer
        assert stitch.sources == ("task 1", "task 2", "task 3")
        expected = torch.full((3, 3), 0.05) + 0.85 * torch.eye(3)
        torch.testing.assert_close(stitch.weights_RS, expected)
    assert [row.tolist() for row in CrossStitch(5, 1, hidden=(6,)).stitches[0]] == [[1.0]]


def test_an_explained_stitch_per_channel_is_the_mean_over_channels() -> None:
    trunk = CrossStitch(5, 2, hidden=(4,), per_channel=True)
    with torch.no_grad():
        trunk.stitches[0][0][1] += torch.tensor([0.0, 1.0, 2.0, 5.0])
    (stitch,) = trunk.explain(torch.zeros(1, 5)).stitches
    torch.testing.assert_close(stitch.weights_RS, torch.tensor([[0.9, 2.1], [0.1, 0.9]]))


def _set_random(trunk: Trunk) -> None:
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.copy_(torch.randn_like(parameter))


@pytest.mark.parametrize("kind", [CrossStitch, Sluice])
def test_dropout_acts_in_training_only(kind: type[CrossStitch | Sluice]) -> None:
    trunk = kind(5, 2, dropout=0.5)
    x_BD = torch.randn(64, 5)
    assert (trunk(x_BD)[0] - trunk(x_BD)[0]).abs().max() > 0
    trunk.eval()
    torch.testing.assert_close(trunk(x_BD), trunk(x_BD), rtol=0, atol=0)


def test_a_sluice_that_leads_nowhere_else_is_single_task_networks(x_BD: Tensor) -> None:
    """Identity stitches, and towers that read the last layer alone."""
    single = SingleTask(5, 2, hidden=(6, 6)).double()
    trunk = Sluice(5, 2, hidden=(6, 6), own=1.0, orthogonality=0.0).double()
    _as_networks(single, trunk)
    with torch.no_grad():
        for beta_L in trunk.betas:
            beta_L.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(trunk(x_BD), single(x_BD), rtol=1e-12, atol=1e-12)
    assert trunk.penalty() is None


def test_a_sluice_equals_loops_over_tasks_and_halves(x_BD: Tensor) -> None:
    single = SingleTask(5, 2, hidden=(6, 6)).double()
    trunk = Sluice(5, 2, hidden=(6, 6)).double()
    _set_random(trunk)
    _as_networks(single, trunk)
    hidden, layers = [x_BD] * 2, []
    for layer in range(2):
        own = [bottom[2 * layer](h).relu() for bottom, h in zip(single.bottoms, hidden)]
        halves = [half for h in own for half in h.chunk(2, dim=1)]
        hidden = [
            torch.cat([sum(w * half for w, half in zip(r, halves)) for r in row], dim=1)
            for row in trunk.stitches[layer]
        ]
        layers.append(hidden)
    expected = [
        sum(beta * layer[task] for beta, layer in zip(trunk.betas[task], layers))
        for task in range(2)
    ]
    torch.testing.assert_close(trunk(x_BD), expected)


def test_the_overlap_equals_the_golden_value(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["orthogonality"]
    shared, private = (torch.tensor(golden[key], dtype=torch.float64) for key in ("S", "H"))
    overlap = squared_overlap(shared, private)
    assert overlap.item() == pytest.approx(golden["raw_frobenius2"], abs=1e-12)


def test_the_penalty_compares_every_unit_of_a_half_with_every_one_of_the_other() -> None:
    trunk = Sluice(5, 2, hidden=(6, 6), orthogonality=0.7).double()
    expected = torch.zeros((), dtype=torch.float64)
    first, later = trunk.networks.first.weight, trunk.networks.weights[0]
    for task in range(2):
        for units_HI in (first[6 * task : 6 * task + 6], later[task].T):
            for one in units_HI[:3]:
                for other in units_HI[3:]:
                    expected = expected + (one @ other) ** 2
    torch.testing.assert_close(trunk.penalty(), 0.7 * expected)


def test_halves_that_read_different_inputs_cost_nothing() -> None:
    trunk = Sluice(4, 1, hidden=(2,)).double()
    with torch.no_grad():
        weight = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0]]).double()
        trunk.networks.first.weight.copy_(weight)
    assert trunk.penalty().item() == 0


def test_what_a_sluice_explains() -> None:
    trunk = Sluice(5, 2, hidden=(6, 6))
    first, second, betas = trunk.explain(torch.zeros(1, 5)).stitches
    assert first.sources == ("task 1 half 1", "task 1 half 2", "task 2 half 1", "task 2 half 2")
    assert first.rows == first.sources
    assert betas.rows == ("task 1", "task 2")
    assert [first.layer, second.layer, betas.layer] == [1, 2, 2]
    others = 0.1 / 3
    expected = torch.full((4, 4), others) + (0.9 - others) * torch.eye(4)
    torch.testing.assert_close(first.weights_RS, expected)
    assert betas.sources == ("layer 1", "layer 2")
    torch.testing.assert_close(betas.weights_RS, torch.full((2, 2), 0.5))
    # Row 3 is task 2's second half, column 0 task 1's first.
    with torch.no_grad():
        trunk.stitches[0][1][1, 0] = 7.0
    assert trunk.explain(torch.zeros(1, 5)).stitches[0].weights_RS[3, 0] == 7.0


@pytest.mark.parametrize("hidden", [(6, 4), (5, 5)])
def test_layers_that_cannot_be_added_or_halved_are_refused(hidden: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one even width"):
        Sluice(5, 2, hidden=hidden)


@pytest.mark.parametrize("kind", [CrossStitch, Sluice])
def test_a_trunk_without_layers_is_refused(kind: type[CrossStitch | Sluice]) -> None:
    with pytest.raises(ValueError, match="layers must be at least 1"):
        kind(5, 2, hidden=())


def test_a_negative_orthogonality_is_refused() -> None:
    with pytest.raises(ValueError, match="orthogonality must be at least 0"):
        Sluice(5, 2, orthogonality=-0.1)
