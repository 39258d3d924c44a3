"""One trunk's parameters for another: by task, by entry of x, and never from a neighbour."""

import pytest
import torch
from torch import Tensor, nn

from polytask.trunks import (
    CGC,
    MTAN,
    PLE,
    AttentionMoE,
    CrossStitch,
    MMoE,
    Sluice,
    TaskBlocks,
    Trunk,
    inherit,
)


def numbered(trunk: Trunk) -> Trunk:
    """No two entries of its parameters are equal."""
    with torch.no_grad():
        start = 1
        for parameter in trunk.parameters():
            numbers = torch.arange(start, start + parameter.numel())
            parameter.copy_(numbers.view_as(parameter))
            start += parameter.numel()
    return trunk.double()


def state(trunk: Trunk) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trunk.named_parameters()}


def test_levels_stay_though_there_are_as_many_as_tasks() -> None:
    """Two tasks change places in a PLE of two levels and in an MTAN of two layers."""
    for kind, shared in ((PLE, "levels"), (MTAN, "layers")):
        old = numbered(kind(5, 2))
        new, before = kind(5, 2).double(), state(old)
        assert inherit(new, old, tasks={0: 1, 1: 0}) == set(before)
        after = state(new)
        for name, value in after.items():
            if old.owners()[name] is None and "shared_gate" not in name:
                assert name.startswith(shared) and value.equal(before[name]), name
    levels = PLE(5, 2)
    inherit(levels, numbered(PLE(5, 2)), tasks={0: 1, 1: 0})
    numbers = state(numbered(PLE(5, 2)))
    moved = state(levels)["levels.0.own.0.first.weight"]
    assert moved.double().equal(numbers["levels.0.own.1.first.weight"])


def test_own_experts_and_gates_come_from_the_same_task() -> None:
    """The new trunk has one task of the old one, in the second place, and a task of its own."""
    old, new = numbered(CGC(5, 2)), CGC(5, 2).double()
    before, fresh = state(old), state(new)
    inherited = inherit(new, old, tasks={1: 0})
    assert inherited == {name for name, owner in new.owners().items() if owner != 0}
    after = state(new)
    for part in ("own", "gates"):
        (name,) = [n for n in after if f".{part}.1." in n and ("first.w" in n or "linear" in n)]
        assert after[name].equal(before[name.replace(f"{part}.1", f"{part}.0")])
        untouched = name.replace(f"{part}.1", f"{part}.0")
        assert after[untouched].equal(fresh[untouched])


def test_columns_come_from_the_same_entries_of_x() -> None:
    """Of three old entries the new x has the last and the first, behind one that is new."""
    old, new = numbered(MMoE(3, 2)), MMoE(3, 2).double()
    fresh = state(new)
    inherit(new, old, tasks={0: 0, 1: 1}, features=([1, 2], [2, 0]))
    for name in ("experts.first.weight", "gates.0.linear.weight"):
        theirs, ours = state(old)[name], state(new)[name]
        assert ours[:, 1:].equal(theirs[:, [2, 0]])
        assert ours[:, 0].equal(fresh[name][:, 0])
    assert new.experts.weights[0].equal(old.experts.weights[0])


def test_a_layer_as_wide_as_x_does_not_read_x() -> None:
    """The units of a layer are no entries of x, whatever their number."""
    old, new = numbered(MTAN(4, 2, hidden=(4, 4))), MTAN(4, 2, hidden=(4, 4)).double()
    inherit(new, old, tasks={0: 0, 1: 1}, features=([0, 1, 2, 3], [3, 2, 1, 0]))
    before, after = state(old), state(new)
    turned = {name for name in after if after[name].equal(before[name].flip(-1))}
    same = {name for name in after if after[name].equal(before[name])}
    assert turned == {"layers.0.0.weight", *(f"attentions.{t}.masks.0.0.weight" for t in range(2))}
    assert turned | same == set(after)


def test_the_tokens_that_are_added_to_x_follow_its_entries() -> None:
    old, new = (AttentionMoE(3, 2, query="shared").double() for _ in range(2))
    inherit(new, old, tasks={0: 1}, features=([0, 1, 2], [2, 1, 0]))
    assert new.queries.tokens[0].equal(old.queries.tokens[1].flip(0))


@pytest.mark.parametrize("kind", [CrossStitch, Sluice])
def test_what_one_tensor_holds_of_every_task_is_parted(kind: type[Trunk]) -> None:
    """A third task beside two known ones: their networks and what they read of each other."""
    old, new = numbered(kind(5, 2, hidden=(4, 4))), kind(5, 3, hidden=(4, 4)).double()
    fresh = state(new)
    inherit(new, old, tasks={0: 1, 2: 0})
    before, after = state(old), state(new)
    weights_THK = after["networks.weights.0"]
    assert weights_THK[[0, 2]].equal(before["networks.weights.0"][[1, 0]])
    assert weights_THK[1].equal(fresh["networks.weights.0"][1])
    row, old_row = after["stitches.0.0"], before["stitches.0.1"]
    size = 1 if kind is CrossStitch else 2
    here, there = (t.unflatten(-1, (-1, size)) for t in (row, old_row))
    assert here[..., [0, 2], :].equal(there[..., [1, 0], :])
    assert here[..., 1, :].equal(fresh["stitches.0.0"].unflatten(-1, (-1, size))[..., 1, :])


def test_the_gate_over_all_experts_follows_the_tasks() -> None:
    options = {"num_shared_experts": 1, "gate_bias": True}
    old = numbered(PLE(5, 2, num_task_experts=[1, 2], **options))
    new = PLE(5, 2, num_task_experts=[2, 1], **options).double()
    inherit(new, old, tasks={0: 1, 1: 0})
    ours, theirs = (trunk.levels[0].shared_gate.linear for trunk in (new, old))
    assert ours.bias.equal(theirs.bias[[1, 2, 0, 3]])
    assert ours.weight.equal(theirs.weight[[1, 2, 0, 3]])


def test_what_does_not_fit_keeps_its_values() -> None:
    old, new = numbered(CGC(5, 2, num_task_experts=[1, 2])), CGC(5, 2, num_task_experts=1).double()
    fresh = state(new)
    inherited = inherit(new, old, tasks={0: 0, 1: 1})
    left = {name for name, value in state(new).items() if value.equal(fresh[name])}
    assert left == set(state(new)) - inherited
    parts = [name.split(".") for name in left]
    assert {part[2] + part[3] for part in parts} == {"own1", "gates1"}
    narrow = MMoE(5, 2, expert_hidden=(3, 2)).double()
    assert inherit(narrow, numbered(MMoE(5, 2)), tasks={0: 0}) == {"gates.0.linear.weight"}


def test_rows_of_another_meaning_are_left_though_there_are_as_many() -> None:
    """Three shared experts, or one of each task and a shared one."""
    old = PLE(5, 2, merge_from=2, num_task_experts=1, num_shared_experts=3)
    new = PLE(5, 2, num_task_experts=1, num_shared_experts=1)
    ours, theirs = new.levels[0].shared_gate.linear, old.levels[0].shared_gate.linear
    assert ours.weight.shape == theirs.weight.shape
    inherited = inherit(new, old, tasks={0: 0, 1: 1})
    assert "levels.0.own.0.first.weight" in inherited
    assert "levels.0.shared_gate.linear.weight" not in inherited


def test_trunks_without_a_common_task_or_entry_of_x() -> None:
    """What holds a block for each task has nothing in common; what all tasks share has."""
    old, new = numbered(CrossStitch(5, 2)), CrossStitch(5, 2).double()
    assert inherit(new, old, tasks={}) == set()
    mixed = {"experts.weights.0", "experts.first.bias", "experts.biases.0"}
    assert inherit(MMoE(5, 2), MMoE(5, 2), tasks={}, features=([], [])) == mixed


class Scaled(Trunk):
    """Nothing but one number."""

    def __init__(self) -> None:
        super().__init__()
        self.num_tasks, self.out_features = 1, 5
        self.scale = nn.Parameter(torch.tensor(2.0))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (self.scale * x_BD,)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        return list(seam)

    def input_weights(self) -> tuple[Tensor, ...]:
        return ()


def test_a_parameter_without_dimensions() -> None:
    old, new = numbered(Scaled()), Scaled().double()
    assert inherit(new, old, tasks={0: 0}) == {"scale"} and new.scale.item() == 1.0


def test_blocks_by_hand() -> None:
    assert TaskBlocks(0, (2, 0, 1)).places(5) == [[0, 1], [], [2], [3, 4]]
