"""MTAN in its dense form: masks against hand-computed values, and hard sharing with open masks."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polytask.trunks import MTAN, SharedBottom


@pytest.fixture
def x_BD() -> Tensor:
    return torch.randn(7, 5, dtype=torch.float64)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def _rule(*shape: int) -> Tensor:
    """The weights of the golden values, by their rule with factor 1."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (0.1 * ((7 * count + 3) % 11 - 5)).view(shape)


def test_a_mask_equals_the_golden_values(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "architectures.json").read_text())["mtan_fc"]
    values = {key: torch.tensor(value, dtype=torch.float64) for key, value in golden.items()}
    trunk = MTAN(4, 1, hidden=(3, 3), mask_hidden=2).double()
    second = trunk.attentions[0].masks[1]
    with torch.no_grad():
        for linear in _linears(trunk.attentions[0]):
            linear.weight.zero_()
            linear.bias.zero_()
        for linear, shape in zip(_linears(second), ((2, 6), (3, 2))):
            linear.weight.copy_(_rule(*shape))
    # A mask of zeros halves the first layer: a_hat_prev is half of u.
    torch.testing.assert_close(0.5 * values["u"], values["a_hat_prev"])
    seam = (torch.zeros(2, 4).double(), values["u"], values["p"])
    masks = trunk.attentions[0](seam)
    torch.testing.assert_close(masks[0], torch.full((2, 3), 0.5).double())
    torch.testing.assert_close(masks[1], values["mask"], rtol=0, atol=1e-12)
    torch.testing.assert_close(trunk.split(seam)[0], values["attended"], rtol=0, atol=1e-12)


def test_open_masks_are_hard_sharing(x_BD: Tensor) -> None:
    trunk = MTAN(5, 2, hidden=(6, 4)).double()
    bottom = SharedBottom(5, 2, hidden=(6, 4)).double()
    with torch.no_grad():
        for ours, theirs in zip(_linears(trunk.layers), _linears(bottom.bottom)):
            theirs.load_state_dict(ours.state_dict())
        for attention in trunk.attentions:
            for mask in attention.masks:
                _linears(mask)[-1].bias.fill_(60.0)
    torch.testing.assert_close(trunk(x_BD), bottom(x_BD), rtol=1e-12, atol=1e-12)


def test_masks_equal_the_formula_layer_by_layer(x_BD: Tensor) -> None:
    trunk = MTAN(5, 2, hidden=(6, 4, 3)).double()
    for task, output in enumerate(trunk(x_BD)):
        u, attended = x_BD, None
        for layer, mask in zip(trunk.layers, trunk.attentions[task].masks):
            p = layer(u)
            g, h = _linears(mask)
            read = u if attended is None else torch.cat([u, attended], dim=1)
            attended = h(g(read).relu()).sigmoid() * p
            u = p
        torch.testing.assert_close(output, attended)


def test_tasks_in_another_order_give_the_outputs_in_that_order(x_BD: Tensor) -> None:
    trunk = MTAN(5, 3, hidden=(6, 4)).double()
    outputs = trunk(x_BD)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    order = [2, 0, 1]
    trunk.attentions = nn.ModuleList(trunk.attentions[task] for task in order)
    torch.testing.assert_close(trunk(x_BD), [outputs[task] for task in order])


def test_the_explained_masks_are_those_that_mask(x_BD: Tensor) -> None:
    trunk = MTAN(5, 2, hidden=(6, 4)).double()
    masks = trunk.explain(x_BD).masks
    assert [(mask.task, mask.layer) for mask in masks] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [mask.values_BH.shape for mask in masks] == [(7, 6), (7, 4)] * 2
    assert all(((mask.values_BH > 0) & (mask.values_BH < 1)).all() for mask in masks)
    last = trunk.share(x_BD)[-1]
    for task, output in enumerate(trunk(x_BD)):
        torch.testing.assert_close(masks[2 * task + 1].values_BH * last, output)


def test_the_seam_is_the_input_and_every_shared_layer(x_BD: Tensor) -> None:
    trunk = MTAN(5, 2, hidden=(6, 4, 3)).double()
    assert [tensor.shape[1] for tensor in trunk.share(x_BD)] == [5, 6, 4, 3]


def test_the_width_inside_a_mask() -> None:
    for mask_hidden, widths in ((None, [6, 4]), (3, [3, 3])):
        trunk = MTAN(5, 1, hidden=(6, 4), mask_hidden=mask_hidden)
        insides = [_linears(mask)[0] for mask in trunk.attentions[0].masks]
        assert [linear.out_features for linear in insides] == widths
        assert [linear.in_features for linear in insides] == [5, 12]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": ()}, "layers must be at least 1"), ({"mask_hidden": 0}, "mask_hidden must be")],
)
def test_masks_without_anything_to_mask_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MTAN(5, 2, **options)


def test_dropout_acts_in_training_only() -> None:
    trunk = MTAN(5, 2, dropout=0.5)
    x_BD = torch.randn(64, 5)
    assert (trunk(x_BD)[0] - trunk(x_BD)[0]).abs().max() > 0
    trunk.eval()
    torch.testing.assert_close(trunk(x_BD), trunk(x_BD), rtol=0, atol=0)
