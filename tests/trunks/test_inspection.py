"""What gates and experts do, as numbers and as a warning."""

import torch
from torch import Tensor

from polytask.trunks import (
    PLE,
    ExpertOutputs,
    Explanation,
    GateWeights,
    MMoE,
    collapse_warning,
    expert_uses,
)

NAMES = ("expert 1", "expert 2", "expert 3", "expert 4")


def gate(rows: list[list[float]], task: int | None = 0, level: int = 1) -> GateWeights:
    return GateWeights(task, NAMES[: len(rows[0])], torch.tensor(rows), level)


def explanation(outputs_BEH: Tensor | None = None) -> Explanation:
    rows = [[0.6, 0.004, 0.395, 0.001], [0.2, 0.001, 0.799, 0.0]]
    gates = (gate([rows[0]] * 3), gate([rows[1]] * 3, task=1))
    experts = () if outputs_BEH is None else (ExpertOutputs(NAMES, outputs_BEH),)
    return Explanation(gates=gates, experts=experts)


def test_dead_is_an_expert_that_no_gate_takes() -> None:
    uses = expert_uses(explanation())
    assert [use.is_dead for use in uses] == [False, True, False, True]
    one_cares = Explanation(gates=(gate([[0.9, 0.1]]), gate([[1.0, 0.0]], task=1)))
    assert not any(use.is_dead for use in expert_uses(one_cares))


def test_dead_is_judged_by_the_even_share() -> None:
    """Of 200 experts none is dead for having 0.5 % each."""
    names = tuple(f"expert {e}" for e in range(200))
    even = GateWeights(0, names, torch.full((3, 200), 1 / 200))
    assert not any(use.is_dead for use in expert_uses(Explanation(gates=(even,))))


def test_the_shared_gate_keeps_lower_experts_alive() -> None:
    """An expert that only the shared gate of its level takes is not dead."""
    only_shared = Explanation(gates=(gate([[1.0, 0.0]]), gate([[0.5, 0.5]], task=None)))
    assert not any(use.is_dead for use in expert_uses(only_shared))


def test_twins_are_found_by_their_outputs_not_by_their_weights() -> None:
    torch.manual_seed(0)
    outputs_BEH = torch.randn(40, 4, 6)
    outputs_BEH[:, 2] = 3 * outputs_BEH[:, 0] + 1 + 0.05 * torch.randn(40, 6)
    uses = expert_uses(explanation(outputs_BEH))
    assert uses[0].twins == ("expert 3",) and uses[2].twins == ("expert 1",)
    assert uses[1].twins == uses[3].twins == ()
    assert not any(use.is_constant for use in uses)


def test_permuted_units_are_no_twins() -> None:
    """A gate adds unit to unit, so experts that compute the same elsewhere are not the same."""
    outputs_BEH = torch.randn(40, 4, 6)
    outputs_BEH[:, 2] = outputs_BEH[:, 0].flip(1)
    assert not any(use.twins for use in expert_uses(explanation(outputs_BEH)))


def test_experts_without_a_living_unit_are_constant_and_no_twins() -> None:
    outputs_BEH = torch.randn(41, 4, 1, dtype=torch.float64)
    outputs_BEH[:, 1] = 0.0
    outputs_BEH[:, 2:] = 1e9 / 3  # rounding leaves something beside the mean
    uses = expert_uses(explanation(outputs_BEH))
    assert [use.is_constant for use in uses] == [False, True, True, True]
    assert not any(use.twins for use in uses)


def test_a_fresh_trunk_gives_no_warning() -> None:
    torch.manual_seed(0)
    x_BD = torch.randn(200, 20)
    for trunk in (MMoE(20, 2), PLE(20, 3, num_levels=3)):
        uses = expert_uses(trunk.explain(x_BD))
        assert collapse_warning(uses) is None
        assert len({use.name for use in uses}) == len(uses)


def test_a_collapsed_gate_is_warned_of() -> None:
    torch.manual_seed(0)
    trunk = MMoE(6, 2, num_experts=4, gate_bias=True)
    with torch.no_grad():
        for gate in trunk.gates:
            gate.linear.bias[2] = 20.0
    warning = collapse_warning(expert_uses(trunk.explain(torch.randn(50, 6))))
    assert warning == (
        "experts collapse: 3 of 4 are of little use (next to no weight in any gate: expert 1, "
        "expert 2, expert 4); fewer experts, gate_dropout or a lower learning rate may help"
    )


def test_the_warning_names_twins_once_and_few_of_many() -> None:
    outputs_BEH = torch.randn(40, 1, 6).expand(-1, 4, -1).clone()
    warning = collapse_warning(expert_uses(explanation(outputs_BEH)))
    assert warning is not None and "4 of 4" in warning
    assert "expert 1 and expert 2, expert 1 and expert 3, expert 1 and expert 4" in warning
    assert "and 2 more" in warning  # of the six pairs
    assert "expert 2 and expert 1" not in warning
