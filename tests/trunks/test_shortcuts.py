"""Shortcuts around a trunk: the laws of trunks, the start at 0, whose gradient is whose, and when they are there."""

import pyarrow as pa
import pytest
import torch

from polytask.config import FitConfig, validate_config
from polytask.config.build import build_model
from polytask.config.presets import with_preset
from polytask.fitting.budget import with_budget
from polytask.inputs import FittedInputs
from polytask.task import Task, binary
from polytask.trunks import TRUNKS, Aligned, Trunk, WithShortcuts
from polytask.trunks.testing import LAWS, NUM_FEATURES, TASKS
from wrapped_trunks import maker


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", TRUNKS)
def test_every_trunk_with_shortcuts_obeys_every_law(name, law) -> None:
    law(maker(WithShortcuts, TRUNKS[name]))


@pytest.mark.parametrize("name", TRUNKS)
def test_at_first_outputs_and_penalty_are_those_of_the_trunk(name) -> None:
    trunk = TRUNKS[name](NUM_FEATURES, len(TASKS)).eval()
    x_BD = torch.randn(7, NUM_FEATURES)
    around = WithShortcuts(trunk, in_features=NUM_FEATURES)
    torch.testing.assert_close(around(x_BD), trunk(x_BD), rtol=0, atol=0)
    torch.testing.assert_close(around.penalty(), trunk.penalty(), rtol=0, atol=0)


@pytest.mark.parametrize("name", TRUNKS)
def test_x_stands_once_in_the_seam(name) -> None:
    trunk, x_BD = TRUNKS[name](NUM_FEATURES, 2), torch.randn(7, NUM_FEATURES)
    seam = WithShortcuts(trunk, in_features=NUM_FEATURES).share(x_BD)
    assert sum(tensor is x_BD for tensor in seam) == 1


def test_a_shortcut_is_the_linear_map_that_it_says() -> None:
    trunk = WithShortcuts(TRUNKS["shared_bottom"](4, 2, hidden=(3,)), in_features=4)
    x_BD = torch.randn(6, 4)
    without = trunk(x_BD)
    weight_HD = torch.randn(3, 4)
    with torch.no_grad():
        trunk.shortcuts[1].weight.copy_(weight_HD)
    first, second = trunk(x_BD)
    torch.testing.assert_close(first, without[0], rtol=0, atol=0)
    torch.testing.assert_close(second, without[1] + x_BD @ weight_HD.T)


@pytest.mark.parametrize("name", TRUNKS)
def test_a_task_moves_its_own_shortcut_alone(name) -> None:
    trunk = maker(WithShortcuts, TRUNKS[name])(TASKS)
    trunk(torch.randn(7, NUM_FEATURES, dtype=torch.float64))[1].square().sum().backward()
    moved = [
        weight.grad is not None and bool(weight.grad.any())
        for weight in trunk.shortcuts.parameters()
    ]
    assert moved == [False, True, False]


def trunk_of(config: FitConfig, num_tasks: int = 2) -> Trunk:
    table = pa.table({"x": [0.0, 1.0, 2.0]})
    inputs = FittedInputs.fit(table, {"numeric": ["x"]})
    tasks: list[Task] = [binary(name) for name in ("a", "b")]
    return build_model(config, tasks[:num_tasks], inputs=inputs).trunk


def test_by_the_rows_several_tasks_have_them_and_one_alone_has_none() -> None:
    few, many = (with_budget(validate_config({}), rows) for rows in (10_000, 10_001))
    assert isinstance(trunk_of(many), WithShortcuts)
    assert not isinstance(trunk_of(many, 1), WithShortcuts)
    assert not isinstance(trunk_of(few), WithShortcuts)
    asked = with_budget(validate_config({"shortcuts": True}), 400)
    assert isinstance(trunk_of(asked), WithShortcuts)


@pytest.mark.parametrize("more", [{"align": True}, {"trunk": "shared_private"}, {"preset": "fast"}])
def test_what_has_its_own_way_or_must_stay_the_same_goes_without(more) -> None:
    trunk = trunk_of(with_budget(with_preset(validate_config(more)), 50_000))
    assert not isinstance(trunk, WithShortcuts)
    assert not any(isinstance(part, WithShortcuts) for part in trunk.modules())
    assert isinstance(trunk, Aligned) == ("align" in more)
