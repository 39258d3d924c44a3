"""MMoE against hand-computed values, a loop over experts, and what it reduces to."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polytask.trunks import Experts, Gate, MMoE, OMoE, Routing, SharedBottom, Trunk, mix
from polytask.trunks.blocks import rectified


def test_mmoe_equals_the_golden_forward_pass(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["mmoe"]
    x_BD = torch.tensor(golden["x"], dtype=torch.float64)
    weights = torch.tensor([expert["W"] for expert in golden["experts"]], dtype=torch.float64)
    biases = torch.tensor([expert["b"] for expert in golden["experts"]], dtype=torch.float64)
    num_experts, width, num_features = weights.shape
    trunk = MMoE(num_features, 2, num_experts=num_experts, expert_hidden=(width,)).double()
    with torch.no_grad():
        trunk.experts.first.weight.copy_(weights.flatten(0, 1))
        trunk.experts.first.bias.copy_(biases.flatten())
        for gate, golden_gate in zip(trunk.gates, golden["gates"]):
            gate.linear.weight.copy_(torch.tensor(golden_gate, dtype=torch.float64))
    experts = torch.tensor(golden["expert_out"], dtype=torch.float64)
    torch.testing.assert_close(trunk.share(x_BD)[1], experts, rtol=0, atol=1e-12)
    mixed = torch.tensor(golden["mixed"], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(trunk(x_BD)), mixed, rtol=0, atol=1e-12)


def _as_a_loop(experts: Experts, x_BD: Tensor) -> Tensor:
    outputs = []
    for e in range(experts.num_experts):
        width = experts.first.out_features // experts.num_experts
        rows = slice(e * width, (e + 1) * width)
        hidden = torch.relu(x_BD @ experts.first.weight[rows].T + experts.first.bias[rows])
        for weight, bias in zip(experts.weights, experts.biases):
            hidden = torch.relu(hidden @ weight[e] + bias[e])
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("hidden", [(4,), (6, 3), (5, 4, 2)])
def test_batched_experts_equal_a_loop_over_experts(hidden: tuple[int, ...]) -> None:
    experts = Experts(5, 3, hidden=hidden).double()
    x_BD = torch.randn(9, 5, dtype=torch.float64)
    torch.testing.assert_close(experts(x_BD), _as_a_loop(experts, x_BD), rtol=1e-12, atol=1e-12)


def test_one_expert_is_a_shared_bottom() -> None:
    trunk = MMoE(5, 2, num_experts=1, expert_hidden=(6,)).double()
    bottom = SharedBottom(5, 2, hidden=(6,)).double()
    linear = bottom.bottom[0]
    assert isinstance(linear, nn.Linear)
    linear.load_state_dict(trunk.experts.first.state_dict())
    x_BD = torch.randn(4, 5, dtype=torch.float64)
    for ours, theirs in zip(trunk(x_BD), bottom(x_BD)):
        torch.testing.assert_close(ours, theirs)


def test_experts_may_be_permuted_with_their_gates() -> None:
    trunk = MMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    permuted = MMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        for name in ("weight", "bias"):
            theirs = getattr(trunk.experts.first, name).unflatten(0, (3, 4))[order].flatten(0, 1)
            getattr(permuted.experts.first, name).copy_(theirs)
        for ours, theirs in zip(permuted.gates, trunk.gates):
            ours.linear.weight.copy_(theirs.linear.weight[order])
    x_BD = torch.randn(6, 5, dtype=torch.float64)
    for ours, theirs in zip(permuted(x_BD), trunk(x_BD)):
        torch.testing.assert_close(ours, theirs)


def test_gate_rows_sum_to_one_and_the_gate_has_no_bias() -> None:
    gate = Gate(5, 4)
    assert [name for name, _ in gate.named_parameters()] == ["linear.weight"]
    torch.testing.assert_close(gate(torch.randn(8, 5)).sum(dim=1), torch.ones(8))


def test_the_explained_gates_are_those_that_mix() -> None:
    trunk = MMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    x_BD = torch.randn(6, 5, dtype=torch.float64)
    experts_BEH = trunk.share(x_BD)[1]
    for gate, mixed in zip(trunk.explain(x_BD).gates, trunk(x_BD)):
        assert gate.experts == ("expert 1", "expert 2", "expert 3")
        torch.testing.assert_close(mix(gate.weights_BE, experts_BEH), mixed)


def test_mix_is_the_weighted_mean() -> None:
    gate_BE, experts_BEH = torch.rand(3, 2), torch.randn(3, 2, 4)
    expected = torch.einsum("be,beh->bh", gate_BE, experts_BEH)
    torch.testing.assert_close(mix(gate_BE, experts_BEH), expected)


def test_experts_start_different_and_scaled_by_their_input() -> None:
    """A constant start keeps all units of an expert equal for ever (a public defect)."""
    experts = Experts(100, 4, hidden=(16, 8))
    rows = experts.first.weight.unflatten(0, (4, 16))
    assert (rows[0] - rows[1]).abs().max() > 0
    assert torch.linalg.matrix_rank(rows[0]) == 16
    # He et al., ICCV 2015: sqrt(2 / inputs), and what passes a layer with its ReLU keeps its size.
    assert experts.first.weight.std().item() == pytest.approx(math.sqrt(2 / 100), rel=0.1)
    assert experts.weights[0].std().item() == pytest.approx(math.sqrt(2 / 16), rel=0.15)
    assert not any(bias.any() for bias in (experts.first.bias, *experts.biases))
    deep = Experts(64, 1, hidden=(256, 256, 256))
    sizes = deep(torch.randn(500, 64)).square().mean()
    assert sizes.item() == pytest.approx(1, rel=0.5)


def test_dropout_acts_in_training_only() -> None:
    trunk = MMoE(5, 2, dropout=0.5)
    x_BD = torch.randn(64, 5)
    assert (trunk(x_BD)[0] - trunk(x_BD)[0]).abs().max() > 0
    trunk.eval()
    torch.testing.assert_close(trunk(x_BD), trunk(x_BD))


def test_omoe_equals_the_golden_output_of_gate_0(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["mmoe"]
    x_BD = torch.tensor(golden["x"], dtype=torch.float64)
    weights = torch.tensor([expert["W"] for expert in golden["experts"]], dtype=torch.float64)
    biases = torch.tensor([expert["b"] for expert in golden["experts"]], dtype=torch.float64)
    trunk = OMoE(3, 2, num_experts=3, expert_hidden=(2,)).double()
    with torch.no_grad():
        trunk.experts.first.weight.copy_(weights.flatten(0, 1))
        trunk.experts.first.bias.copy_(biases.flatten())
        trunk.gate.linear.weight.copy_(torch.tensor(golden["gates"][0], dtype=torch.float64))
    for tower, mixed_BH, y in zip(golden["towers"], trunk(x_BD), golden["y_omoe_using_gate0"]):
        weight, bias = (torch.tensor(tower[key], dtype=torch.float64) for key in ("W", "b"))
        expected = torch.tensor(y, dtype=torch.float64)
        torch.testing.assert_close(mixed_BH @ weight.T + bias, expected, rtol=0, atol=1e-12)


def test_mmoe_with_equal_gates_is_omoe() -> None:
    trunk = MMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    one = OMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    one.experts.load_state_dict(trunk.experts.state_dict())
    for gate in trunk.gates:
        gate.load_state_dict(one.gate.state_dict())
    x_BD = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(trunk(x_BD), one(x_BD))


def test_the_options_of_a_gate_are_off_by_default_and_draw_nothing() -> None:
    """Seeds of earlier versions give the same networks: names, shapes, order of draws."""
    torch.manual_seed(3)
    trunk = MMoE(5, 2, num_experts=3, expert_hidden=(4, 2))
    names = [name for name, _ in trunk.named_parameters()]
    assert names == [
        *("experts.first.weight", "experts.first.bias", "experts.weights.0", "experts.biases.0"),
        *("gates.0.linear.weight", "gates.1.linear.weight"),
    ]
    torch.manual_seed(3)
    first = rectified(5, 3 * 4)
    torch.testing.assert_close(trunk.experts.first.weight, first.weight, rtol=0, atol=0)
    torch.randn(3, 4, 2)
    gate = nn.Linear(5, 3, bias=False)
    torch.testing.assert_close(trunk.gates[0].linear.weight, gate.weight, rtol=0, atol=0)
    before = torch.get_rng_state()
    trunk(torch.ones(4, 5))
    assert torch.equal(before, torch.get_rng_state())


def test_a_gate_s_bias_and_temperature() -> None:
    gate = Gate(5, 4, bias=True, temperature=0.5).double()
    x_BD = torch.randn(8, 5, dtype=torch.float64)
    logits_BE = x_BD @ gate.linear.weight.T + gate.linear.bias
    torch.testing.assert_close(gate(x_BD), torch.softmax(2 * logits_BE, dim=1))


def test_top_k_is_the_softmax_of_the_k_largest_and_the_first_of_equal_ones() -> None:
    routing = Routing(4, top_k=2)
    logits_BE = torch.tensor([[1.0, 3.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0], [0.0, 1.0, 1.0, 1.0]])
    weights_BE = routing(logits_BE)
    half = [[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]
    expected = torch.softmax(torch.tensor([3.0, 2.0]), dim=0)
    torch.testing.assert_close(weights_BE[0, 1:3], expected)
    assert weights_BE[0, [0, 3]].tolist() == [0, 0]
    torch.testing.assert_close(weights_BE[1:], torch.tensor(half))


def test_top_k_of_all_experts_is_dense() -> None:
    logits_BE = torch.randn(6, 4)
    torch.testing.assert_close(Routing(4, top_k=4)(logits_BE), logits_BE.softmax(dim=1))


@pytest.mark.parametrize("top_k", [None, 2])
def test_gate_dropout_leaves_experts_out_in_training_but_never_all(top_k: int | None) -> None:
    torch.manual_seed(0)
    routing = Routing(4, dropout=0.9, top_k=top_k)
    logits_BE = torch.randn(2000, 4, requires_grad=True)
    weights_BE = routing(logits_BE)
    torch.testing.assert_close(weights_BE.sum(dim=1), torch.ones(2000))
    dropped_BE = weights_BE == 0
    # Each by 0.9, but one stays in the 0.9^4 of the rows that would lose all.
    assert dropped_BE.float().mean() == pytest.approx(0.9 - 0.9**4 / 4, abs=0.01)
    alone_B = dropped_BE.sum(dim=1) == 3
    assert alone_B.float().mean() == pytest.approx(0.9**4 + 4 * 0.1 * 0.9**3, abs=0.02)
    weights_BE.square().sum().backward()
    assert logits_BE.grad is not None and logits_BE.grad.isfinite().all()
    routing.eval()
    torch.testing.assert_close(routing(logits_BE), Routing(4, top_k=top_k).eval()(logits_BE))


def test_what_gate_dropout_leaves_is_the_softmax_of_the_rest() -> None:
    torch.manual_seed(0)
    logits_BE = torch.randn(50, 4)
    weights_BE = Routing(4, dropout=0.5)(logits_BE)
    left_BE = logits_BE.masked_fill(weights_BE == 0, -torch.inf).softmax(dim=1)
    torch.testing.assert_close(weights_BE, left_BE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 5}, "from 1 to the number of experts that a gate mixes, 4, but top_k=5"),
        ({"top_k": 0}, "top_k=0"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"gate_dropout": 1.0}, r"in \[0, 1\)"),
    ],
)
@pytest.mark.parametrize("kind", [OMoE, MMoE])
def test_impossible_options_of_a_gate_are_refused(
    kind: type[Trunk], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(5, 2, num_experts=4, **options)


def test_the_gate_of_omoe_belongs_to_all_tasks() -> None:
    trunk = OMoE(5, 2, num_experts=3, expert_hidden=(4,)).double()
    x_BD = torch.randn(6, 5, dtype=torch.float64)
    (gate,), (outputs,) = trunk.explain(x_BD).gates, trunk.explain(x_BD).experts
    assert gate.task is None
    torch.testing.assert_close(mix(gate.weights_BE, outputs.outputs_BEH), trunk(x_BD)[1])


def test_under_bf16_weights_are_float32_and_rows_sum_to_one() -> None:
    trunk = MMoE(5, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (first, _) = trunk.explain(torch.randn(8, 5)).gates
        mixed = trunk(torch.randn(8, 5))
    assert first.weights_BE.dtype == torch.float32 and mixed[0].dtype == torch.bfloat16
    torch.testing.assert_close(first.weights_BE.sum(dim=1), torch.ones(8))
