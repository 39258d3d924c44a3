"""Options of which each task has an element: the same trunk for some of its tasks."""

import inspect

import pytest

from polytask.trunks import CGC, PLE, TRUNKS, MMoE, num_parameters


@pytest.mark.parametrize("kind", [CGC, PLE])
def test_a_task_alone_keeps_its_own_number_of_experts(kind: type[CGC | PLE]) -> None:
    options = {"num_task_experts": [2, 4], "expert_hidden": [16, 8]}
    for task, count in enumerate(options["num_task_experts"]):
        alone = kind(5, 1, **kind.options_for(options, [task]))
        by_count = kind(5, 1, num_task_experts=count, expert_hidden=(16, 8))
        assert num_parameters(alone) == num_parameters(by_count)


def test_some_tasks_in_any_order() -> None:
    options = {"num_task_experts": (1, 2, 3), "dropout": 0.1}
    assert CGC.options_for(options, [2, 0]) == {"num_task_experts": [3, 1], "dropout": 0.1}
    assert CGC.options_for({"num_task_experts": 4}, [1]) == {"num_task_experts": 4}


def test_widths_are_no_elements_of_tasks() -> None:
    options = {"expert_hidden": [64, 32]}
    assert MMoE.options_for(options, [1]) == options


@pytest.mark.parametrize("name", sorted(TRUNKS))
def test_a_per_task_option_is_an_option(name: str) -> None:
    assert TRUNKS[name].per_task_options <= set(inspect.signature(TRUNKS[name]).parameters)


def test_a_list_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="num_task_experts needs an element for each task"):
        CGC.options_for({"num_task_experts": [2, 4]}, [2])
