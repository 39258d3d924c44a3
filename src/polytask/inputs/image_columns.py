"""Columns of pictures -> pixels of one form, whatever the pictures are."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from polytask.columns.values import is_text, type_name
from polytask.errors import UserError
from polytask.inputs.image_decoding import (
    Form,
    Picture,
    Pixels,
    UnreadableError,
    form_of,
    form_of_shape,
    is_picture,
    pixels_of,
)

_PIECE = 1024
_MOST_NAMED = 3


class BadRowsError(UserError):
    """Pictures of a column that cannot be read: `reasons` by the number of the row.

    `part` says of which table, `hint` by which option their rows are left out.
    """

    def __init__(
        self, column: str, reasons: Mapping[int, str], *, part: str = "", hint: str = ""
    ) -> None:
        self.column, self.reasons = column, dict(reasons)
        shown = [f"row {row}: {why}" for row, why in list(reasons.items())[:_MOST_NAMED]]
        more = len(reasons) - len(shown)
        told = "; ".join(shown) + (f"; and {more:,} more" if more else "")
        super().__init__(
            f"{part}{': ' if part else ''}column {column!r} has pictures that cannot be read "
            f"({told}): mend them, or leave their rows out{hint}"
        )

    def among(self, rows: NDArray[np.int64], *, part: str = "", hint: str = "") -> "BadRowsError":
        """The same pictures, counted in a table of which this one is the selection `rows`."""
        reasons = {int(rows[row]): why for row, why in self.reasons.items()}
        return BadRowsError(self.column, reasons, part=part, hint=hint)


def forms(column: pa.ChunkedArray, name: str) -> list[Form]:
    """The form of each picture, of which only the head is read; what is none is passed over."""
    array = dense(column)
    if array is not None:
        return [form_of_shape(array.shape[1:])] * len(array)
    found = []
    for picture in pictures(column, name):
        try:
            found += [] if picture is None else [form_of(picture)]
        except UnreadableError:
            continue
    return found


def decode(column: pa.ChunkedArray, name: str, form: Form) -> tuple[Pixels, NDArray[np.bool_]]:
    """Pixels (N, C, H, W) of all rows, and which rows have a picture: the others are zeros.

    BadRowsError for pictures that cannot be read.
    """
    array = dense(column)
    if array is not None and array.dtype == np.uint8 and form_of_shape(array.shape[1:]) == form:
        shape = (len(array), form.height, form.width, form.channels)
        pixels: Pixels = array.astype(np.uint8, copy=False).reshape(shape)
        return pixels.transpose(0, 3, 1, 2), np.ones(len(array), dtype=np.bool_)
    pixels_NCHW = np.zeros((len(column), form.channels, form.height, form.width), dtype=np.uint8)
    present_N = np.zeros(len(column), dtype=np.bool_)
    reasons: dict[int, str] = {}

    def fill(row: int, picture: Picture | None) -> None:
        if picture is None:
            return
        try:
            pixels_NCHW[row] = pixels_of(picture, form)
            present_N[row] = True
        except UnreadableError as error:
            reasons[row] = str(error)

    values = enumerate(pictures(column, name))
    # Pillow lets other threads run while it decodes; piece by piece, for map takes all it is given.
    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:
        while piece := list(islice(values, _PIECE)):
            list(pool.map(fill, *zip(*piece)))
    if reasons:
        raise BadRowsError(name, dict(sorted(reasons.items())))
    return pixels_NCHW, present_N


def pictures(column: pa.ChunkedArray, name: str) -> Iterator[Picture | None]:
    """The values of a column one by one, of structures their bytes, or else their path.

    UserError for a column that holds no pictures.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_binary_view(kind):
        column = column.cast(pa.large_binary())
    is_bytes = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    if not (is_bytes or is_text(kind) or pa.types.is_null(kind) or pa.types.is_nested(kind)):
        raise UserError(
            f"column {name!r} holds {type_name(kind)}, no pictures: what is due are the bytes or "
            "the paths of JPEG or PNG files, or arrays (H, W) or (H, W, C)"
        )
    for start in range(0, len(column), _PIECE):
        for value in column.slice(start, _PIECE).to_pylist():
            yield (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value


def dense(column: pa.ChunkedArray) -> NDArray[np.generic] | None:
    """A column of arrays of one shape as one array (N, H, W[, C]); None for all other columns."""
    if not pa.types.is_nested(column.type) or column.null_count or not len(column):
        return None
    values, shape = column.combine_chunks(), [len(column)]
    while pa.types.is_nested(values.type):
        if pa.types.is_struct(values.type) or pa.types.is_map(values.type) or values.null_count:
            return None
        lengths = pc.min_max(pc.list_value_length(values))
        if lengths["min"] != lengths["max"]:
            return None
        shape.append(lengths["min"].as_py())
        values = values.flatten()
    if values.null_count or not pa.types.is_primitive(values.type) or not is_picture(shape[1:]):
        return None
    array: NDArray[np.generic] = values.to_numpy(zero_copy_only=False).reshape(shape)
    return array
