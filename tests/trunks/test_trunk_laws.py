"""Every trunk obeys the same laws: one table of members, one set of laws."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import balanced_backward
from polytask.balancing.balancer import GramRule
from polytask.balancing.measurement import Measurement
from polytask.balancing.reach import reach
from polytask.model import MultiTaskModel
from polytask.task import binary, regression
from polytask.trunks import (
    CGC,
    PLE,
    TRUNKS,
    AttentionMoE,
    ConvCrossStitch,
    CrossStitch,
    MMoE,
    SharedBottom,
    Trunk,
)
from polytask.trunks.testing import LAWS, Make, maker

NUM_FEATURES, NUM_TASKS, NUM_ROWS = 5, 3, 7

# Options under which what is shared, or how gates mix, is another than by default.
MEMBERS: dict[str, tuple[type[Trunk], dict[str, object]]] = {
    **{name: (kind, {}) for name, kind in TRUNKS.items()},
    "shared_bottom, two parts": (SharedBottom, {"num_shared_layers": 1}),
    "shared_bottom, own alone": (SharedBottom, {"num_shared_layers": 0}),
    "cross_stitch, per channel": (CrossStitch, {"hidden": (6, 4), "per_channel": True}),
    "conv_cross_stitch, per channel": (ConvCrossStitch, {"hidden": (6, 4), "per_channel": True}),
    "mmoe, top 2": (MMoE, {"gate_bias": True, "temperature": 0.5, "top_k": 2}),
    "attention_moe, tokens": (AttentionMoE, {"query": "token", "num_heads": 2}),
    "attention_moe, dynamic": (
        AttentionMoE,
        {"keys": "dynamic", "query": "shared", "num_heads": 4},
    ),
    "cgc, shared alone": (CGC, {"num_task_experts": 0}),
    "cgc, own alone": (CGC, {"num_shared_experts": 0}),
    "cgc, uneven": (CGC, {"num_task_experts": [1, 2, 0]}),
    "ple, one level": (PLE, {"num_levels": 1}),
    "ple, own alone": (PLE, {"num_shared_experts": 0}),
    "ple, shared alone": (PLE, {"num_task_experts": 0}),
    "ple, merged last": (PLE, {"merge_from": 2}),
    "ple, three levels": (PLE, {"num_levels": 3, "expert_hidden": [(16, 8), (12,), (10, 6)]}),
    "ple, merged from 2 of 3": (
        PLE,
        {"num_levels": 3, "merge_from": 2, "num_task_experts": [3, 4, 2], "gate_bias": True},
    ),
}


def make(name: str) -> Trunk:
    torch.manual_seed(0)
    kind, options = MEMBERS[name]
    return kind(NUM_FEATURES, NUM_TASKS, **options).double()


@pytest.fixture(params=sorted(MEMBERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def x_BD() -> Tensor:
    return torch.randn(NUM_ROWS, NUM_FEATURES, dtype=torch.float64)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[Make], None], name: str) -> None:
    law(maker(*MEMBERS[name]))


def test_gradients_at_x_are_finite_differences(name: str, x_BD: Tensor) -> None:
    trunk = make(name).eval()
    assert torch.autograd.gradcheck(
        lambda x_BD: tuple(trunk(x_BD)), x_BD.requires_grad_(), fast_mode=True
    )


# The tasks whose gates each level has, None for the gate that all tasks share.
EACH = [0, 1, 2]
GATES: dict[str, list[list[int | None]]] = {
    "omoe": [[None]],
    **{name: [EACH] for name in MEMBERS if name.startswith(("mmoe", "attention_moe", "cgc"))},
    **{name: [[*EACH, None], EACH] for name in ("ple", "ple, shared alone", "ple, merged last")},
    **{name: [[*EACH, None]] * 2 + [EACH] for name in MEMBERS if " 3" in name or "three" in name},
    "ple, one level": [EACH],
    "ple, own alone": [EACH, EACH],
}


def test_an_explanation_names_each_task_s_gates(name: str, x_BD: Tensor) -> None:
    explanation = make(name).eval().explain(x_BD)
    gates, levels = explanation.gates, GATES.get(name, [])
    expected = [(task, level) for level, tasks in enumerate(levels, start=1) for task in tasks]
    assert [(gate.task, gate.level) for gate in gates] == expected
    assert [outputs.level for outputs in explanation.experts] == list(range(1, len(levels) + 1))
    for gate in gates:
        assert set(gate.experts) <= set(explanation.experts[gate.level - 1].experts)
        assert gate.weights_BE.shape == (NUM_ROWS, len(gate.experts))
        assert len(set(gate.experts)) == len(gate.experts)
        torch.testing.assert_close(gate.weights_BE.sum(dim=1), torch.ones(NUM_ROWS).double())
        assert (gate.weights_BE >= 0).all()


@pytest.mark.parametrize("counts", [(0, 2), (4, 0)])
def test_counts_below_one_are_refused(name: str, counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MEMBERS[name][0](*counts)


def _model(name: str, make_tasks: Callable[[], list]) -> MultiTaskModel:
    torch.manual_seed(1)
    encoder = nn.Linear(NUM_FEATURES, NUM_FEATURES)
    return MultiTaskModel(encoder, make(name), make_tasks(), tower_hidden=(8,)).double()


def _plain() -> list:
    return [binary("a"), binary("b"), regression("c")]


def _given() -> list:
    return [binary("a"), binary("b", given="a"), regression("c")]


class _Fixed(GramRule):
    """A gradient rule that has decided beforehand."""

    def solve(self, gram_AA: Tensor, tasks_A: Tensor, measured: Measurement) -> Tensor:
        return torch.tensor(WEIGHTS, dtype=torch.float64)


WEIGHTS = [0.2, 1.7, 0.6]


@pytest.mark.parametrize("make_tasks", [_plain, _given], ids=["plain", "given"])
def test_a_gradient_rule_at_the_seam_is_exact_for_every_parameter(
    name: str, make_tasks: Callable[[], list], x_BD: Tensor
) -> None:
    """Shared parameters get the weighted sum, private ones their own; nothing is left without."""
    model = _model(name, make_tasks)
    result = model(x_BD)
    losses = [(output - 1).square().mean() for output in result.outputs]
    parameters = [*model.parameters()]
    exact = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in losses
    ]
    if make_tasks is _plain:
        above = reach(losses, above=result.seam)
        assert above.shared() == [], "a shared parameter lies above the seam"
    balanced_backward(losses, _Fixed(NUM_TASKS), seam=result.seam)
    for (parameter_name, parameter), *rows in zip(model.named_parameters(), *exact):
        reached = [(w, row) for w, row in zip(WEIGHTS, rows) if row is not None]
        expected = sum(w * row for w, row in reached) if len(reached) > 1 else reached[0][1]
        if name in {"single_task", "soft_sharing"} or "own alone" in name:
            # Below the seam, though reached by all, is only the encoder.
            assert parameter_name.startswith("encoder") == (len(reached) == NUM_TASKS)
        assert parameter.grad is not None and parameter.grad.any(), parameter_name
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)


def _reach(parameters: list[nn.Parameter], losses: list[Tensor]) -> list[set[int]]:
    """The losses that reach each parameter."""
    rows = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in losses
    ]
    return [{t for t, gradient in enumerate(row) if gradient is not None} for row in zip(*rows)]


def _private(prefix: str) -> dict[str, set[int]]:
    return {f"{prefix}.{task}": {task} for task in range(NUM_TASKS)}


def _level(prefix: str) -> dict[str, set[int]]:
    """A level above which the tasks' columns do not meet any more."""
    own = {**_private(f"{prefix}.own"), **_private(f"{prefix}.gates")}
    return {**own, f"{prefix}.shared": {0, 1, 2}}


REACH = {
    "single_task": _private("bottoms"),
    "shared_bottom": {"bottom": {0, 1, 2}},
    "soft_sharing": _private("bottoms"),
    "shared_private": {"bottom.": {0, 1, 2}, **_private("bottoms")},
    "shared_bottom, two parts": {"bottom": {0, 1, 2}, **_private("tops")},
    "shared_bottom, own alone": _private("tops"),
    "cross_stitch": {"networks": {0, 1, 2}, "stitches.0": {0, 1, 2}, **_private("stitches.1")},
    "cross_stitch, per channel": {
        **{part: {0, 1, 2} for part in ("networks", "stitches.0")},
        **_private("stitches.1"),
    },
    "sluice": {
        **{part: {0, 1, 2} for part in ("networks", "stitches.0")},
        **_private("stitches.1"),
        **_private("betas"),
    },
    "mtan": {"layers": {0, 1, 2}, **_private("attentions")},
    "conv_shared_bottom": {"stages": {0, 1, 2}},
    "conv_mtan": {"stages": {0, 1, 2}, **_private("attentions")},
    "conv_cross_stitch": {
        **{part: {0, 1, 2} for part in ("networks", "stitches.0", "stitches.1")},
        **_private("stitches.2"),
    },
    "conv_cross_stitch, per channel": {
        **{part: {0, 1, 2} for part in ("networks", "stitches.0")},
        **_private("stitches.1"),
    },
    "mmoe": {"experts": {0, 1, 2}, **_private("gates")},
    "mmoe, top 2": {"experts": {0, 1, 2}, **_private("gates")},
    "omoe": {"experts": {0, 1, 2}, "gate": {0, 1, 2}},
    "attention_moe": {"experts": {0, 1, 2}, "keys": {0, 1, 2}, **_private("queries.linears")},
    "attention_moe, tokens": {
        **{part: {0, 1, 2} for part in ("experts", "keys")},
        **_private("queries.tokens"),
    },
    "attention_moe, dynamic": {
        **{part: {0, 1, 2} for part in ("experts", "keys", "queries.linear.")},
        **_private("queries.tokens"),
    },
    "cgc": _level("levels.0"),
    "cgc, shared alone": _level("levels.0"),
    "cgc, uneven": _level("levels.0"),
    "cgc, own alone": {**_private("levels.0.own"), **_private("levels.0.gates")},
    "ple": {**_private("levels.0.gates"), "levels.0": {0, 1, 2}, **_level("levels.1")},
    "ple, one level": _level("levels.0"),
    "ple, own alone": {**_level("levels.0"), **_level("levels.1")},
    "ple, shared alone": {**_level("levels.0"), **_level("levels.1")},
    "ple, merged last": {**_level("levels.0"), **_level("levels.1")},
    "ple, three levels": {
        "levels.0": {0, 1, 2},
        **_private("levels.1.gates"),
        "levels.1": {0, 1, 2},
        **_level("levels.2"),
    },
    # Own experts of the level below merging are shared too: through the shared gate above them.
    "ple, merged from 2 of 3": {
        "levels.0": {0, 1, 2},
        **_private("levels.1.gates"),
        "levels.1": {0, 1, 2},
        **_level("levels.2"),
    },
}
assert set(REACH) == set(MEMBERS)


@pytest.mark.parametrize("name", sorted(REACH))
def test_which_loss_reaches_which_parameter(name: str, x_BD: Tensor) -> None:
    trunk = make(name)
    losses = [output.square().sum() for output in trunk(x_BD)]
    names, parameters = zip(*trunk.named_parameters())
    for parameter_name, tasks in zip(names, _reach(parameters, losses)):
        owner = next(prefix for prefix in REACH[name] if parameter_name.startswith(prefix))
        assert tasks == REACH[name][owner], parameter_name


def test_reached_by_all_and_yet_a_task_s_own() -> None:
    """The experts of the lower level belong to their tasks, though every loss reaches them."""
    trunk = make("ple")
    owners = trunk.owners()
    assert REACH["ple"]["levels.0"] == {0, 1, 2}
    own = {name: owner for name, owner in owners.items() if ".own." in name or ".gates." in name}
    assert len(own) == 30 and all(f".{owner}." in name for name, owner in own.items())
    assert all(owners[name] is None for name in set(owners) - set(own))
    assert {owners[f"levels.0.own.{task}.weights.0"] for task in range(3)} == {0, 1, 2}
