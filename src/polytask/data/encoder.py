"""Table columns -> numbers, fitted on the training rows only and saved as JSON."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter

from polytask.columns.serial import from_record, to_record
from polytask.data.categorical import CategoricalColumn, fit_categorical
from polytask.data.numeric import NumericColumn, NumericEncoding, fit_numeric
from polytask.data.readers import require_columns
from polytask.data.schema import Schema
from polytask.errors import UserError

__all__ = ["CategoricalColumn", "NumericColumn", "NumericEncoding", "TableEncoder"]

FORMAT = "polytask-encoder"
VERSION = 1


@dataclass(frozen=True, slots=True)
class TableEncoder:
    """Numeric and categorical inputs -> float32 and int64 arrays, in the schema's order."""

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    encoding: NumericEncoding

    @classmethod
    def fit(
        cls,
        train_table: pa.Table,
        schema: Schema,
        *,
        min_count: int = 2,
        numeric_encoding: NumericEncoding = "piecewise",
        num_bins: int = 16,
    ) -> "TableEncoder":
        """Vocabularies and scales of the training rows.

        A value in fewer than `min_count` rows shares id 1 with unseen ones. UserErrors: a column
        that is missing from the table, text or infinities among numbers, values without identity.
        """
        if min_count < 1 or num_bins < 1:
            raise UserError(f"{min_count=} and {num_bins=} must be positive")
        require_columns(train_table, (*schema.numeric, *schema.categorical), "the inputs")
        return cls(
            numeric=tuple(
                fit_numeric(name, train_table[name], encoding=numeric_encoding, num_bins=num_bins)
                for name in schema.numeric
            ),
            categorical=tuple(
                fit_categorical(name, train_table[name], min_count=min_count)
                for name in schema.categorical
            ),
            encoding=numeric_encoding,
        )

    def encode(self, table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Numeric (B, N), NaN where missing, and ids (B, C).

        Numbers are standardised in float64 ("quantile": normal scores of their training ranks)
        and then rounded to float32; "piecewise" leaves the bins to the network. Columns of other
        types than the training rows' are read where nothing is lost ("5", 5 and 5.0), else
        UserError, as for infinities and missing columns. Unseen values are id 1.
        """
        require_columns(table, [column.name for column in self.numeric], "the inputs")
        require_columns(table, [column.name for column in self.categorical], "the inputs")
        numeric_BN = np.empty((table.num_rows, len(self.numeric)), dtype=np.float32)
        for n, numeric in enumerate(self.numeric):
            numeric_BN[:, n] = numeric.encode(table[numeric.name])
        categorical_BC = np.empty((table.num_rows, len(self.categorical)), dtype=np.int64)
        for c, categorical in enumerate(self.categorical):
            categorical_BC[:, c] = categorical.encode(table[categorical.name])
        return numeric_BN, categorical_BC

    def to_json(self) -> str:
        """The encoder as JSON text, with its format and version."""
        record = to_record(_adapter, self, format_name=FORMAT, version=VERSION)
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "TableEncoder":
        """The encoder of `to_json`; a foreign or newer text is a UserError."""
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"this encoder is no JSON: {error}") from error
        return from_record(_adapter, record, format_name=FORMAT, version=VERSION)


_adapter = TypeAdapter(TableEncoder)
