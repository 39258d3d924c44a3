"""Where texts and lists stand in the tensors of a batch, so that their entries can be exchanged or moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from polytask.errors import UserError, nearest
from polytask.inputs import FittedInputs, Sequences, Text, WordInput


@dataclass(frozen=True, slots=True)
class ListColumn:
    """One text, list or column of words: ids (B, L) at a place of a tensor (B, C, L), 0 behind the end; its vocabulary's size."""

    name: str
    input_name: str
    place: int
    num_ids: int
    is_of_words: bool = False

    def ids(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, L)"""
        return inputs[self.input_name][:, self.place]


def list_columns(inputs: FittedInputs, wanted: Sequence[str] = ()) -> tuple[ListColumn, ...]:
    """The texts and lists among the inputs, or those of them that are wanted.

    UserError for a name that is none of them, and where there is none at all.
    """
    found: dict[str, ListColumn] = {}
    for input_name, one in inputs.by_name.items():
        if isinstance(one, Text):
            for group, vocabulary in zip(one.sharing.groups, one.vocabularies):
                for place in group:
                    name = one.columns[place]
                    found[name] = ListColumn(name, input_name, place, vocabulary.num_ids)
        elif isinstance(one, Sequences):
            for place in one.lists():
                name, table = one.columns[place], one.tables[one.table_of[place]]
                found[name] = ListColumn(name, input_name, place, table.num_ids)
        elif isinstance(one, WordInput):
            (name,) = one.columns
            found[name] = ListColumn(name, input_name, 0, one.tables[0].num_ids, True)
    for name in wanted:
        if name not in found:
            raise UserError(
                f"{name!r} is no text and no list among the inputs{nearest(name, found)}"
            )
    if not found:
        raise UserError("there is no text and no list among the inputs")
    return tuple(found[name] for name in wanted or found)
