"""Gates as attention: the golden values, and when they are those of MMoE."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polytask.trunks import AttentionMoE, MMoE


def golden_trunk(goldens_folder: Path, **options: object) -> tuple[AttentionMoE, Tensor, dict]:
    golden = json.loads((goldens_folder / "architectures.json").read_text())
    mmoe = golden["mmoe"]
    trunk = AttentionMoE(3, 2, num_experts=3, expert_hidden=(2,), **options).double()
    weights, biases = (
        torch.tensor([expert[key] for expert in mmoe["experts"]], dtype=torch.float64)
        for key in ("W", "b")
    )
    with torch.no_grad():
        trunk.experts.first.weight.copy_(weights.flatten(0, 1))
        trunk.experts.first.bias.copy_(biases.flatten())
    return trunk, torch.tensor(mmoe["x"], dtype=torch.float64), golden["attention_gate"]


@pytest.mark.parametrize(
    ("temperature", "key"), [(1.0, "equals_mmoe_gate0"), (None, "with_scale_1_over_sqrt_d")]
)
def test_static_keys_equal_the_golden_weights(
    goldens_folder: Path, temperature: float | None, key: str
) -> None:
    """With W_k the identity the keys are the rows of MMoE's gate."""
    trunk, x_BD, golden = golden_trunk(goldens_folder, key_dim=3, temperature=temperature)
    with torch.no_grad():
        trunk.keys.keys_EK.copy_(torch.tensor(golden["static_keys"], dtype=torch.float64))
        trunk.queries.linears[0].weight.copy_(torch.eye(3))
    expected = torch.tensor(golden[key], dtype=torch.float64)
    gate = trunk.explain(x_BD).gates[0]
    torch.testing.assert_close(gate.weights_BE, expected, rtol=0, atol=1e-12)


def test_dynamic_keys_equal_the_golden_weights(goldens_folder: Path) -> None:
    trunk, x_BD, golden = golden_trunk(goldens_folder, keys="dynamic", query="shared", key_dim=2)
    with torch.no_grad():
        trunk.keys.weight.copy_(torch.eye(2))
        trunk.queries.linear.weight.copy_(torch.tensor(golden["Wq"], dtype=torch.float64))
        offset_D = torch.tensor(golden["task_query_offset"], dtype=torch.float64)
        trunk.queries.tokens[1].copy_(offset_D)
    expected = torch.tensor(golden["dynamic"], dtype=torch.float64)
    gate = trunk.explain(x_BD).gates[1]
    torch.testing.assert_close(gate.weights_BE, expected, rtol=0, atol=1e-12)


def test_static_keys_and_linear_queries_are_mmoe() -> None:
    """W_gk = K W_k / temperature."""
    trunk = AttentionMoE(5, 2, num_experts=3, expert_hidden=(6, 4), key_dim=7).double()
    mmoe = MMoE(5, 2, num_experts=3, expert_hidden=(6, 4)).double()
    mmoe.experts.load_state_dict(trunk.experts.state_dict())
    with torch.no_grad():
        for gate, linear in zip(mmoe.gates, trunk.queries.linears):
            gate.linear.weight.copy_(trunk.keys.keys_EK @ linear.weight / 7**0.5)
    x_BD = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(trunk(x_BD), mmoe(x_BD), rtol=1e-12, atol=1e-12)


def test_a_token_with_static_keys_mixes_all_rows_alike() -> None:
    trunk = AttentionMoE(5, 2, num_experts=3, query="token").double()
    gates = trunk.explain(torch.randn(6, 5, dtype=torch.float64)).gates
    for gate in gates:
        torch.testing.assert_close(gate.weights_BE, gate.weights_BE[:1].expand(6, -1))
    assert (gates[0].weights_BE - gates[1].weights_BE).abs().max() > 1e-3


def test_a_token_with_dynamic_keys_sees_the_row_through_the_experts() -> None:
    trunk = AttentionMoE(5, 2, num_experts=3, query="token", keys="dynamic").double()
    weights_BE = trunk.explain(torch.randn(6, 5, dtype=torch.float64)).gates[0].weights_BE
    assert weights_BE.std(dim=0).max() > 1e-3


def test_each_head_mixes_its_own_slice() -> None:
    """Two heads with the queries and keys of two networks with one head."""
    trunk = AttentionMoE(5, 1, num_experts=3, expert_hidden=(4,), num_heads=2, key_dim=6).double()
    x_BD = torch.randn(7, 5, dtype=torch.float64)
    experts_BEH = trunk.share(x_BD)[0]
    halves, mean = [], 0
    for head in range(2):
        place = slice(6 * head, 6 * (head + 1))
        query_BK = x_BD @ trunk.queries.linears[0].weight[place].T
        logits_BE = query_BK @ trunk.keys.keys_EK[:, place].T / 6**0.5
        weights_BE = logits_BE.softmax(dim=1)
        mean = mean + weights_BE / 2
        half_BEH = experts_BEH[:, :, 2 * head : 2 * (head + 1)]
        halves.append(torch.einsum("be,beh->bh", weights_BE, half_BEH))
    torch.testing.assert_close(trunk(x_BD)[0], torch.cat(halves, dim=1))
    torch.testing.assert_close(trunk.explain(x_BD).gates[0].weights_BE, mean)


def test_logits_start_as_spread_as_those_of_a_linear_gate() -> None:
    """Keys or tokens that start small would start with an even mixture, and learn slowly."""
    torch.manual_seed(0)
    x_BD = torch.randn(500, 64)
    ours = AttentionMoE(64, 8, expert_hidden=(4,)).explain(x_BD).gates
    theirs = MMoE(64, 8, expert_hidden=(4,)).explain(x_BD).gates
    spreads = [
        torch.stack([gate.weights_BE.log().std() for gate in gates]).mean()
        for gates in (ours, theirs)
    ]
    assert 0.7 < spreads[0] / spreads[1] < 1.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "a multiple of num_heads"),
        ({"keys": "fixed"}, 'keys must be "static" or "dynamic"'),
        ({"query": "none"}, "query must be one of linear, token, shared"),
        ({"key_dim": 0}, "key_dim must be at least 1"),
        ({"temperature": -1.0}, "temperature must be positive"),
        ({"top_k": 9}, "top_k=9"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttentionMoE(5, 2, **options)
