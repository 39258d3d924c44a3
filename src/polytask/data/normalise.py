"""One spelling for each thing: missing is null, text is text, a number is an int or a float."""

import pyarrow as pa
import pyarrow.compute as pc

_LOOKED_AT = 1000
_LARGEST_EXACT = 2.0**53
_AS_THEY_ARE = frozenset(
    {pa.lib.Type_INT64, pa.lib.Type_INT32, pa.lib.Type_STRING, pa.lib.Type_LARGE_STRING}
)
"""The commonest types that need nothing; others that need nothing are asked for one by one."""


def normalised(table: pa.Table) -> pa.Table:
    """The table without NaN (null instead), string views, decimals, half floats and metadata.

    Columns that are normalised already are not copied.
    """
    columns = [_normalised(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names).unify_dictionaries()


def with_whole_numbers(table: pa.Table) -> pa.Table:
    """Whole numbers of which some are missing as int64, since pandas makes floats of them."""
    for position, field in enumerate(table.schema):
        column = table[position]
        if pa.types.is_floating(field.type) and column.null_count and _are_whole(column):
            table = table.set_column(position, field.with_type(pa.int64()), column.cast(pa.int64()))
    return table


def _are_whole(column: pa.ChunkedArray) -> bool:
    """Whether all values are whole, and small enough to be told apart as floats."""
    for values in (column.slice(0, _LOOKED_AT), column):
        small = pc.less_equal(pc.abs(values), _LARGEST_EXACT)
        whole = pc.and_(small, pc.equal(values, pc.floor(values)))
        if pc.all(whole).as_py() is False:
            return False
    return bool(column.null_count < len(column))


def _normalised(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if kind.id in _AS_THEY_ARE:
        return column
    if isinstance(kind, pa.BaseExtensionType):
        storage = [chunk.storage for chunk in column.chunks]
        return _normalised(pa.chunked_array(storage, type=kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _normalised_dictionary(column)
    if pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return _as_text(column)
    if pa.types.is_decimal(kind):
        return _without_decimals(column)
    if pa.types.is_floating(kind):
        return _without_nan(column)
    return column


def _normalised_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Signed 32-bit indices and plain values; float values are not worth a dictionary."""
    values = column.type.value_type
    if pa.types.is_floating(values) or pa.types.is_decimal(values):
        return _normalised(column.cast(values))
    if pa.types.is_string_view(values):
        values = pa.large_string()
    return column.cast(pa.dictionary(pa.int32(), values))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Some writers leave the mark "this is text" away; bytes that are no UTF-8 stay bytes."""
    try:
        return column.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return column


def _without_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole decimals may be ids: 64-bit integers, or text where those do not suffice."""
    if column.type.scale > 0:
        return column.cast(pa.float64())
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    nan = pc.is_nan(column)
    if not pc.any(nan).as_py():
        return column
    return pc.if_else(nan, pa.scalar(None, column.type), column)
