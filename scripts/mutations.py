"""Small changes of a Python source, each of which some test should notice.

What says nothing about behaviour is left alone: docstrings and other text, annotations, imports,
decorators, assertions, and what stands in a `raise`.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip

_SILENT = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)

# Calls that make another type of thing of their argument: without them most lines only crash.
_CONVERSIONS = (
    "all", "any", "bool", "cast", "dict", "enumerate", "field", "fitted", "float", "frozenset",
    "int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "range", "set", "str",
    "sum", "super", "tuple", "zip",
)  # fmt: skip
_LIBRARIES = ("functional", "json", "math", "nn", "np", "os", "pa", "pc", "re", "torch")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: the characters from `start` to `end` of a source become `new`."""

    line: int
    start: int
    end: int
    old: str
    new: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.end :]

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{old[:48]} -> {new[:48]}"


def mutations(source: str) -> list[Mutation]:
    """All mutations of a source, in its order.

    >>> [str(each) for each in mutations("def f(a, b):\\n    return a < b")]
    ['a < b -> (a <= b)']
    """
    offsets = _line_offsets(source)
    found = []
    for node in _walk(ast.parse(source)):
        for place, new in _changes(node):
            start = _position(offsets, source, place.lineno, place.col_offset)
            end = _position(offsets, source, place.end_lineno or 0, place.end_col_offset or 0)
            found.append(Mutation(place.lineno, start, end, source[start:end], new))
    return sorted(found, key=lambda each: (each.start, each.end, each.new))


def _line_offsets(source: str) -> list[int]:
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets


def _position(offsets: list[int], source: str, line: int, column: int) -> int:
    """The character's place in the source; ast counts columns in bytes."""
    start = offsets[line - 1]
    text = source[start : offsets[line]].encode()[:column].decode()
    return start + len(text)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """What says how something behaves."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, _SILENT) or _is_alias(child):
                continue
            yield child
            yield from _walk(child)


def _is_alias(node: ast.AST) -> bool:
    """A name for a type, or the slots of a class."""
    if isinstance(node, ast.AnnAssign):
        return "TypeAlias" in ast.unparse(node.annotation)
    if isinstance(node, ast.Assign):
        names = {ast.unparse(target) for target in node.targets}
        subscript = isinstance(node.value, ast.Subscript)
        return "__slots__" in names or (subscript and "Literal" in ast.unparse(node.value))
    return False


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Which expression or statement changes, and into what."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _OPPOSITES:
            yield node, _with(node, ops=[_OPPOSITES[type(operator)]()])
        case ast.BinOp(left=left, op=operator, right=right):
            is_text = any(isinstance(side, ast.JoinedStr | ast.List) for side in (left, right))
            if type(operator) in _OPPOSITES and not is_text:
                yield node, _with(node, op=_OPPOSITES[type(operator)]())
            elif isinstance(operator, ast.BitOr):
                yield node, f"({ast.unparse(left)})"
        case ast.BoolOp(op=operator):
            yield node, _with(node, op=_OPPOSITES[type(operator)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value) | float(value)) if value in (0, 1):
            yield node, "1" if value == 0 else "0"
        case ast.Call():
            yield from ((node, new) for new in _changed_calls(node))
        case _:
            yield from _changed_statements(node)


def _changed_calls(node: ast.Call) -> Iterator[str]:
    """Without one of its options; and what it changes in its place."""
    for place, keyword in enumerate(node.keywords):
        if keyword.arg not in (None, "strict", "maxsplit"):
            yield _with(node, keywords=node.keywords[:place] + node.keywords[place + 1 :])
    kept = _what_it_changes(node)
    if not isinstance(kept, ast.Constant | ast.Starred | ast.JoinedStr | ast.GeneratorExp):
        yield f"({ast.unparse(kept)})"


def _what_it_changes(node: ast.Call) -> ast.expr:
    """What the call is made on: a method's object, a function's first argument."""
    function = node.func
    if isinstance(function, ast.Attribute) and ast.unparse(function.value) not in _LIBRARIES:
        return function.value
    name = ast.unparse(function).rpartition(".")[2]
    if not node.args or name in _CONVERSIONS or name[:1].isupper():
        return ast.Constant(None)
    return node.args[0]


def _changed_statements(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.comprehension(ifs=tests):
            yield from ((test, f"(not ({ast.unparse(test)}))") for test in tests)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete() | ast.Continue():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.With(items=items):
            for item in items:
                if item.optional_vars is None:
                    yield item.context_expr, "__import__('contextlib').nullcontext()"


def _with(node: ast.expr, **changes: object) -> str:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return f"({ast.unparse(changed)})"
