"""What a formula needs of single columns, for files whose figures say that no row has it."""

import ast
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.Eq,
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}


def necessary(formula: str, schema: pa.Schema, *, derived: Collection[str]) -> pc.Expression | None:
    """A condition that every row of the formula meets, as files are filtered by it; None for none.

    Of conditions joined by `and` those that compare a column as it is written with numbers, or an
    undivided time with a text. Text may stand for numbers or for missing, and is passed over.

    >>> schema = pa.schema({"age": pa.int64(), "city": pa.string()})
    >>> str(necessary("age >= 18 and city == 'Bonn' and x < 3", schema, derived=["x"]))
    '(age >= 18)'
    """
    if "`" in formula:
        return None
    try:
        tree = ast.parse(formula.replace("\n", " ").strip(), mode="eval")
    except SyntaxError:
        return None
    own = {field.name: field.type for field in schema if field.name not in derived}
    return _condition(tree.body, own)


def _condition(node: ast.expr, own: dict[str, pa.DataType]) -> pc.Expression | None:
    if isinstance(node, ast.BoolOp):
        found = [_condition(each, own) for each in node.values]
        known = [each for each in found if each is not None]
        is_or = isinstance(node.op, ast.Or)
        if not known or (is_or and len(known) < len(found)):
            return None
        whole = known[0]
        for each in known[1:]:
            whole = whole | each if is_or else whole & each
        return whole
    if not isinstance(node, ast.Compare) or len(node.ops) > 1:
        return None
    left, right, by = node.left, node.comparators[0], type(node.ops[0])
    if isinstance(right, ast.Name) and by in _FLIPPED:
        left, right, by = right, left, _FLIPPED[by]
    if not isinstance(left, ast.Name) or left.id not in own:
        return None
    return _comparison(left.id, own[left.id], by, right)


def _comparison(
    name: str, dtype: pa.DataType, by: type[ast.cmpop], right: ast.expr
) -> pc.Expression | None:
    members = right.elts if isinstance(right, ast.List | ast.Tuple | ast.Set) else [right]
    values = [_value(each, dtype) for each in members]
    if any(value is None for value in values):
        return None
    field = pc.field(name)
    if by is ast.In:
        return field.isin([value.as_py() for value in values if value is not None])
    operators = {
        ast.Eq: field == values[0],
        ast.Lt: field < values[0],
        ast.LtE: field <= values[0],
        ast.Gt: field > values[0],
        ast.GtE: field >= values[0],
    }
    return operators.get(by)


def _value(node: ast.expr, dtype: pa.DataType) -> pa.Scalar | None:
    """A number for a column of numbers, a text as a time for a time without a zone."""
    try:
        value = ast.literal_eval(node)
        if type(value) in (int, float) and pa.types.is_integer(dtype) and value == int(value):
            return pa.scalar(int(value), pa.int64())
        if type(value) in (int, float) and pa.types.is_floating(dtype):
            return pa.scalar(float(value))
        if isinstance(value, str) and pa.types.is_timestamp(dtype) and dtype.tz is None:
            return pa.scalar(value).cast(dtype)
    except (ValueError, OverflowError, pa.ArrowException):
        pass
    return None
