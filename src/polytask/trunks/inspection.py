"""What the gates of a trunk do with its experts, as numbers: pure functions of an Explanation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.trunks.trunk import ExpertOutputs, Explanation, GateWeights

_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class GateUse:
    """One gate on a batch: mean and spread (standard deviation over the rows) of each weight.

    `row_entropy` is the mean of the rows' entropies over log E: 0 if every row takes a single
    expert, 1 for an even mixture. `task`, `level` and `experts`: as in GateWeights.

    >>> GateUse(task=0, level=1, experts=("a", "b"), mean=(0.5, 0.5), std=(0.0, 0.0), row_entropy=1.0).mean
    (0.5, 0.5)
    """

    task: int | None
    level: int
    experts: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    row_entropy: float


@dataclass(frozen=True, slots=True)
class ExpertUse:
    """One expert on a batch. `weight` is the largest of its mean weights in the gates that read it.

    `is_dead`: every one of these gates gives it next to nothing. `is_constant`: it returns the same
    for all rows. `twins`: the experts of its level that return nearly the same as it does.

    >>> use = ExpertUse("expert 1", 1, weight=0.0, is_dead=True, is_constant=False, twins=())
    >>> use.is_dead
    True
    """

    name: str
    level: int
    weight: float
    is_dead: bool
    is_constant: bool
    twins: tuple[str, ...]


def gate_use(gate: GateWeights) -> GateUse:
    """Mean, spread and entropy of a gate's weights over the rows of a batch.

    >>> gate = GateWeights(0, ("expert 1", "expert 2"), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> use = gate_use(gate)
    >>> use.mean, use.std, use.row_entropy
    ((0.5, 0.5), (0.5, 0.5), 0.0)
    """
    weights_BE = gate.weights_BE.detach().double()
    if len(weights_BE) == 0:
        raise ValueError("a gate's use is a mean over rows, but there is no row")
    mean_E = weights_BE.mean(dim=0)
    return GateUse(
        task=gate.task,
        level=gate.level,
        experts=gate.experts,
        mean=tuple(mean_E.tolist()),
        std=tuple(weights_BE.std(dim=0, correction=0).tolist()),
        row_entropy=_relative_entropy(weights_BE),
    )


def expert_uses(
    explanation: Explanation, *, dead_share: float = 0.1, twins_above: float = 0.99
) -> tuple[ExpertUse, ...]:
    """Every expert that a gate reads, by level.

    Dead is an expert whose mean weight is below `dead_share` of an even share (1 / E) in every gate
    that reads it. Twins are two experts whose outputs, centred over the rows, correlate by more
    than `twins_above` over rows and features together; their weights are not looked at.

    >>> gate = GateWeights(0, ("expert 1", "expert 2"), torch.tensor([[0.99, 0.01]]))
    >>> [use.is_dead for use in expert_uses(Explanation(gates=(gate,)))]
    [False, True]
    """
    gates = [gate_use(gate) for gate in explanation.gates]
    outputs = {level.level: level for level in explanation.experts}
    uses: list[ExpertUse] = []
    for level in sorted({gate.level for gate in gates}):
        shares: dict[str, list[tuple[float, float]]] = {}
        for gate in gates:
            if gate.level == level:
                for name, mean in zip(gate.experts, gate.mean):
                    shares.setdefault(name, []).append((mean, mean * len(gate.experts)))
        constant, twins = _likeness(outputs.get(level), twins_above)
        uses += [
            ExpertUse(
                name=name,
                level=level,
                weight=max(mean for mean, _ in given),
                is_dead=all(share < dead_share for _, share in given),
                is_constant=name in constant,
                twins=twins.get(name, ()),
            )
            for name, given in shares.items()
        ]
    return tuple(uses)


def collapse_warning(uses: Sequence[ExpertUse]) -> str | None:
    """What is wrong with the experts, in words; None if all are used and differ.

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


def _likeness(
    level: ExpertOutputs | None, twins_above: float
) -> tuple[set[str], dict[str, tuple[str, ...]]]:
    """The names of the constant experts, and the twins of each expert."""
    if level is None or len(level.outputs_BEH) < 2:
        return set(), {}
    outputs_EBH = level.outputs_BEH.detach().double().transpose(0, 1)
    centred_EBH = outputs_EBH - outputs_EBH.mean(dim=1, keepdim=True)
    constant_E = (outputs_EBH == outputs_EBH[:, :1]).flatten(1).all(dim=1)
    # Rounding leaves a little of a constant expert's mean, which must not correlate.
    rows_EP = centred_EBH.flatten(1).masked_fill(constant_E.unsqueeze(1), 0.0)
    unit_EP = torch.nn.functional.normalize(rows_EP)
    alike_EE = (unit_EP @ unit_EP.T > twins_above).fill_diagonal_(False)
    twins = {
        name: tuple(twin for twin, is_twin in zip(level.experts, row_E) if is_twin)
        for name, row_E in zip(level.experts, alike_EE.tolist())
    }
    return {n for n, is_constant in zip(level.experts, constant_E.tolist()) if is_constant}, twins


def _relative_entropy(weights_BE: Tensor) -> float:
    """The mean entropy of the rows over log E; of a single expert 0."""
    entropy_B = torch.special.entr(weights_BE).sum(dim=1)
    return float(entropy_B.mean()) / (math.log(weights_BE.shape[1]) or 1.0)


def _listing(names: Sequence[str]) -> str:
    told = ", ".join(names[:_MOST_NAMED])
    left = len(names) - _MOST_NAMED
    return f"{told} and {left} more" if left > 0 else told
