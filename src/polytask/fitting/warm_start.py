"""Weights of an earlier run for a new one, by column and vocabulary entry."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.data.encoder import TableEncoder
from polytask.encoders import Feature, TabularEncoder
from polytask.errors import UserError
from polytask.model import MultiTaskModel


@dataclass(frozen=True, slots=True)
class Carried:
    """How much of a model came from the earlier one; `skipped` parameters keep fresh weights."""

    embedding_rows: int
    parameters: int
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Features:
    """Which features of the new x are which of the old one, by position."""

    num_new: int
    num_old: int
    new: Tensor
    old: Tensor


@torch.no_grad()
def warm_start(
    model: MultiTaskModel, columns: TableEncoder, source: MultiTaskModel, known: TableEncoder
) -> Carried:
    """Copy what both models have; what is new keeps its fresh weights.

    Embedding rows go by column and value; a matrix that reads x goes by the columns that fill x;
    towers, heads and gates go by the task's name; all else by its own name, where shapes agree.
    """
    encoder, old_encoder = model.encoder, source.encoder
    if not isinstance(encoder, TabularEncoder) or not isinstance(old_encoder, TabularEncoder):
        raise UserError("--init-from works on runs with polytask's own table encoder")
    rows = _copy_embeddings(encoder, columns, old_encoder, known)
    features = _common_features(encoder, columns, old_encoder, known)
    old = dict(source.named_parameters())
    copied, skipped = 0, []
    for name, parameter in model.named_parameters():
        if name.startswith("encoder."):
            continue
        theirs = old.get(_name_in(name, model, source))
        if theirs is not None and _copy(parameter, theirs.to(parameter.device), features):
            copied += 1
        else:
            skipped.append(name)
    if rows == 0 and copied == 0:
        raise UserError("--init-from: the two runs have no column, layer or task in common")
    return Carried(rows, copied, tuple(skipped))


def _copy_embeddings(
    encoder: TabularEncoder, columns: TableEncoder, source: TabularEncoder, known: TableEncoder
) -> int:
    if encoder.embedding_dim != source.embedding_dim:
        return 0
    places = {column.name: c for c, column in enumerate(known.categorical)}
    total = 0
    for c, column in enumerate(columns.categorical):
        if column.name not in places:
            continue
        old_column = known.categorical[places[column.name]]
        # Ids 0 and 1 mean missing and unknown everywhere; values start at 2.
        old_ids = {value: i + 2 for i, value in enumerate(old_column.values)}
        pairs = [(i + 2, old_ids[v]) for i, v in enumerate(column.values) if v in old_ids]
        new_ids, their_ids = zip((0, 0), (1, 1), *pairs)
        target = encoder.embedding_rows(c)
        rows = source.embedding_rows(places[column.name])[list(their_ids)]
        target[list(new_ids)] = rows.to(target.device)
        total += len(new_ids)
    return total


def _common_features(
    encoder: TabularEncoder, columns: TableEncoder, source: TabularEncoder, known: TableEncoder
) -> _Features:
    old = {key: place for place, key in enumerate(_keys(source, known))}
    pairs = [(i, old[key]) for i, key in enumerate(_keys(encoder, columns)) if key in old]
    new_places, old_places = zip(*pairs) if pairs else ((), ())
    return _Features(
        encoder.out_features,
        source.out_features,
        torch.tensor(new_places, dtype=torch.long),
        torch.tensor(old_places, dtype=torch.long),
    )


def _keys(encoder: TabularEncoder, columns: TableEncoder) -> list[tuple[str, Feature]]:
    """Each feature of x with its column's name in the place of its column's number."""
    names = {
        "embedding": [column.name for column in columns.categorical],
        "number": [column.name for column in columns.numeric],
    }
    keys = []
    for feature in encoder.features():
        kind = "embedding" if feature.kind == "embedding" else "number"
        keys.append((names[kind][feature.column], feature.without_column()))
    return keys


def _name_in(name: str, model: MultiTaskModel, source: MultiTaskModel) -> str:
    """The parameter's name in the source: the position of a task's own module is translated."""
    parts = name.split(".")
    depth = 2 if parts[0] == "trunk" else 1
    if len(parts) <= depth or not parts[depth].isdigit():
        return name
    modules = model.get_submodule(".".join(parts[:depth]))
    if not isinstance(modules, nn.ModuleList) or len(modules) != len(model.tasks):
        return name
    task = model.tasks[int(parts[depth])].name
    theirs = [known.name for known in source.tasks]
    if task not in theirs:
        return ""
    return ".".join([*parts[:depth], str(theirs.index(task)), *parts[depth + 1 :]])


def _copy(parameter: Tensor, theirs: Tensor, features: _Features) -> bool:
    reads_x = parameter.ndim == 2 and parameter.shape[1] == features.num_new
    if reads_x and theirs.ndim == 2 and theirs.shape[1] == features.num_old:
        if parameter.shape[0] != theirs.shape[0]:
            return False
        parameter[:, features.new] = theirs[:, features.old]
        return True
    if parameter.shape != theirs.shape:
        return False
    parameter.copy_(theirs)
    return True
