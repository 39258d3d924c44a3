"""Poolings against their formulas, row by row without padding; and what padding may not change."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.inputs.sequence_encoder import PaddedEmbedding, PaddedEncoder
from polytask.inputs.sequence_padding import cut, padded, padding_share
from polytask.inputs.sequence_pooling import (
    ConvolutionPooling,
    Pooling,
    PoolingName,
    TransformerPooling,
)
from polytask.streams import epoch_order, order_by_length

NAMES: tuple[PoolingName, ...] = ("mean", "cnn", "lstm", "gru", "transformer")
LENGTHS = (5, 1, 0, 3)


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    """Four rows of up to 5 vectors of 6 numbers, with noise where no entry is."""
    x_BLK = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))
    return x_BLK, torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)


def pooling(name: PoolingName, num_layers: int = 1) -> nn.Module:
    torch.manual_seed(1)
    return Pooling(name, 12, num_layers=num_layers).module(6, longest=9).eval()


@pytest.mark.parametrize("name", NAMES)
def test_noise_and_length_of_the_padding_change_nothing(
    name: PoolingName, rows: tuple[Tensor, Tensor]
) -> None:
    x_BLK, is_entry_BL = rows
    module = pooling(name, 2)
    expected_BH = module(x_BLK, is_entry_BL)
    other_BLK = torch.where(is_entry_BL.unsqueeze(-1), x_BLK, 100 * torch.randn_like(x_BLK))
    torch.testing.assert_close(module(other_BLK, is_entry_BL), expected_BH)
    longer_BLK = torch.cat([x_BLK, torch.randn(4, 4, 6)], dim=1)
    longer = module(longer_BLK, nn.functional.pad(is_entry_BL, (0, 4)))
    torch.testing.assert_close(longer, expected_BH)
    for row, length in enumerate(LENGTHS):
        size = max(length, 1)
        alone = module(x_BLK[row : row + 1, :size], is_entry_BL[row : row + 1, :size])
        torch.testing.assert_close(alone, expected_BH[row : row + 1])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_padding_has_no_gradient(name: PoolingName, rows: tuple[Tensor, Tensor]) -> None:
    x_BLK, is_entry_BL = rows
    x_BLK = x_BLK.clone().requires_grad_()
    pooling(name)(x_BLK, is_entry_BL).square().sum().backward()
    assert x_BLK.grad is not None
    assert (x_BLK.grad[~is_entry_BL] == 0).all()
    assert (x_BLK.grad[is_entry_BL] != 0).any(dim=-1).all()


def test_the_mean_is_that_of_the_entries(rows: tuple[Tensor, Tensor]) -> None:
    x_BLK, is_entry_BL = rows
    mean_BK = pooling("mean")(x_BLK, is_entry_BL)
    for row, length in enumerate(LENGTHS):
        expected_K = x_BLK[row, :length].mean(dim=0) if length else torch.zeros(6)
        torch.testing.assert_close(mean_BK[row], expected_K)


def test_convolutions_are_the_largest_of_all_windows(rows: tuple[Tensor, Tensor]) -> None:
    """Kim (2014), eq. 2 and 4: max over i of relu(w . x_{i:i+h-1} + b)."""
    x_BLK, is_entry_BL = rows
    module = pooling("cnn")
    assert isinstance(module, ConvolutionPooling)
    found_BH = module(x_BLK, is_entry_BL)
    for row, length in enumerate(LENGTHS):
        words_LK = torch.cat([x_BLK[row, :length], torch.zeros(4, 6)])
        expected = []
        for convolution in module.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            (width,) = convolution.kernel_size
            windows = [words_LK[i : i + width].T for i in range(length)]
            values = [(convolution.weight * w).sum(dim=(1, 2)) + convolution.bias for w in windows]
            expected.append(torch.stack([torch.zeros(4), *values]).amax(dim=0))
        torch.testing.assert_close(found_BH[row], torch.cat(expected))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_recurrent_pooling_is_the_largest_of_the_states(
    name: PoolingName, rows: tuple[Tensor, Tensor]
) -> None:
    x_BLK, is_entry_BL = rows
    module = pooling(name, 2)
    found_BH = module(x_BLK, is_entry_BL)
    for row, length in enumerate(LENGTHS):
        if length == 0:
            assert (found_BH[row] == 0).all()
            continue
        states_1LH, _ = module.recurrent(x_BLK[row : row + 1, :length])
        torch.testing.assert_close(found_BH[row], states_1LH[0].amax(dim=0))


def test_a_transformer_is_torchs(rows: tuple[Tensor, Tensor]) -> None:
    """One layer beside nn.TransformerEncoderLayer(norm_first=True) of the same weights."""
    module = TransformerPooling(8, longest=5, num_heads=2).eval()
    layer = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    (mine,) = module.layers
    names = {
        "self_attn.in_proj_weight": "attention_in.weight",
        "self_attn.in_proj_bias": "attention_in.bias",
        "self_attn.out_proj.weight": "attention_out.weight",
        "self_attn.out_proj.bias": "attention_out.bias",
        "linear1.weight": "perceptron.0.weight",
        "linear1.bias": "perceptron.0.bias",
        "linear2.weight": "perceptron.2.weight",
        "linear2.bias": "perceptron.2.bias",
        "norm1.weight": "attention_norm.weight",
        "norm1.bias": "attention_norm.bias",
        "norm2.weight": "norm.weight",
        "norm2.bias": "norm.bias",
    }
    weights = mine.state_dict()
    layer.load_state_dict({theirs: weights[ours] for theirs, ours in names.items()})
    _, is_entry_BL = rows
    x_BLK = torch.randn(4, 5, 8)
    found_BK = module(x_BLK, is_entry_BL)
    for row, length in enumerate(LENGTHS):
        if length == 0:
            assert (found_BK[row] == 0).all()
            continue
        x_1LK = x_BLK[row : row + 1, :length] + module.positions.weight[:length]
        torch.testing.assert_close(found_BK[row], module.norm(layer(x_1LK))[0].mean(dim=0))


def test_widths_that_do_not_part_are_refused() -> None:
    with pytest.raises(UserError, match="a multiple of 3"):
        Pooling("cnn", 16)
    with pytest.raises(UserError, match="not a multiple of num_heads=4"):
        Pooling("transformer", 18)
    with pytest.raises(UserError, match="must be positive"):
        Pooling("gru", 18, num_layers=0)


def test_padded_keeps_the_first_or_the_last_entries() -> None:
    ids_N, lengths_B = np.arange(1, 8), np.array([4, 0, 1, 2])
    assert padded(ids_N, lengths_B, 3).tolist() == [[1, 2, 3], [0, 0, 0], [5, 0, 0], [6, 7, 0]]
    last = padded(ids_N, lengths_B, 3, keep_last=True)
    assert last.tolist() == [[2, 3, 4], [0, 0, 0], [5, 0, 0], [6, 7, 0]]
    assert padded(np.array([], int), np.array([0, 0]), 2).tolist() == [[0, 0], [0, 0]]
    assert last.dtype == np.int32


def test_a_batch_is_cut_to_its_longest_row() -> None:
    ids_BL = torch.tensor([[3, 0, 0, 0], [1, 2, 0, 0]], dtype=torch.int32)
    assert cut(ids_BL).shape == (2, 2)
    assert cut(torch.zeros(3, 4, dtype=torch.int32)).shape == (3, 1)
    calls = []
    encoder = PaddedEncoder(PaddedEmbedding(9, 4), Pooling("mean", 1), longest=4)
    encoder.pooling.register_forward_pre_hook(lambda module, args: calls.append(args[0].shape[1]))
    encoder(ids_BL)
    assert calls == [2]


def test_the_padding_of_batches_by_length_is_less() -> None:
    lengths_B = torch.randint(1, 40, (1000,), generator=torch.Generator().manual_seed(0))
    chance = padding_share(lengths_B, epoch_order(1000, seed=0, epoch=0), 32)
    length = padding_share(lengths_B, order_by_length(lengths_B, 32, seed=0, epoch=0), 32)
    assert length < 0.1 < 0.4 < chance
    assert math.isclose(padding_share(torch.tensor([1, 3]), torch.arange(2), 2), 1 / 3)
