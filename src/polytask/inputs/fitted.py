"""All inputs of a run, fitted on its training rows and saved as JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from polytask.columns.required import require_columns
from polytask.errors import UserError, nearest
from polytask.files.reading import parse_json
from polytask.inputs.input import Feature, Input
from polytask.inputs.joined import JoinedEncoder
from polytask.inputs.registry import INPUTS

FORMAT = "polytask-inputs"
VERSION = 1

Fit = Callable[[pa.Table, Sequence[str]], Input]
"""`Input.fit` of one kind, with its options."""


@dataclass(frozen=True, slots=True)
class FittedInputs:
    """Each input by its name, in the order in which they fill x.

    >>> table = pa.table({"age": [31.0, None], "city": ["Bonn", "Kiel"]})
    >>> fitted = FittedInputs.fit(table, {"numeric": ["age"], "categorical": ["city"]})
    >>> {name: tuple(tensor.shape) for name, tensor in fitted.encode(table).items()}
    {'categorical': (2, 1), 'numeric': (2, 1)}
    >>> fitted.encoder()(fitted.encode(table)).shape
    torch.Size([2, 8])
    """

    by_name: Mapping[str, Input]

    @classmethod
    def fit(
        cls,
        train_table: pa.Table,
        columns: Mapping[str, Sequence[str]],
        *,
        fits: Mapping[str, Fit] | None = None,
    ) -> "FittedInputs":
        """Fit every input that has columns; `fits` replaces the registered ones, with options.

        UserErrors: an unknown input, a column that is missing from the table, what an input refuses.
        """
        known: Mapping[str, Fit] = {name: kind.fit for name, kind in INPUTS.items()} | dict(
            fits or {}
        )
        for name in columns:
            if name not in known:
                raise UserError(f"there is no input {name!r}{nearest(name, known)}")
        require_columns(train_table, [c for names in columns.values() for c in names], "the inputs")
        used = [name for name in known if columns.get(name)]
        return cls({name: known[name](train_table, columns[name]) for name in used})

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, input by input."""
        return tuple(column for one in self.by_name.values() for column in one.columns)

    def features(self) -> tuple[Feature, ...]:
        """What each entry of x is, but for the zeros at its end."""
        return tuple(feature for one in self.by_name.values() for feature in one.features())

    @property
    def map_form(self) -> tuple[int, int, int] | None:
        """Channels, height and width of x, where it is pictures as they are and nothing else."""
        forms = [one.map_form for one in self.by_name.values()]
        return forms[0] if len(forms) == 1 else None

    def encoder(self, *, cross_layers: int = 0, cross_rank: int = 32) -> JoinedEncoder:
        """A fresh network from the tensors of `encode` to x."""
        return JoinedEncoder(self.by_name, cross_layers=cross_layers, cross_rank=cross_rank)

    def encode(self, table: pa.Table) -> dict[str, Tensor]:
        """Each input's tensor (B, ...) by its name; UserErrors as of `fit`."""
        require_columns(table, self.columns, "the inputs")
        return {name: one.encode(table) for name, one in self.by_name.items()}

    def notes(self, table: pa.Table) -> list[str]:
        """What the inputs say of how these rows are read."""
        return [note for one in self.by_name.values() for note in one.notes(table)]

    def lengths(self, encoded: Mapping[str, Tensor]) -> Tensor | None:
        """The steps that the longest part of each row takes (B,); None where rows are all alike."""
        found = [one.lengths(encoded[name]) for name, one in self.by_name.items()]
        lengths = [each for each in found if each is not None]
        return torch.stack(lengths).amax(dim=0) if lengths else None

    def num_words(self, encoded: Mapping[str, Tensor]) -> Tensor | None:
        """How many words each row has (B,), where an input makes a vector of each; None where none does."""
        found = [one.num_words(encoded[name]) for name, one in self.by_name.items()]
        return next((each for each in found if each is not None), None)

    def to_json(self) -> str:
        """The inputs as JSON text, with a format and its version."""
        records = {name: one.to_record() for name, one in self.by_name.items()}
        record = {"format": FORMAT, "version": VERSION, "inputs": records}
        return json.dumps(record, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "FittedInputs":
        """The inputs of `to_json`; a foreign, newer or damaged text is a UserError."""
        return cls.from_record(parse_json(text, where="these inputs"))

    @classmethod
    def from_record(cls, record: object) -> "FittedInputs":
        """The inputs of the values of `to_json`; UserErrors as of `from_json`."""
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            found = record.get("format") if isinstance(record, dict) else type(record).__name__
            raise UserError(f"this is no {FORMAT!r} record: its format is {found!r}")
        if record.get("version") != VERSION:
            raise UserError(
                f"this {FORMAT!r} record has version {record.get('version')!r}, but this polytask "
                f"reads version {VERSION}: use the polytask that wrote it, or a newer one"
            )
        records = record.get("inputs")
        if not isinstance(records, dict):
            raise UserError(f"damaged {FORMAT!r} record: inputs: a mapping is due")
        if not records:
            raise UserError(f"damaged {FORMAT!r} record: it has no inputs")
        inputs = cls({name: _kind(name).from_record(one) for name, one in records.items()})
        for name, one in inputs.by_name.items():
            if not one.columns or len(set(one.columns)) < len(one.columns):
                raise UserError(f"damaged {FORMAT!r} record: {name}: a column twice, or none")
        return inputs


def _kind(name: str) -> type[Input]:
    if name not in INPUTS:
        raise UserError(
            f"there is no input {name!r}{nearest(name, INPUTS)}; if it is one of your own, import "
            "the module that registers it first"
        )
    return INPUTS[name]
