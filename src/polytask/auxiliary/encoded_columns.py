"""Where a column stands in the tensors of a batch, so that it can be hidden or exchanged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from polytask.errors import UserError, nearest
from polytask.inputs import Categories, FittedInputs, FrequentValues, Numbers

_READ = (Categories, Numbers, FrequentValues)


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """One column: each tensor (B, C) that has it and its place there, the one that tells most first.

    `num_ids` is the size of its vocabulary, 0 for a number.
    """

    name: str
    places: tuple[tuple[str, int], ...]
    num_ids: int

    def values(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B,): ids, or standardised numbers, NaN where missing."""
        name, place = self.places[0]
        return inputs[name][:, place]


def encoded_columns(inputs: FittedInputs, wanted: Sequence[str] = ()) -> tuple[EncodedColumn, ...]:
    """The categories and numbers among the inputs, or those of them that are wanted.

    UserError for a name that is none of them, and where there is none at all.
    """
    places: dict[str, list[tuple[str, int]]] = {}
    num_ids: dict[str, int] = {}
    for input_name, one in inputs.by_name.items():
        if isinstance(one, _READ):
            for place, column in enumerate(one.columns):
                places.setdefault(column, []).append((input_name, place))
                if isinstance(one, Categories):
                    num_ids[column] = one.vocabularies[place].num_ids
    for name in wanted:
        if name not in places:
            raise UserError(
                f"{name!r} is no category and no number among the inputs{nearest(name, places)}"
            )
    if not places:
        raise UserError("there is no category and no number among the inputs")
    names = wanted or list(places)
    return tuple(EncodedColumn(n, tuple(places[n]), num_ids.get(n, 0)) for n in names)
