"""Values of an ONNX graph in the making, written as arithmetic: `(a + 1) * b` are two nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Attribute: TypeAlias = int | Sequence[int] | Sequence[float] | Sequence[str]
Attributes: TypeAlias = Mapping[str, Attribute]
NONE: Attributes = MappingProxyType({})
DType = Literal["float32", "float64", "int64", "bool", "string"]
CODES: dict[DType, int] = {"float32": 1, "int64": 7, "string": 8, "bool": 9, "float64": 11}
"""ONNX's numbers of the types."""
OWN = "polytask/raw/"
"""How the names of values begin that no column of the user's has."""


@dataclass(slots=True)
class Nodes:
    """The nodes and constants so far."""

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: dict[tuple[str, bytes, tuple[int, ...]], "onnx.TensorProto"] = field(
        default_factory=dict
    )
    offset: int = 0
    """How many names are taken by nodes of the same graph elsewhere."""

    def add(
        self, operator: str, *inputs: str, domain: str = "", name: str = "", how: Attributes = NONE
    ) -> str:
        """The name of the output of a new node; a fresh one if it is given none."""
        from onnx import helper

        name = name or f"{OWN}{self.offset + len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [name], domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in how.items())
        self.nodes.append(node)
        return name

    def constant(self, value: object, dtype: DType) -> str:
        """The name of a constant; equal ones are one."""
        from onnx import helper, numpy_helper

        array = np.asarray(value, dtype=object if dtype == "string" else dtype)
        words = [str(each).encode() for each in array.ravel().tolist()] if dtype == "string" else []
        key = (dtype, repr(words).encode() if words else array.tobytes(), array.shape)
        if key not in self.constants:
            name = f"{OWN}constant{len(self.constants)}"
            self.constants[key] = (
                helper.make_tensor(name, CODES[dtype], array.shape, words)  # type: ignore[arg-type]
                if words
                else numpy_helper.from_array(array, name)
            )
        return self.constants[key].name


Operand: TypeAlias = "Value | bool | int | float | NDArray[np.generic]"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A vector (B,) or a matrix (B, N) of a graph; numbers beside it are of its type."""

    graph: Nodes
    name: str
    dtype: DType

    def __add__(self, other: Operand) -> "Value":
        return self._with("Add", other)

    def __sub__(self, other: Operand) -> "Value":
        return self._with("Sub", other)

    def __rsub__(self, other: Operand) -> "Value":
        return -self + other

    def __mul__(self, other: Operand) -> "Value":
        return self._with("Mul", other)

    def __truediv__(self, other: Operand) -> "Value":
        return self._with("Div", other)

    def __floordiv__(self, other: int) -> "Value":
        """Of whole numbers, rounded down as Python does."""
        return self._with("Sub", self % other)._with("Div", other)

    def __mod__(self, other: Operand) -> "Value":
        """Of whole numbers, with the sign of `other`."""
        return self._with("Mod", other)

    def fmod(self, other: Operand) -> "Value":
        """Of floats, with the own sign."""
        return self._with("Mod", other, how={"fmod": 1})

    def __pow__(self, other: Operand) -> "Value":
        return self._with("Pow", other)

    def __neg__(self) -> "Value":
        return self.of("Neg")

    def __lt__(self, other: Operand) -> "Value":
        return self._with("Less", other, gives="bool")

    def __le__(self, other: Operand) -> "Value":
        return self._with("LessOrEqual", other, gives="bool")

    def __gt__(self, other: Operand) -> "Value":
        return self._with("Greater", other, gives="bool")

    def __ge__(self, other: Operand) -> "Value":
        return self._with("GreaterOrEqual", other, gives="bool")

    def equals(self, other: Operand) -> "Value":
        return self._with("Equal", other, gives="bool")

    def __and__(self, other: "Value") -> "Value":
        return self._with("And", other)

    def __or__(self, other: "Value") -> "Value":
        return self._with("Or", other)

    def __invert__(self) -> "Value":
        return self.of("Not")

    def of(self, operator: str) -> "Value":
        """A function of the value alone, such as Log, Exp or Floor."""
        return Value(self.graph, self.graph.add(operator, self.name), self.dtype)

    def isnan(self) -> "Value":
        return Value(self.graph, self.graph.add("IsNaN", self.name), "bool")

    def cast(self, dtype: DType) -> "Value":
        if dtype == self.dtype:
            return self
        return Value(self.graph, self.graph.add("Cast", self.name, how={"to": CODES[dtype]}), dtype)

    def where(self, condition: "Value", otherwise: Operand) -> "Value":
        """The value where the condition holds."""
        other = self._operand(otherwise)
        return Value(
            self.graph, self.graph.add("Where", condition.name, self.name, other), self.dtype
        )

    def within(self, low: float | None, high: float | None) -> "Value":
        """Moved to the nearer limit. By comparisons: what a node Clip does with NaN is not said."""
        found = self
        if high is not None:
            found = found.where(~(found > high), high)
        return found if low is None else found.where(~(found < low), low)

    def entries_of(self, table: NDArray[np.generic], dtype: DType) -> "Value":
        """The table's entries at these places."""
        constant = self.graph.constant(table, dtype)
        return Value(
            self.graph, self.graph.add("Gather", constant, self.name, how={"axis": 0}), dtype
        )

    def column(self, place: int) -> "Value":
        """One column of a matrix, as a vector."""
        chosen = self.graph.constant(place, "int64")
        return Value(
            self.graph, self.graph.add("Gather", self.name, chosen, how={"axis": 1}), self.dtype
        )

    def full(self, value: float, dtype: DType) -> "Value":
        """One number for each row."""
        shape = self.graph.add("Shape", self.name)
        constant = self.graph.constant(value, dtype)
        return Value(self.graph, self.graph.add("Expand", constant, shape), dtype)

    def _with(
        self, operator: str, other: Operand, gives: DType | None = None, how: Attributes = NONE
    ) -> "Value":
        name = self.graph.add(operator, self.name, self._operand(other), how=how)
        return Value(self.graph, name, gives or self.dtype)

    def _operand(self, other: Operand) -> str:
        return other.name if isinstance(other, Value) else self.graph.constant(other, self.dtype)


def side_by_side(vectors: Sequence[Value]) -> Value:
    """Vectors (B,) as the columns of a matrix (B, N), by three nodes whatever their number."""
    graph, dtype = vectors[0].graph, vectors[0].dtype
    if len(vectors) == 1:
        name = graph.add("Unsqueeze", vectors[0].name, graph.constant([1], "int64"))
        return Value(graph, name, dtype)
    rows = graph.add("Concat", *(vector.name for vector in vectors), how={"axis": 0})
    shaped = graph.add("Reshape", rows, graph.constant([len(vectors), -1], "int64"))
    return Value(graph, graph.add("Transpose", shaped, how={"perm": [1, 0]}), dtype)


def places_in(values: Value, sorted_V: NDArray[np.generic], *, right: bool = False) -> Value:
    """numpy's searchsorted, by halving: how many entries are smaller (`right`: or equal)."""
    size = len(sorted_V)
    if not size:
        return values.full(0, "int64")
    places: Value | None = None
    for bit in reversed(range(size.bit_length())):
        probe = values.full(1 << bit, "int64") if places is None else places + (1 << bit)
        # Beyond the end nothing is smaller: the last entry is looked at, and not counted.
        entry = (probe - 1).within(None, size - 1).entries_of(sorted_V, values.dtype)
        is_below = (entry <= values) if right else (entry < values)
        places = probe.where((probe <= size) & is_below, 0 if places is None else places)
    assert places is not None
    return places
