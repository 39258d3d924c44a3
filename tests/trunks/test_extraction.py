"""CGC and PLE: goldens, reductions, and what public implementations get wrong."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import BALANCERS, balanced_backward
from polytask.trunks import CGC, PLE, Experts, Gate, MMoE, SingleTask, Trunk, mix
from polytask.trunks.levels import Level

# One layer of 4 units in every expert, so that experts can be copied from trunk to trunk.
SMALL = {"expert_hidden": (4,)}


@pytest.fixture
def x_BD() -> Tensor:
    torch.manual_seed(5)
    return torch.randn(7, 5, dtype=torch.float64)


def _golden(goldens_folder: Path) -> dict:
    return json.loads((goldens_folder / "architectures.json").read_text())


def _tensor(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _set(experts: Experts, weight: list, bias: list) -> None:
    with torch.no_grad():
        experts.first.weight.copy_(_tensor(weight))
        experts.first.bias.copy_(_tensor(bias))


def _set_gate(gate: Gate, x_BD: Tensor, weights: list) -> None:
    """The smallest matrix W with softmax(W x) = weights: the golden values hold weights only."""
    logits_BE = _tensor(weights).log()
    with torch.no_grad():
        gate.linear.weight.copy_((torch.linalg.pinv(x_BD) @ logits_BE).T)
    torch.testing.assert_close(gate(x_BD), _tensor(weights), rtol=0, atol=1e-12)


def _set_first_level(level: Level, golden: dict) -> None:
    """Of the MMoE golden's experts the second is the shared one."""
    mmoe = golden["mmoe"]
    for experts, e in zip([*level.own, level.shared], (0, 2, 1)):
        _set(experts, mmoe["experts"][e]["W"], mmoe["experts"][e]["b"])
    for gate, weights in zip(level.gates, golden["cgc"]["gate"]):
        _set_gate(gate, _tensor(mmoe["x"]), weights)


def test_cgc_equals_the_golden_mixtures(goldens_folder: Path) -> None:
    golden = _golden(goldens_folder)
    mmoe = golden["mmoe"]
    trunk = CGC(3, 2, num_task_experts=1, num_shared_experts=1, expert_hidden=(2,)).double()
    x_BD, expected = _tensor(mmoe["x"]), golden["cgc"]
    _set_first_level(trunk.levels[0], golden)
    torch.testing.assert_close(
        torch.stack(trunk(x_BD)), _tensor(expected["mixed"]), rtol=0, atol=1e-12
    )


def test_ple_equals_the_golden_levels(goldens_folder: Path) -> None:
    golden = _golden(goldens_folder)
    mmoe, expected = golden["mmoe"], golden["ple"]
    trunk = PLE(3, 2, num_task_experts=1, num_shared_experts=1, expert_hidden=(2,)).double()
    first, last = trunk.levels
    _set_first_level(first, golden)
    for experts, owner in zip([*last.own, last.shared], "ABS"):
        _set(experts, expected["level2_expert_W"][owner], [expected["level2_bias"]] * 2)
    x_BD = _tensor(mmoe["x"])
    _set_gate(first.shared_gate, x_BD, expected["shared_gate"])
    for gate, owner in zip(last.gates, "AB"):
        _set_gate(gate, _tensor(expected["level1"][owner]), expected["level2_gate"][owner])
    groups = first([x_BD, x_BD], x_BD)
    mixed = [*first.mix_all([x_BD, x_BD], groups), first.mix_shared(x_BD, groups)]
    level1 = [_tensor(expected["level1"][owner]) for owner in "ABS"]
    torch.testing.assert_close(mixed, level1, rtol=0, atol=1e-12)
    outputs = torch.stack(trunk(x_BD))
    level2 = torch.stack([_tensor(expected["level2"][owner]) for owner in "AB"])
    torch.testing.assert_close(outputs, level2, rtol=0, atol=1e-12)


def test_ple_of_one_level_is_cgc(x_BD: Tensor) -> None:
    cgc, ple = CGC(5, 3).double(), PLE(5, 3, num_levels=1).double()
    ple.load_state_dict(cgc.state_dict())
    torch.testing.assert_close(ple(x_BD), cgc(x_BD))
    for ours, theirs in zip(ple.share(x_BD), cgc.share(x_BD), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_cgc_without_own_experts_is_mmoe(x_BD: Tensor) -> None:
    cgc = CGC(5, 2, num_task_experts=0, num_shared_experts=3, **SMALL).double()
    mmoe = MMoE(5, 2, num_experts=3, **SMALL).double()
    mmoe.experts.load_state_dict(cgc.levels[0].shared.state_dict())
    mmoe.gates.load_state_dict(cgc.levels[0].gates.state_dict())
    torch.testing.assert_close(cgc(x_BD), mmoe(x_BD))


@pytest.mark.parametrize("make", [CGC, partial(PLE, num_levels=1)])
def test_one_own_expert_and_no_shared_one_is_single_task(
    make: Callable[..., Trunk], x_BD: Tensor
) -> None:
    trunk = make(5, 2, num_task_experts=1, num_shared_experts=0, **SMALL).double()
    single = SingleTask(5, 2, hidden=(4,)).double()
    level = trunk.levels[0]
    for bottom, own in zip(single.bottoms, level.own):
        bottom[0].load_state_dict(own.first.state_dict())
    torch.testing.assert_close(trunk(x_BD), single(x_BD))


def test_without_shared_experts_there_is_no_shared_gate_and_nothing_crosses(x_BD: Tensor) -> None:
    trunk = PLE(5, 2, num_levels=3, num_shared_experts=0).double()
    assert not any("shared" in name for name, _ in trunk.named_parameters())
    assert len(trunk.share(x_BD)) == 1
    first, _ = trunk(x_BD)
    others = [p for name, p in trunk.named_parameters() if ".1." in name.split("levels.")[1][1:]]
    gradients = torch.autograd.grad(first.sum(), others, allow_unused=True)
    assert others and all(gradient is None for gradient in gradients)


def _by_hand(trunk: PLE, x_BD: Tensor) -> list[Tensor]:
    """Section 3.3 term by term: every gate over the experts side by side, in the paper's order."""
    num_tasks = trunk.num_tasks
    selectors, common_BD = [x_BD] * num_tasks, x_BD
    for level in trunk.levels:
        groups = [own(s_BD) for own, s_BD in zip(level.own, selectors)]
        shared_BEH = level.shared(common_BD)
        next_selectors = []
        for gate, s_BD, own_BEH in zip(level.gates, selectors, groups):
            weights_BE = torch.softmax(s_BD @ gate.linear.weight.T, dim=1)
            next_selectors.append(
                torch.einsum("be,beh->bh", weights_BE, torch.cat([own_BEH, shared_BEH], dim=1))
            )
        if level.shared_gate is not None:
            weights_BE = torch.softmax(common_BD @ level.shared_gate.linear.weight.T, dim=1)
            everything_BEH = torch.cat([*groups, shared_BEH], dim=1)
            common_BD = torch.einsum("be,beh->bh", weights_BE, everything_BEH)
        selectors = next_selectors
    return selectors


@pytest.mark.parametrize("num_levels", [1, 2, 3])
def test_ple_equals_the_paper_s_formula(num_levels: int, x_BD: Tensor) -> None:
    trunk = PLE(
        5, 3, num_levels=num_levels, num_task_experts=[1, 3, 2], expert_hidden=(4, 3)
    ).double()
    torch.testing.assert_close(trunk(x_BD), _by_hand(trunk, x_BD), rtol=1e-12, atol=1e-12)


def test_below_merging_the_groups_run_side_by_side(x_BD: Tensor) -> None:
    """Level 1 of each owner is a mixture of its own; level 2 is CGC on what they return."""
    trunk = PLE(5, 2, merge_from=2, num_task_experts=2, num_shared_experts=3, **SMALL).double()
    first, last = trunk.levels
    columns = [
        mix(gate(x_BD), group(x_BD))
        for gate, group in zip([*first.gates, first.shared_gate], [*first.own, first.shared])
    ]
    shared_BEH = last.shared(columns[-1])
    for gate, own, h_BD, output in zip(last.gates, last.own, columns, trunk(x_BD)):
        expected = mix(gate(h_BD), torch.cat([own(h_BD), shared_BEH], dim=1))
        torch.testing.assert_close(output, expected)


def test_defect_a_shared_gates_mix_all_experts() -> None:
    """FuxiCTR and Merlin mix only the shared ones."""
    trunk = PLE(5, 2, num_task_experts=[1, 2], num_shared_experts=3)
    assert trunk.levels[0].shared_gate.linear.out_features == 1 + 2 + 3


def test_defect_b_no_parameter_is_left_without_a_gradient(x_BD: Tensor) -> None:
    """The last level has no shared gate (DeepCTR-Torch, FuxiCTR and MTReclib build one)."""
    trunk = PLE(5, 2, num_levels=3).double()
    assert [level.shared_gate is None for level in trunk.levels] == [False, False, True]
    sum(output.square().sum() for output in trunk(x_BD)).backward()
    for name, parameter in trunk.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize(("own", "shared"), [([1, 3], 2), ([2, 0], 1), (1, 3), (3, 1)])
def test_defect_c_counts_of_own_and_shared_experts_are_independent(
    own: int | list[int], shared: int, x_BD: Tensor
) -> None:
    """One count for all tasks, and shared experts built by the tasks' count (DeepCTR-Torch)."""
    trunk = PLE(5, 2, num_task_experts=own, num_shared_experts=shared).double()
    counts = own if isinstance(own, list) else [own, own]
    for level in trunk.levels:
        built = [getattr(group, "num_experts", 0) for group in (*level.own, level.shared)]
        assert built == [*counts, shared]
        assert [gate.linear.out_features for gate in level.gates] == [n + shared for n in counts]
    torch.testing.assert_close(trunk(x_BD), trunk.split(trunk.share(x_BD)))


def test_defect_d_a_batch_of_one_trains(x_BD: Tensor) -> None:
    """A bare squeeze() drops the batch (DeepCTR-Torch); gates with BatchNorm refuse it."""
    for num_tasks in (1, 2):
        trunk = PLE(5, num_tasks, gate_dropout=0.5, top_k=2, dropout=0.1).double().train()
        assert all(output.shape == (1, 32) for output in trunk(x_BD[:1]))


def test_shared_experts_read_the_shared_mixture_alone(x_BD: Tensor) -> None:
    """LibMTL applies them once more to every task's own features."""
    trunk = PLE(5, 2, **SMALL).double()
    seen: list[Tensor] = []
    trunk.levels[1].shared.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    trunk(x_BD)
    assert len(seen) == 1


def test_a_gate_belongs_to_its_task_by_parameter(x_BD: Tensor) -> None:
    trunk = CGC(5, 3)
    gates = [gate.linear.weight for gate in trunk.levels[0].gates]
    assert all(isinstance(weight, nn.Parameter) for weight in gates)
    assert len({weight.data_ptr() for weight in gates}) == 3


def test_widths_may_differ_by_level(x_BD: Tensor) -> None:
    trunk = PLE(5, 2, expert_hidden=[(8, 6), (3,)]).double()
    assert [level.out_features for level in trunk.levels] == [6, 3]
    assert trunk.out_features == 3 and trunk(x_BD)[0].shape == (7, 3)


def test_the_explained_weights_and_outputs_are_those_that_mix(x_BD: Tensor) -> None:
    trunk = PLE(5, 2, num_task_experts=[1, 2], num_shared_experts=2).double()
    explanation = trunk.explain(x_BD)
    *_, last = explanation.experts
    for gate, output in zip([g for g in explanation.gates if g.level == 2], trunk(x_BD)):
        places = [last.experts.index(name) for name in gate.experts]
        torch.testing.assert_close(mix(gate.weights_BE, last.outputs_BEH[:, places]), output)
    assert explanation.gates[1].experts == (
        "level 1, expert 1 of task 2",
        "level 1, expert 2 of task 2",
        "level 1, shared expert 1",
        "level 1, shared expert 2",
    )


@pytest.mark.parametrize(
    "options", [{}, {"num_shared_experts": 0}, {"merge_from": 2}, {"num_task_experts": [0, 2]}]
)
def test_gradient_rules_run_at_its_seam(options: dict, x_BD: Tensor) -> None:
    trunk = PLE(5, 2, **options).double()
    x_BD = nn.Linear(5, 5).double()(x_BD)
    seam = tuple(tensor.view_as(tensor) for tensor in trunk.share(x_BD))
    losses = [output.square().mean() for output in trunk.split(seam)]
    step = balanced_backward(losses, BALANCERS["mgda"](2), seam=seam)
    assert step.gram_TT is not None and step.gram_TT.diagonal().min() > 0


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (CGC, {"num_task_experts": [1, 2, 3]}, "one count or one for each of the 2 tasks"),
        (CGC, {"num_task_experts": -1}, "0 or more"),
        (CGC, {"num_task_experts": [0, 1], "num_shared_experts": 0}, "at least 1"),
        (CGC, {"top_k": 9}, "top_k=9"),
        (PLE, {"merge_from": 3}, "merge_from must be a level from 1 to num_levels=2"),
        (PLE, {"merge_from": 0}, "merge_from must be a level"),
        (PLE, {"merge_from": 2, "num_task_experts": [0, 1]}, "an expert of its own"),
        (PLE, {"expert_hidden": [(4,)]}, "one sequence of widths for each of the 2 levels"),
        (PLE, {"expert_hidden": ()}, "one sequence of widths for each of the 2 levels"),
        (PLE, {"num_levels": 0}, "num_levels must be at least 1"),
    ],
)
def test_impossible_options_are_refused(
    make: Callable[..., Trunk], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(5, 2, **options)
