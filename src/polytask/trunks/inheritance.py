"""The parameters of one trunk for another: of the same tasks and of the same entries of x."""

from collections.abc import Mapping

import torch
from torch import Tensor

from polytask.trunks.ownership import Role
from polytask.trunks.trunk import Trunk

Pairs = tuple[list[int], list[int]]


@torch.no_grad()
def inherit(
    trunk: Trunk, source: Trunk, *, tasks: Mapping[int, int], features: Pairs | None = None
) -> set[str]:
    """Copy into `trunk` what `source` has in common with it; return the names of those parameters.

    `tasks` maps the position of a task here to its position in the source. `features` are positions
    of the same entries of x, here and in the source; None: all of them, in one order. A task's own
    parameters come from the same task's, the columns of weights that read x from the same
    entries, and blocks of a shared parameter by task. What is new keeps its values, and so does a
    parameter of another shape.

    >>> from polytask.trunks import MMoE
    >>> old, new = MMoE(5, 2), MMoE(5, 3)
    >>> sorted(inherit(new, old, tasks={0: 1}))[-1]  # new's task 0 is old's task 1
    'gates.0.linear.weight'
    >>> new.gates[0].linear.weight.equal(old.gates[1].linear.weight)
    True
    """
    parameters = dict(source.named_parameters())
    theirs = {(r.name, r.task): (parameters[name], r) for name, r in source.roles().items()}
    inherited = set()
    roles = trunk.roles()
    for name, parameter in trunk.named_parameters():
        role = roles[name]
        if role.task is not None and role.task not in tasks:
            continue
        found = theirs.get((role.name, None if role.task is None else tasks[role.task]))
        if found is None or parameter.ndim != found[0].ndim or role.reads_x != found[1].reads_x:
            continue
        pairs = [
            _common(dim, (parameter, role), found, tasks, features) for dim in range(parameter.ndim)
        ]
        if all(new for new, _ in pairs):
            _copy(parameter, found[0], pairs)
            inherited.add(name)
    return inherited


def _common(
    dim: int,
    ours: tuple[Tensor, Role],
    theirs: tuple[Tensor, Role],
    tasks: Mapping[int, int],
    features: Pairs | None,
) -> Pairs:
    """The entries along a dimension that both have; none where the two do not fit."""
    (parameter, role), (other, other_role) = ours, theirs
    num_ours, num_theirs = parameter.shape[dim], other.shape[dim]
    if role.reads_x and dim == parameter.ndim - 1 and features is not None:
        return features
    blocks, other_blocks = (
        next((b for b in r.blocks if b.dim == dim), None) for r in (role, other_role)
    )
    if blocks is None or other_blocks is None:
        fits = blocks is other_blocks and num_ours == num_theirs
        every = list(range(num_ours)) if fits else []
        return every, every
    here, there = blocks.places(num_ours), other_blocks.places(num_theirs)
    both = [(here[t], there[s]) for t, s in tasks.items()] + [(here[-1], there[-1])]
    if any(len(new) != len(old) for new, old in both):
        return [], []
    return [e for new, _ in both for e in new], [e for _, old in both for e in old]


def _copy(parameter: Tensor, other: Tensor, pairs: list[Pairs]) -> None:
    """parameter[i, j, ...] = other[i', j', ...] for the pairs (i, i'), (j, j'), ... of each dimension."""
    places = []
    for dim, (new, old) in enumerate(pairs):
        other = other.index_select(dim, torch.tensor(old, device=other.device))
        # (n, 1, 1, ...): the places of all dimensions together are a grid.
        shape = (len(new), *[1] * (len(pairs) - 1 - dim))
        places.append(torch.tensor(new, device=parameter.device).view(shape))
    parameter[tuple(places)] = other.to(parameter.device, parameter.dtype)
