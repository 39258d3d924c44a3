"""Weights of an earlier run for a new one, by column, vocabulary entry and task."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.inputs import Feature, FittedInputs, JoinedEncoder
from polytask.model import MultiTaskModel
from polytask.trunks import Trunk, WithShortcuts, inherit
from polytask.trunks.inheritance import Pairs


@dataclass(frozen=True, slots=True)
class Carried:
    """How much of a model came from the earlier one; `skipped` parameters keep fresh weights.

    `from_inputs` counts rows of embeddings and other parameters of the encoder.
    """

    from_inputs: int
    parameters: int
    skipped: tuple[str, ...]


@torch.no_grad()
def warm_start(
    model: MultiTaskModel, inputs: FittedInputs, source: MultiTaskModel, known: FittedInputs
) -> Carried:
    """Copy what both models have; what is new keeps its fresh weights.

    The encoder goes input by input, by column and value; weights that read x go by the features of
    x; towers, heads and what else belongs to a task by the task's name; the rest by its own name.
    """
    encoder, old_encoder = model.encoder, source.encoder
    if not isinstance(encoder, JoinedEncoder) or not isinstance(old_encoder, JoinedEncoder):
        raise UserError("--init-from works on runs with polytask's own table encoder")
    from_inputs = sum(
        one.carry(encoder.parts[name], known.by_name[name], old_encoder.parts[name])
        for name, one in inputs.by_name.items()
        if name in known.by_name
    )
    features = _common_features(encoder, old_encoder)
    if encoder.crosses is not None and old_encoder.crosses is not None:
        from_inputs += encoder.crosses.inherit(old_encoder.crosses, *features)
    tasks = _common_tasks(model, source)
    copied = _inherit_trunk(model.trunk, source.trunk, tasks, features)
    copied |= _inherit_members(model, source, features)
    copied |= _inherit_tops(model, source, tasks, features)
    if not from_inputs and not copied:
        raise UserError("--init-from: the two runs have no column, layer or task in common")
    above = [name for name, _ in model.named_parameters() if not name.startswith("encoder.")]
    return Carried(from_inputs, len(copied), tuple(name for name in above if name not in copied))


def _common_features(encoder: JoinedEncoder, source: JoinedEncoder) -> Pairs:
    """The places of the same features in x, here and in the source."""
    old = {key: place for place, key in enumerate(_numbered(source.features))}
    pairs = [(i, old[key]) for i, key in enumerate(_numbered(encoder.features)) if key in old]
    return [new for new, _ in pairs], [theirs for _, theirs in pairs]


def _numbered(features: Iterable[Feature]) -> list[tuple[Feature, int]]:
    """Each feature, and how often it stood before: two of one name are two."""
    seen: Counter[Feature] = Counter()
    numbered = []
    for feature in features:
        numbered.append((feature, seen[feature]))
        seen[feature] += 1
    return numbered


def _common_tasks(model: MultiTaskModel, source: MultiTaskModel) -> dict[int, int]:
    theirs = {task.name: place for place, task in enumerate(source.tasks)}
    return {t: theirs[task.name] for t, task in enumerate(model.tasks) if task.name in theirs}


def _inherit_trunk(
    trunk: Trunk, source: Trunk, tasks: Mapping[int, int], features: Pairs
) -> set[str]:
    """What is in both; where only one has shortcuts, the trunk within."""
    prefix = "trunk."
    if isinstance(source, WithShortcuts) and not isinstance(trunk, WithShortcuts):
        source = source.trunk
    elif isinstance(trunk, WithShortcuts) and not isinstance(source, WithShortcuts):
        trunk, prefix = trunk.trunk, "trunk.trunk."
    return {prefix + name for name in inherit(trunk, source, tasks=tasks, features=features)}


def _inherit_members(model: MultiTaskModel, source: MultiTaskModel, features: Pairs) -> set[str]:
    """The scales of an ensemble of as many members, by the features that they scale."""
    ours, theirs = model.members, source.members
    if ours is None or theirs is None or ours.num_members != theirs.num_members or not features[0]:
        return set()
    _copy(ours.scales, theirs.scales, features)
    return {"members.scales"}


def _inherit_tops(
    model: MultiTaskModel, source: MultiTaskModel, tasks: Mapping[int, int], features: Pairs
) -> set[str]:
    """Towers and heads of the same tasks; the names of the parameters that were copied."""
    copied = set()
    for t, theirs in tasks.items():
        tops = nn.ModuleDict({"towers": model.towers[t], "heads": model.heads[t]})
        old = dict(
            nn.ModuleDict(
                {"towers": source.towers[theirs], "heads": source.heads[theirs]}
            ).named_parameters()
        )
        for place, (name, parameter) in enumerate(tops.named_parameters()):
            # A trunk without parameters returns x itself.
            reads_x = place == 0 and next(model.trunk.parameters(), None) is None
            if name in old and _copy(parameter, old[name], features if reads_x else None):
                part, rest = name.split(".", maxsplit=1)
                copied.add(f"{part}.{t}.{rest}")
    return copied


def _copy(parameter: Tensor, theirs: Tensor, features: Pairs | None) -> bool:
    theirs = theirs.to(parameter.device)
    if features is not None and parameter.shape[0] == theirs.shape[0]:
        new, old = features
        parameter[:, new] = theirs[:, old]
        return True
    if parameter.shape != theirs.shape:
        return False
    parameter.copy_(theirs)
    return True
