"""The laws that every trunk obeys, as assertions for a trunk of your own."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from polytask.trunks.inheritance import inherit
from polytask.trunks.trunk import Trunk

NUM_FEATURES, NUM_ROWS = 5, 7
TASKS = (0, 1, 2)
_ORDER, _FEATURE_ORDER = (2, 0, 1), [3, 0, 4, 2, 1]

Make: TypeAlias = Callable[[Sequence[int]], Trunk]
"""The trunk for the tasks at these positions, in evaluation mode, with random float64 parameters."""


def check_trunk(kind: type[Trunk], options: Mapping[str, object] | None = None) -> None:
    """Raise AssertionError, with the reason, if a trunk of three tasks breaks one of `LAWS`.

    >>> from polytask.trunks import CGC
    >>> check_trunk(CGC, {"num_task_experts": [1, 2, 3]})
    """
    for law in LAWS:
        law(maker(kind, options or {}))


def maker(kind: type[Trunk], options: Mapping[str, object]) -> Make:
    """A function from positions of tasks to the trunk for them; the same draws at every call."""

    def make(tasks: Sequence[int]) -> Trunk:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            trunk = kind(NUM_FEATURES, len(tasks), **kind.options_for(options, tasks))
            with torch.no_grad():
                for parameter in trunk.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return trunk.double().eval()

    return make


def check_outputs(make: Make) -> None:
    """One tensor (B, out_features) a task; a row's output does not depend on its batch."""
    for tasks in ((0,), TASKS):
        trunk, x_BD = make(tasks), _rows()
        outputs = trunk(x_BD)
        assert len(outputs) == trunk.num_tasks == len(tasks), f"{len(outputs)=}, {trunk.num_tasks=}"
        for output, alone in zip(outputs, trunk(x_BD[2:3])):
            assert output.shape == (NUM_ROWS, trunk.out_features), f"{output.shape=}"
            _same(output[2:3], alone, "a row of a batch is not the row alone")


def check_seam(make: Make) -> None:
    """`split` reads the seam alone, all that is shared lies below it, and gradients are exact."""
    trunk, x_BD = make(TASKS), _rows().requires_grad_()
    # What lies below x is shared, so x must meet the law as well.
    names, parameters = zip(("x", x_BD), *trunk.named_parameters())
    seam = trunk.share(x_BD)
    leaves = tuple(tensor.detach().requires_grad_() for tensor in seam)
    above = _losses(trunk.split(leaves))
    losses = _losses(trunk(x_BD))
    for loss, direct in zip(above, losses):
        _same(loss, direct, "split reads more than the seam")
    for name, tasks in zip(names, _reach(above, parameters)):
        assert len(tasks) < 2, f"{name} lies above the seam, but the losses of {tasks} reach it"
    reached = _reach(losses, parameters)
    exact = torch.autograd.grad(torch.stack(losses).sum(), parameters, allow_unused=True)
    passed = _below(seam, leaves, above, parameters)
    for name, tasks, ours, theirs in zip(names, reached, passed, exact):
        if len(tasks) > 1:
            _same(ours, theirs, f"the gradient of {name} does not all pass through the seam")


def check_owners(make: Make) -> None:
    """What one loss alone reaches is that task's; what is shared has two losses at least."""
    trunk = make(TASKS)
    owners = trunk.owners()
    names, parameters = zip(*trunk.named_parameters())
    assert list(owners) == list(names), "owners() must name every parameter"
    for name, tasks in zip(names, _reach(_losses(trunk(_rows())), parameters)):
        owner = owners[name]
        if owner is None:
            assert len(tasks) > 1, f"{name} is shared, but reached by the losses of {tasks} alone"
        else:
            assert owner in tasks, f"{name} belongs to task {owner}, whose loss does not reach it"


def check_tasks_permute(make: Make) -> None:
    """Tasks in another order, with their parameters, give their outputs in that order."""
    trunk, permuted, x_BD = make(TASKS), make(_ORDER), _rows()
    _inherit_all(permuted, trunk, tasks=dict(enumerate(_ORDER)))
    expected = [trunk(x_BD)[task] for task in _ORDER]
    _same(permuted(x_BD), expected, "parameters do not go by their owners and blocks")
    _same(permuted.penalty(), trunk.penalty(), "the penalty depends on the order of the tasks")


def check_inputs_permute(make: Make) -> None:
    """The entries of x in another order, with the columns that read them, give the same outputs.

    Not of maps, whose entries have places.
    """
    trunk, permuted, x_BD = make(TASKS), make(TASKS), _rows()
    if trunk.reads_maps:
        return
    every = list(range(NUM_FEATURES))
    features = (every, _FEATURE_ORDER)
    _inherit_all(permuted, trunk, tasks={task: task for task in TASKS}, features=features)
    ours, theirs = permuted(x_BD[:, _FEATURE_ORDER]), trunk(x_BD)
    _same(ours, theirs, "input_weights() are not the parameters that read x")


def check_exports(make: Make) -> None:
    """`torch.export` with a free batch size gives a program that returns the same at other sizes."""
    trunk = make(TASKS)
    free = {0: torch.export.Dim("batch", min=1)}
    exported = torch.export.export(trunk, (_rows(),), dynamic_shapes=(free,)).module()
    for num_rows in (1, 11):
        x_BD = _rows(num_rows)
        _same(exported(x_BD), trunk(x_BD), f"the exported program differs at {num_rows=}")


LAWS: tuple[Callable[[Make], None], ...] = (
    check_outputs,
    check_seam,
    check_owners,
    check_tasks_permute,
    check_inputs_permute,
    check_exports,
)


def _same(ours: object, theirs: object, fault: str) -> None:
    torch.testing.assert_close(ours, theirs, msg=lambda difference: f"{fault}: {difference}")


def _rows(num_rows: int = NUM_ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(num_rows)
    return torch.randn(num_rows, NUM_FEATURES, dtype=torch.float64, generator=generator)


def _losses(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Another loss for each task, so that exchanged tasks are told apart."""
    return [(task + 1) * (output - task).square().sum() for task, output in enumerate(outputs)]


def _reach(losses: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[set[int]]:
    """The losses that reach each parameter."""
    rows = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        if loss.requires_grad
        else [None] * len(parameters)
        for loss in losses
    ]
    return [{t for t, gradient in enumerate(row) if gradient is not None} for row in zip(*rows)]


def _below(
    seam: Sequence[Tensor],
    leaves: Sequence[Tensor],
    above: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Sequence[Tensor | None]:
    """The gradients that reach the parameters through the seam alone."""
    at_seam = torch.autograd.grad(torch.stack(tuple(above)).sum(), leaves, allow_unused=True)
    passed = [(s, g) for s, g in zip(seam, at_seam) if s.requires_grad and g is not None]
    if not passed:
        return [None] * len(parameters)
    tensors, gradients = zip(*passed)
    return torch.autograd.grad(tensors, parameters, gradients, allow_unused=True)


def _inherit_all(
    trunk: Trunk,
    source: Trunk,
    *,
    tasks: Mapping[int, int],
    features: tuple[list[int], list[int]] | None = None,
) -> None:
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.zero_()
    missing = set(trunk.owners()) - inherit(trunk, source, tasks=tasks, features=features)
    assert not missing, f"no parameter of the other trunk corresponds to {sorted(missing)}"
