"""What the gates of a trunk do with its experts, as numbers: pure functions of an Explanation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from polytask.trunks.trunk import ExpertOutputs, Explanation

_DEAD_SHARE, _TWINS_ABOVE = 0.1, 0.99
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class ExpertUse:
    """One expert on a batch.

    `is_dead`: every gate that reads it gives it next to nothing. `is_constant`: it returns the same
    for all rows. `twins`: the experts of its level that return nearly the same as it does.

    >>> use = ExpertUse("expert 1", 1, is_dead=True, is_constant=False, twins=())
    >>> use.is_dead
    True
    """

    name: str
    level: int
    is_dead: bool
    is_constant: bool
    twins: tuple[str, ...]


def expert_uses(explanation: Explanation) -> tuple[ExpertUse, ...]:
    """Every expert that a gate reads, by level.

    Dead is an expert whose mean weight is below a tenth of an even share (1 / E) in every gate that
    reads it. Twins are two experts whose outputs, centred over the rows, correlate by more than 0.99
    over rows and features together; their weights are not looked at.

    >>> from polytask.trunks import GateWeights
    >>> gate = GateWeights(0, ("expert 1", "expert 2"), torch.tensor([[0.99, 0.01]]))
    >>> [use.is_dead for use in expert_uses(Explanation(gates=(gate,)))]
    [False, True]
    """
    outputs = {level.level: level for level in explanation.experts}
    uses: list[ExpertUse] = []
    for level in sorted({gate.level for gate in explanation.gates}):
        largest: dict[str, float] = {}
        for gate in explanation.gates:
            if gate.level == level:
                shares_E = gate.weights_BE.detach().double().mean(dim=0) * len(gate.experts)
                for name, share in zip(gate.experts, shares_E.tolist()):
                    largest[name] = max(share, largest.get(name, 0.0))
        constant, twins = _likeness(outputs.get(level))
        uses += [
            ExpertUse(name, level, share < _DEAD_SHARE, name in constant, twins.get(name, ()))
            for name, share in largest.items()
        ]
    return tuple(uses)


def collapse_warning(uses: Sequence[ExpertUse]) -> str | None:
    """What is wrong with the experts, in words; None if all are used and differ.

    >>> from polytask.trunks import GateWeights
    >>> gate = GateWeights(0, ("expert 1", "expert 2"), torch.tensor([[0.5, 0.5]]))
    >>> collapse_warning(expert_uses(Explanation(gates=(gate,)))) is None
    True
    """
    dead = [use.name for use in uses if use.is_dead]
    constant = [use.name for use in uses if use.is_constant]
    pairs = [
        f"{use.name} and {twin}"
        for position, use in enumerate(uses)
        for twin in use.twins
        if twin in {later.name for later in uses[position + 1 :]}
    ]
    findings = []
    if dead:
        findings.append(f"next to no weight in any gate: {_listing(dead)}")
    if constant:
        findings.append(f"the same output for every row: {_listing(constant)}")
    if pairs:
        findings.append(f"nearly the same outputs as each other: {_listing(pairs)}")
    if not findings:
        return None
    wasted = {use.name for use in uses if use.is_dead or use.is_constant or use.twins}
    return (
        f"experts collapse: {len(wasted)} of {len(uses)} are of little use ({'; '.join(findings)}); "
        "fewer experts, gate_dropout or a lower learning rate may help"
    )


def _likeness(level: ExpertOutputs | None) -> tuple[set[str], dict[str, tuple[str, ...]]]:
    """The names of the constant experts, and the twins of each expert."""
    if level is None or len(level.outputs_BEH) < 2:
        return set(), {}
    outputs_EBH = level.outputs_BEH.detach().double().transpose(0, 1)
    centred_EBH = outputs_EBH - outputs_EBH.mean(dim=1, keepdim=True)
    constant_E = (outputs_EBH == outputs_EBH[:, :1]).flatten(1).all(dim=1)
    # Rounding leaves a little of a constant expert's mean, which must not correlate.
    rows_EP = centred_EBH.flatten(1).masked_fill(constant_E.unsqueeze(1), 0.0)
    unit_EP = torch.nn.functional.normalize(rows_EP)
    alike_EE = (unit_EP @ unit_EP.T > _TWINS_ABOVE).fill_diagonal_(False)
    twins = {
        name: tuple(twin for twin, is_twin in zip(level.experts, row_E) if is_twin)
        for name, row_E in zip(level.experts, alike_EE.tolist())
    }
    return {n for n, is_constant in zip(level.experts, constant_E.tolist()) if is_constant}, twins


def _listing(names: Sequence[str]) -> str:
    first = ", ".join(names[:_MOST_NAMED])
    left = len(names) - _MOST_NAMED
    return f"{first} and {left} more" if left > 0 else first
