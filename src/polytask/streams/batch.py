"""Rows as columns: a batch is one selection of rows per tensor, never a row at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from polytask.errors import UserError, nearest
from polytask.streams.named import Index, NamedTensors, rows_at


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Named inputs, and labels and row weights by the names of the tasks, all of the same rows.

    `inputs` are whatever the encoder reads: for tables "numeric" (B, N), float32 with NaN where
    missing, and "categorical" (B, C), int64. Labels are (B,) or (B, ...), NaN where missing. A task
    that has no labels here is absent; one that has no weights weighs its rows alike.
    `groups` (B,) are integer codes of what GAUC is averaged over, `rows` (B,) the rows' numbers in
    the data that they are from. A batch that `is_stand_in` has a row only because a network needs
    one: it counts in no loss.

    >>> batch = Batch({"x": torch.zeros(3, 2)}, {"click": torch.tensor([0.0, 1.0, 1.0])})
    >>> batch[torch.tensor([2, 0])].labels["click"]
    tensor([1., 0.])
    """

    inputs: Mapping[str, Tensor]
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    groups: Tensor | None = None
    rows: Tensor | None = None
    is_stand_in: bool = False

    def __post_init__(self) -> None:
        for name in ("inputs", "labels", "weights"):
            tensors = getattr(self, name)
            if not isinstance(tensors, NamedTensors):
                object.__setattr__(self, name, NamedTensors(tensors))
        if not self.inputs:
            raise UserError("a batch needs an input, by name")
        lengths = [len(tensor) for tensor in self.storages()]
        if any(length != lengths[0] for length in lengths):
            raise UserError(f"inputs, labels, weights, groups and rows differ in length: {lengths}")
        _check_weights(self.weights, self.labels)
        _check_codes("groups", self.groups)
        _check_codes("rows", self.rows)

    def __len__(self) -> int:
        return len(self.storages()[0])

    def __getitem__(self, index: Index) -> "Batch":
        """The rows of an index, a mask or a slice; slices are views."""
        return self._map(lambda tensor: rows_at(tensor, index))

    def numbered(self, index_B: Tensor) -> "Batch":
        """The rows of an index, which is their number where they have none yet."""
        return self._map(lambda tensor: rows_at(tensor, index_B), index_B)

    def to(self, device: torch.device | str) -> "Batch":
        """The same rows on a device; tensors that are there already are not copied."""
        device = torch.device(device)
        if all(tensor.device == device for tensor in self.storages()):
            return self
        return self._map(lambda tensor: tensor.to(device))

    def part(self, place: int, count: int) -> "Batch":
        """The `place`-th of `count` parts, equal up to a row; a stand-in where it has no row."""
        rows = part_of(range(len(self)), place, count)
        if not rows:
            return replace(self[:1], is_stand_in=True)
        return self[rows.start : rows.stop]

    @classmethod
    def joined(cls, pieces: Sequence["Batch"]) -> "Batch":
        """Batches of the same names, one below the other.

        >>> halves = [Batch({"x": torch.arange(2)}), Batch({"x": torch.arange(3)})]
        >>> Batch.joined(halves).inputs["x"].tolist()
        [0, 1, 0, 1, 2]
        """
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            NamedTensors.joined([_packed(piece.inputs) for piece in pieces]),
            NamedTensors.joined([_packed(piece.labels) for piece in pieces]),
            NamedTensors.joined([_packed(piece.weights) for piece in pieces]),
            _joined_codes([piece.groups for piece in pieces]),
            _joined_codes([piece.rows for piece in pieces]),
        )

    def storages(self) -> list[Tensor]:
        """The tensors that hold all this, inputs first; labels of several tasks may be one."""
        named = (self.inputs, self.labels, self.weights)
        optional = (self.groups, self.rows)
        return [
            *(tensor for mapping in named for tensor in _packed(mapping).storages()),
            *(tensor for tensor in optional if tensor is not None),
        ]

    def _map(self, change: Callable[[Tensor], Tensor], rows: Tensor | None = None) -> "Batch":
        return Batch(
            _packed(self.inputs).map(change),
            _packed(self.labels).map(change),
            _packed(self.weights).map(change),
            None if self.groups is None else change(self.groups),
            rows if self.rows is None else change(self.rows),
            self.is_stand_in,
        )


def part_of(rows: range, place: int, count: int) -> range:
    """The `place`-th of `count` consecutive parts of a range, equal up to one."""
    if not 0 <= place < count:
        raise UserError(f"there is no part {place} of {count}: they count from 0")
    length = len(rows)
    return rows[length * place // count : length * (place + 1) // count]


def _packed(tensors: Mapping[str, Tensor]) -> NamedTensors:
    assert isinstance(tensors, NamedTensors)
    return tensors


def _joined_codes(codes: Sequence[Tensor | None]) -> Tensor | None:
    known = [each for each in codes if each is not None]
    return torch.cat(known) if len(known) == len(codes) else None


def _check_weights(weights: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> None:
    for name in weights:
        if name not in labels:
            raise UserError(f"there are weights for {name!r}, but no labels{nearest(name, labels)}")
        if weights[name].ndim != 1:
            raise UserError(f"a weight is one number a row, but {weights[name].shape=} ({name!r})")


def _check_codes(name: str, codes_B: Tensor | None) -> None:
    if codes_B is not None and (codes_B.ndim != 1 or codes_B.is_floating_point()):
        raise UserError(f"{name} must be one integer code a row, but {codes_B.shape=}")
