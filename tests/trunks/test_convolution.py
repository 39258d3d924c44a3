"""Trunks that read maps: beside the same written out, and beside each other where they are one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.trunks import ConvCrossStitch, ConvMTAN, ConvSharedBottom
from polytask.trunks.convolution import Convolved, Form, MapTrunk, Stage, halved
from polytask.trunks.testing import LAWS, Make

FORM: Form = (2, 6, 5)
NUM_FEATURES, NUM_ROWS, HIDDEN = 60, 4, (8, 12)
Kind = type[ConvSharedBottom] | type[ConvMTAN] | type[ConvCrossStitch]
KINDS: list[Kind] = [ConvSharedBottom, ConvMTAN, ConvCrossStitch]


@pytest.fixture
def x_BD() -> Tensor:
    return torch.randn(NUM_ROWS, NUM_FEATURES, dtype=torch.float64)


def made(kind: Kind, num_tasks: int = 2, **options: object) -> MapTrunk:
    trunk = kind(NUM_FEATURES, num_tasks, hidden=HIDDEN, form=FORM, **options)
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return trunk.double()


def convolved(block: nn.Module, maps: Tensor, networks: int = 1) -> Tensor:
    """The block by torch's functions, each network for itself."""
    convolution, norm, _ = block
    groups = norm.num_groups // networks
    parts = []
    for place, part in enumerate(maps.chunk(networks, dim=1)):
        weight, gain, bias = (
            each.chunk(networks)[place] for each in (convolution.weight, norm.weight, norm.bias)
        )
        found = functional.conv2d(part, weight, padding=weight.shape[-1] // 2)
        parts.append(functional.group_norm(found, groups, gain, bias).relu())
    return torch.cat(parts, dim=1)


def test_shared_bottom_is_the_stages_written_out(x_BD: Tensor) -> None:
    trunk = made(ConvSharedBottom)
    maps = x_BD.view(NUM_ROWS, *FORM)
    for number, stage in enumerate(trunk.stages):
        maps = functional.max_pool2d(maps, 2, ceil_mode=True) if number else maps
        maps = convolved(stage.second, convolved(stage.first, maps))
    assert maps.shape == (NUM_ROWS, 12, 3, 3)
    for output in trunk(x_BD):
        torch.testing.assert_close(output, maps.mean(dim=(2, 3)))


def test_masks_are_those_of_the_paper_stage_by_stage(x_BD: Tensor) -> None:
    trunk = made(ConvMTAN)
    explained = trunk.explain(x_BD).masks
    for task, output in enumerate(trunk(x_BD)):
        maps, attended = x_BD.view(NUM_ROWS, *FORM), None
        for number, (stage, (read, last, _)) in enumerate(
            zip(trunk.stages, trunk.attentions[task].masks)
        ):
            u = convolved(stage.first, halved(maps) if number else maps)
            maps = convolved(stage.second, u)
            entered = u if attended is None else torch.cat([u, halved(attended)], dim=1)
            mask = functional.conv2d(convolved(read, entered), last.weight, last.bias).sigmoid()
            attended = mask * maps
            found = explained[2 * task + number]
            assert (found.task, found.layer) == (task, number + 1)
            torch.testing.assert_close(found.values_BH, mask.mean(dim=(2, 3)))
        torch.testing.assert_close(output, attended.mean(dim=(2, 3)))


def test_open_masks_are_hard_sharing(x_BD: Tensor) -> None:
    trunk, bottom = made(ConvMTAN), made(ConvSharedBottom)
    bottom.stages.load_state_dict(trunk.stages.state_dict())
    with torch.no_grad():
        for attention in trunk.attentions:
            for _, last, _ in attention.masks:
                last.bias.fill_(60.0)
    torch.testing.assert_close(trunk(x_BD), bottom(x_BD), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
def test_stitches_mix_the_maps_of_networks_written_out(x_BD: Tensor, per_channel: bool) -> None:
    trunk = made(ConvCrossStitch, 3, own=0.7, per_channel=per_channel)
    maps = [x_BD.view(NUM_ROWS, *FORM)] * 3
    for number, stage in enumerate(trunk.networks):
        pooled = [halved(each) if number else each for each in maps]
        if number:
            pooled = mixed(trunk, number - 1, pooled)
        joined = convolved(
            stage.second, convolved(stage.first, torch.cat(pooled, dim=1), networks=3), networks=3
        )
        maps = [*joined.chunk(3, dim=1)]
    for output, each in zip(trunk(x_BD), mixed(trunk, 1, maps)):
        torch.testing.assert_close(output, each.mean(dim=(2, 3)))


def mixed(trunk: MapTrunk, layer: int, maps: list[Tensor]) -> list[Tensor]:
    """Eq. 1 of Misra et al., a task and a source at a time."""
    found = []
    for alphas in trunk.stitches[layer]:
        total = torch.zeros_like(maps[0])
        for alpha, source in zip(alphas, maps):
            total = total + (alpha if alpha.ndim == 0 else alpha[:, None, None]) * source
        found.append(total)
    return found


def test_without_mixing_cross_stitch_is_a_network_a_task(x_BD: Tensor) -> None:
    trunk = ConvCrossStitch(NUM_FEATURES, 2, hidden=HIDDEN, form=FORM, own=1.0).double()
    for task, output in enumerate(trunk(x_BD)):
        alone = ConvSharedBottom(NUM_FEATURES, 1, hidden=HIDDEN, form=FORM).double()
        with torch.no_grad():
            for ours, theirs in zip(alone.parameters(), trunk.networks.parameters()):
                ours.copy_(theirs.chunk(2)[task])
        torch.testing.assert_close(output, alone(x_BD)[0])


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_hold_over_maps_of_several_pixels(
    kind: Kind, law: Callable[[Make], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polytask.trunks.testing.NUM_FEATURES", NUM_FEATURES)

    def make(tasks: object) -> MapTrunk:
        torch.manual_seed(0)
        return made(kind, len(tasks)).eval()

    law(make)


def test_zeros_at_the_end_of_x_are_no_pixels(x_BD: Tensor) -> None:
    wide = ConvMTAN(NUM_FEATURES + 4, 2, hidden=HIDDEN, form=FORM).double()
    more = torch.cat([x_BD, torch.randn(NUM_ROWS, 4, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(wide(more), wide(torch.cat([x_BD, torch.zeros(NUM_ROWS, 4)], 1)))
    with pytest.raises(ValueError, match="more numbers than in_features=59"):
        ConvMTAN(NUM_FEATURES - 1, 2, form=FORM)


@pytest.mark.parametrize(("channels", "groups"), [(16, 4), (6, 2), (4, 2), (5, 1), (2, 1), (1, 1)])
def test_a_group_has_two_channels_or_more(channels: int, groups: int) -> None:
    assert Convolved(3, channels)[1].num_groups == groups
    assert Convolved(3, channels, networks=2)[1].num_groups == 2 * groups


def test_a_stage_keeps_the_size_of_what_passes() -> None:
    torch.manual_seed(0)
    u, p = Stage(3, 16)(torch.randn(64, 3, 8, 8))
    assert u.shape == p.shape == (64, 16, 8, 8)
    assert 0.4 < p.square().mean() < 0.6  # half of a normal's, by the ReLU
