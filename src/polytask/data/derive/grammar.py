"""Reads a formula: Python's own grammar, of which a white list of forms is understood."""

import ast
import math
import re
import warnings
from functools import partial

import pyarrow.compute as pc

from polytask.data.derive import operations, times
from polytask.data.derive.operations import Function, Node, column, literal, operation, pointing
from polytask.errors import UserError, nearest

_DEEPEST = 150
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]+)`""")
_FIRST_PLACEHOLDER = 0x4E00

_BINARY: dict[type[ast.operator], Function] = {
    ast.Add: operations.arithmetic("+", pc.add_checked),
    ast.Sub: operations.arithmetic("-", pc.subtract_checked),
    ast.Mult: operations.arithmetic("*", pc.multiply_checked),
    ast.Div: operations.divide,
    ast.FloorDiv: operations.floor_divide,
    ast.Mod: operations.remainder,
    ast.Pow: operations.power,
}
# Whole numbers stay whole where the exponent is a literal 0, 1, 2, ...
_WHOLE_POWER = operations.arithmetic("**", pc.power_checked)
_UNARY: dict[type[ast.unaryop], Function] = {
    ast.USub: operations.arithmetic("-", pc.negate_checked),
    ast.UAdd: operations.arithmetic("+", lambda value: value),
    ast.Not: operations.negation,
}
_COMPARISONS: dict[type[ast.cmpop], Function] = {
    ast.Eq: operations.comparison("==", pc.equal),
    ast.NotEq: operations.comparison("!=", pc.not_equal),
    ast.Lt: operations.comparison("<", pc.less),
    ast.LtE: operations.comparison("<=", pc.less_equal),
    ast.Gt: operations.comparison(">", pc.greater),
    ast.GtE: operations.comparison(">=", pc.greater_equal),
}
_OF_ONE: dict[str, Function] = {
    "abs": operations.arithmetic("abs", pc.abs_checked),
    "exp": operations.of_floats("exp", pc.exp),
    "log": operations.logarithm,
    "log1p": operations.log1p,
    "sqrt": operations.of_floats("sqrt", pc.sqrt),
}
_OF_SEVERAL: dict[str, Function] = {
    "max": operations.arithmetic("max", partial(pc.max_element_wise, skip_nulls=False)),
    "min": operations.arithmetic("min", partial(pc.min_element_wise, skip_nulls=False)),
}
_FUNCTIONS = _OF_ONE | _OF_SEVERAL | times.OF_A_TIME | times.OF_TWO_TIMES
_FORMS = (
    "numbers, texts, columns, + - * / // % **, comparisons, and, or, not, in [...], is null,"
    f" and {', '.join(sorted(_FUNCTIONS))}"
)


def read_formula(formula: str) -> Node:
    """The tree of a formula; UserError points at what is not understood."""
    text, quoted = _without_backquotes(formula)
    reader = _Reader(formula, text, quoted)
    try:
        with warnings.catch_warnings():
            # Python only warns of a wrong escape in a text; here it is refused.
            warnings.simplefilter("error")
            tree = ast.parse(text, mode="eval")
        node = reader.read(tree.body)
    except SyntaxError as error:
        # Python counts from 1, and says 0 or the next line where the formula ends too early.
        offset = error.offset if error.offset and error.lineno == 1 else len(formula) + 1
        start = min(offset - 1, len(formula))
        raise pointing(formula, start, start + 1, f"not understood: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise UserError(f"a formula nested too deeply: {formula[:60]!r}...") from None
    if not node.columns:
        raise pointing(formula, 0, len(formula), "the formula names no column")
    return node


def _without_backquotes(formula: str) -> tuple[str, dict[str, str]]:
    """Each `odd name` replaced by a Python name of its length, so that places stay true."""
    quoted: dict[str, str] = {}
    codes = (code for code in range(_FIRST_PLACEHOLDER, 0x9FFF) if chr(code) not in formula)

    def replaced(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        placeholder = chr(next(codes)) + "_" * (len(match[0]) - 1)
        quoted[placeholder] = match[1]
        return placeholder

    return _QUOTED.sub(replaced, formula.replace("\n", " ")), quoted


class _Reader(ast.NodeVisitor):
    """Turns the syntax tree into nodes; a form without a method here is refused."""

    def __init__(self, formula: str, text: str, quoted: dict[str, str]) -> None:
        self.formula = formula
        self.bytes = text.encode()
        self.quoted = quoted
        self.depth = 0

    def read(self, syntax: ast.AST) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise RecursionError
        node: Node = self.visit(syntax)
        self.depth -= 1
        return node

    def generic_visit(self, node: ast.AST) -> Node:
        raise self.refusal(node, f"not understood here; a formula has {_FORMS}")

    def visit_Constant(self, node: ast.Constant) -> Node:
        value = node.value
        if value is None:
            raise self.refusal(node, "missing values are found by `is null` or `is not null`")
        if not isinstance(value, bool | int | float | str):
            return self.generic_visit(node)
        is_too_long = isinstance(value, int) and not -(2**63) <= value < 2**63
        if is_too_long or value in (math.inf, -math.inf):
            raise self.refusal(node, "a number too large for 64 bits")
        return literal(value)

    def visit_Name(self, node: ast.Name) -> Node:
        start, end = self.place(node)
        # Python normalises names (a ligature becomes two letters); the column is as written.
        written = self.bytes.decode()[start:end]
        if written == "null":
            raise self.refusal(node, "missing values are found by `is null` or `is not null`")
        if written in ("true", "false"):
            return literal(written == "true")
        return column(self.quoted.get(written, written), partial(self.refusal, node))

    def visit_Attribute(self, node: ast.Attribute) -> Node:
        raise self.refusal(node, "a column's name with a dot goes into backquotes: `a.b`")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Node:
        function = _UNARY.get(type(node.op))
        if function is None:
            raise self.refusal(node, "~ is not understood; write `not`")
        return self.operation(node, _name(node.op), function, node.operand)

    def visit_BinOp(self, node: ast.BinOp) -> Node:
        function = _BINARY.get(type(node.op))
        if function is None:
            hint = "; write `and` or `or`" if isinstance(node.op, ast.BitAnd | ast.BitOr) else ""
            raise self.refusal(node, f"this operator is not understood{hint}")
        if isinstance(node.op, ast.Pow) and _is_whole(node.right):
            function = _WHOLE_POWER
        return self.operation(node, _name(node.op), function, node.left, node.right)

    def visit_BoolOp(self, node: ast.BoolOp) -> Node:
        function = operations.all_of if isinstance(node.op, ast.And) else operations.any_of
        return self.operation(node, _name(node.op), function, *node.values)

    def visit_Compare(self, node: ast.Compare) -> Node:
        lefts = [node.left, *node.comparators[:-1]]
        links = [
            self.link(node, left, operator, right)
            for left, operator, right in zip(lefts, node.ops, node.comparators)
        ]
        if len(links) == 1:
            return links[0]
        return operation("And", operations.all_of, links, partial(self.refusal, node))

    def visit_Call(self, node: ast.Call) -> Node:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.refusal(node, f"not understood here; a formula has {_FORMS}")
        name = node.func.id
        if name not in _FUNCTIONS:
            raise self.refusal(node.func, f"unknown function {name!r}{nearest(name, _FUNCTIONS)}")
        takes = _refused_arguments(name, node.args)
        if takes is not None:
            raise self.refusal(node, f"{name} takes {takes}")
        return self.operation(node, name, _FUNCTIONS[name], *node.args)

    def link(self, node: ast.Compare, left: ast.expr, by: ast.cmpop, right: ast.expr) -> Node:
        """One comparison of a chain."""
        if isinstance(by, ast.Is | ast.IsNot):
            if not _is_null(right):
                raise self.refusal(right, "`is` is for null alone; write ==")
            is_null = pc.is_null if isinstance(by, ast.Is) else pc.is_valid
            return self.operation(node, _name(by), is_null, left)
        if isinstance(by, ast.In | ast.NotIn):
            is_in = operations.membership if isinstance(by, ast.In) else operations.no_membership
            return self.operation(node, _name(by), is_in, left, *self.members(right))
        return self.operation(node, _name(by), _COMPARISONS[type(by)], left, right)

    def members(self, node: ast.expr) -> list[ast.expr]:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not node.elts:
            raise self.refusal(node, "`in` takes a list of values, such as in [1, 2]")
        for member in node.elts:
            if self.read(member).columns:
                raise self.refusal(member, "the list after `in` takes values, no columns")
        return node.elts

    def operation(
        self, node: ast.expr, symbol: str, function: Function, *operands: ast.expr
    ) -> Node:
        nodes = [self.read(operand) for operand in operands]
        return operation(symbol, function, nodes, partial(self.refusal, node))

    def refusal(self, node: ast.AST, words: str) -> UserError:
        return pointing(self.formula, *self.place(node), words)

    def place(self, node: ast.AST) -> tuple[int, int]:
        """Python counts in bytes of UTF-8, a person in characters."""
        if not isinstance(node, ast.expr) or node.end_col_offset is None:
            return 0, len(self.formula)
        start, end = (self.bytes[:end].decode() for end in (node.col_offset, node.end_col_offset))
        return len(start), len(end)


def _name(operator: ast.AST) -> str:
    return type(operator).__name__


def _is_null(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None
    return isinstance(node, ast.Name) and node.id == "null"


def _is_whole(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 0


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _refused_arguments(name: str, arguments: list[ast.expr]) -> str | None:
    """What the function takes, where it is not this; None where it is."""
    if name in _OF_ONE:
        return None if len(arguments) == 1 else "one value"
    if name in _OF_SEVERAL:
        return None if len(arguments) >= 2 else "two values or more, of one row"
    num_times = 1 if name in times.OF_A_TIME else 2
    # Then, as texts, the unit of numbers and a zone.
    how = arguments[num_times:]
    if len(arguments) >= num_times and len(how) <= 2 and all(map(_is_text, how)):
        return None
    first = "a time" if num_times == 1 else "two times"
    return f"{first}, and perhaps a unit or a zone: 'ms', 'Asia/Tokyo'"
