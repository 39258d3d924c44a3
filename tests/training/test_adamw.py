"""AdamW: torch's own numbers to the bit, without torch's compiler."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from forked import Forked
from polytask.training.adamw import AdamW, Group
from polytask.trunks import TRUNKS

SHAPES = [(5, 7), (7,), (3, 4, 2), ()]


def make(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def ours(parameters: list[Tensor]) -> AdamW:
    return AdamW(
        [
            Group(params=parameters[:2], lr=0.1, weight_decay=0.3),
            Group(params=parameters[2:], lr=0.1, weight_decay=0.0),
        ]
    )


def theirs(parameters: list[Tensor]) -> torch.optim.Optimizer:
    groups = [
        {"params": parameters[:2], "weight_decay": 0.3},
        {"params": parameters[2:], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.1, fused=True)


def step(optimizer: AdamW | torch.optim.Optimizer, parameters: list[Tensor], number: int) -> None:
    """A gradient of this step's own; the second parameter has none in every third step."""
    generator = torch.Generator().manual_seed(100 + number)
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        if i == 1 and number % 3 == 0:
            parameter.grad = None
    for group in optimizer.param_groups:
        group["lr"] = 0.1 / (1 + number)
    optimizer.step()


def assert_same_bits(first: list[Tensor], second: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_numbers_are_those_of_torch() -> None:
    mine, reference = make(), make()
    optimizer, known = ours(mine), theirs(reference)
    for number in range(7):
        step(optimizer, mine, number)
        step(known, reference, number)
        assert_same_bits(mine, reference)
    for place, slots in known.state_dict()["state"].items():
        assert optimizer.state_dict()["state"][place].keys() == slots.keys()
        assert_same_bits([*optimizer.state_dict()["state"][place].values()], [*slots.values()])


def test_a_restored_state_goes_on_as_the_first_one() -> None:
    through, broken = make(), make()
    whole, first = ours(through), ours(broken)
    for number in range(6):
        step(whole, through, number)
        if number < 3:
            step(first, broken, number)
    second = ours(broken)
    second.load_state_dict(first.state_dict())
    for slots in first.state_dict()["state"].values():
        for tensor in slots.values():
            tensor.add_(1)  # what was loaded is a copy
    for number in range(3, 6):
        step(second, broken, number)
    assert_same_bits(through, broken)


def test_a_state_of_other_parameters_is_refused() -> None:
    parameters = make()
    optimizer = ours(parameters)
    step(optimizer, parameters, 1)
    other = AdamW([Group(params=[torch.zeros(2)], lr=0.1, weight_decay=0.0)])
    with pytest.raises((ValueError, LookupError)):
        other.load_state_dict(optimizer.state_dict())


def test_whole_fits_do_not_import_the_compiler(forked_torch: Forked, tmp_path: Path) -> None:
    """Which would be most of the time that a small table takes."""
    program = (
        "import sys, torch, pyarrow as pa; from polytask import fit, trunks\n"
        "x = torch.randn(200).numpy()\n"
        "table = pa.table({'x': x, 'a': x > 0, 'b': x * 1.5, 'c': (x > 1).astype(int) + (x > 0)})\n"
        "tasks = ['a:binary', 'b:regression', 'c:multiclass']\n"
        "for trunk, kind in trunks.TRUNKS.items():\n"
        "    if kind.reads_maps: continue\n"
        "    run = fit(table, tasks, allow='x', epochs=1, batch_size=64, threads=1, trunk=trunk,\n"
        "              ensemble=1, baseline='single' if trunk == 'mmoe' else 'none',\n"
        "              shortcuts=trunk == 'mmoe', cross_layers=2 if trunk == 'mmoe' else 0)\n"
        "    print(trunk, run.history[-1].step, *{'torch._dynamo', 'sympy'} & {*sys.modules})"
    )
    done = forked_torch.script(program, tmp_path)
    of_tables = [name for name, kind in TRUNKS.items() if not kind.reads_maps]
    assert done.out.split() == [word for trunk in of_tables for word in (trunk, "3")], done.err
