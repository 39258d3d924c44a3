"""Cross layers against their formula, and where they stand in x."""

import pyarrow as pa
import torch

from polytask.inputs import FittedInputs
from polytask.inputs.crosses import CrossLayers


def test_the_formula_of_dcn_v2() -> None:
    layers = CrossLayers(3, num_layers=2, rank=2)
    x_B3 = torch.randn(5, 3)
    expected = x_B3
    torch.testing.assert_close(layers(x_B3), x_B3)
    torch.nn.init.normal_(layers.bias_LF)
    torch.nn.init.normal_(layers.up_LFR)
    for down, up, bias in zip(layers.down_LRF, layers.up_LFR, layers.bias_LF):
        expected = x_B3 * (expected @ (up @ down).T + bias) + expected
    torch.testing.assert_close(layers(x_B3), expected)


def test_they_are_the_last_of_the_encoder() -> None:
    table = pa.table({"a": [1.0, 2.0, 5.0], "b": ["x", "y", "x"]})
    inputs = FittedInputs.fit(table, {"numeric": ["a"], "categorical": ["b"]})
    torch.manual_seed(0)
    plain = inputs.encoder()
    torch.manual_seed(0)
    crossed = inputs.encoder(cross_layers=2, cross_rank=4)
    assert crossed.features == plain.features and crossed.out_features == plain.out_features
    torch.nn.init.normal_(crossed.crosses.up_LFR)
    batch = inputs.encode(table)
    num_features = len(plain.features)
    expected_BF = crossed.crosses(plain(batch)[:, :num_features])
    torch.testing.assert_close(crossed(batch)[:, :num_features], expected_BF)
    assert not torch.allclose(expected_BF, plain(batch)[:, :num_features])
    assert (crossed(batch)[:, num_features:] == 0).all()


def test_a_warm_start_takes_the_entries_in_common() -> None:
    old, new = (CrossLayers(size, num_layers=2, rank=2) for size in (3, 4))
    torch.nn.init.normal_(old.bias_LF)
    torch.nn.init.normal_(old.up_LFR)
    assert new.inherit(old, [1, 3], [2, 0]) == 4
    assert torch.equal(new.down_LRF[..., [1, 3]], old.down_LRF[..., [2, 0]])
    assert torch.equal(new.up_LFR[:, [1, 3]], old.up_LFR[:, [2, 0]])
    assert torch.equal(new.bias_LF[:, [1, 3]], old.bias_LF[:, [2, 0]])
    assert CrossLayers(3, num_layers=1, rank=2).inherit(old, [0], [0]) == 0
    assert CrossLayers(3, num_layers=2, rank=1).inherit(old, [0], [0]) == 0


def test_the_pass_by_hand_has_autograd_s_gradients() -> None:
    """Value, gradients and second derivatives, with and without zeros at the end."""
    torch.manual_seed(0)
    layers = CrossLayers(6, num_layers=3, rank=2).double()
    torch.nn.init.normal_(layers.bias_LF)
    torch.nn.init.normal_(layers.up_LFR)
    x_BF = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    leaves = (x_BF, *layers.parameters())

    def crossed(x_BF: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layers(x_BF, 2)

    assert torch.autograd.gradcheck(crossed, leaves)
    assert torch.autograd.gradgradcheck(crossed, leaves)
    with torch.no_grad():
        torch.testing.assert_close(layers(x_BF, 2), crossed(*leaves).detach())
        assert (layers(x_BF, 2)[:, 6:] == 0).all()
