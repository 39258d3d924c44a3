"""Raw columns -> the core -> answers, as one ONNX graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from polytask.errors import UserError
from polytask.serving.contract import IDS, KEY, MISSING_INTEGER, Column, Contract
from polytask.serving.graph.answers import Made
from polytask.serving.graph.columns import Channels, Lookup
from polytask.serving.graph.tracing import OPSET

if TYPE_CHECKING:
    import onnx

_PREFIX, _OWN = "polytask/core/", "polytask/raw/"
_ML_OPSET = 2
_MOST_BYTES = (1 << 31) - (1 << 20)
"""What one file of protobuf holds."""


@dataclass(slots=True)
class Nodes:
    """A graph in the making: nodes and constants, with names of their own that no column has."""

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: list["onnx.TensorProto"] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """The name of the first output of a new node."""
        from onnx import helper

        name = f"{_OWN}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        )
        return name

    def constant(self, value: object, dtype: type | str) -> str:
        """The name of a constant."""
        from onnx import helper, numpy_helper

        name = f"{_OWN}constant{len(self.constants)}"
        array = np.asarray(value, dtype=dtype)
        if array.dtype == object:
            words = [str(each).encode() for each in array.ravel().tolist()]
            made = helper.make_tensor(name, 8, array.shape, words)
        else:
            made = numpy_helper.from_array(array, name)
        self.constants.append(made)
        return name

    def used_constants(self) -> list["onnx.TensorProto"]:
        """Those that some node reads."""
        read = {name for node in self.nodes for name in node.input}
        return [constant for constant in self.constants if constant.name in read]

    def joined(self, vectors: Sequence[str]) -> str:
        """Vectors (B,) side by side (B, K)."""
        if len(vectors) == 1:
            return self.add("Unsqueeze", vectors[0], self.constant([1], np.int64))
        rows = self.add("Concat", *vectors, axis=0)
        side_by_side = self.add("Reshape", rows, self.constant([len(vectors), -1], np.int64))
        return self.add("Transpose", side_by_side, perm=[1, 0])


class Sources:
    """The raw columns as values of the graph, in the forms in which they are read."""

    def __init__(
        self,
        nodes: Nodes,
        columns: Mapping[str, Column],
        missing_numbers: Mapping[str, Sequence[float]],
    ) -> None:
        self.nodes, self.columns, self.missing_numbers = nodes, columns, missing_numbers

    def numbers(self, name: str) -> str:
        """A column as float64, NaN where missing."""
        add, constant = self.nodes.add, self.nodes.constant
        if self.columns[name].holds == "numbers":
            return self._without(name, name, np.float64, constant(np.nan, np.float64))
        whole = self._without(name, name, np.int64, constant(MISSING_INTEGER, np.int64))
        is_missing = add("Equal", whole, constant(MISSING_INTEGER, np.int64))
        number = add("Cast", whole, to=11)
        return add("Where", is_missing, constant(np.nan, np.float64), number)

    def whole(self, name: str) -> str:
        """A column as int64, with the mark where missing."""
        mark = self.nodes.constant(MISSING_INTEGER, np.int64)
        return self._without(name, name, np.int64, mark)

    def ids(self, lookup: Lookup) -> str:
        """The ids of a column's values."""
        add, constant = self.nodes.add, self.nodes.constant
        if lookup.need == "numbers":
            number = self.numbers(lookup.column)
            single = add("Add", add("Cast", number, to=1), constant(0.0, np.float32))
            found = self._encoded(single, lookup, keys_floats=list(lookup.keys))
            missing = add("IsNaN", number)
            return add("Where", missing, constant(0, np.int64), found)
        if lookup.need in ("texts", "large integers"):
            return self._encoded(lookup.column, lookup, keys_strings=list(lookup.keys))
        keys, ids = [MISSING_INTEGER, *lookup.keys], [0, *lookup.ids]
        return self._encoded(
            self.whole(lookup.column), lookup, keys_int64s=keys, values_int64s=ids
        )

    def _encoded(self, source: str, lookup: Lookup, **attributes: object) -> str:
        return self.nodes.add(
            "LabelEncoder",
            source,
            domain="ai.onnx.ml",
            default_int64=1,
            **{"values_int64s": list(lookup.ids), **attributes},
        )

    def _without(self, name: str, value: str, dtype: type, mark: str) -> str:
        """The column with the mark in the place of numbers that were named as missing."""
        for number in self.missing_numbers.get(name, ()):
            if dtype is np.float64 or number == int(number):
                is_word = self.nodes.add("Equal", value, self.nodes.constant(number, dtype))
                value = self.nodes.add("Where", is_word, mark, value)
        return value


def assembled(
    core: "onnx.ModelProto",
    *,
    parts: Sequence[str],
    channels: Channels,
    sources: Sources,
    made: Sequence[Made],
    columns: Sequence[Column],
) -> "onnx.ModelProto":
    """The whole graph, without what it says of itself."""
    import onnx
    from onnx import compose, helper

    core = compose.add_prefix(core, _PREFIX)
    nodes = sources.nodes
    ways = {
        "numbers_BN": lambda: nodes.joined([sources.numbers(name) for name in channels.numbers]),
        "ids_BC": lambda: nodes.joined([sources.ids(lookup) for lookup in channels.lookups]),
        "times_BK": lambda: nodes.joined([sources.whole(name) for name in channels.times]),
    }
    raw = {name: ways[name]() for name in parts}
    before = len(nodes.nodes)
    renamed = {f"{_PREFIX}{name}": value for name, value in raw.items()}
    for node in core.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    answers = [_answer(nodes, output, each) for output, each in zip(core.graph.output, made)]
    if "ids_BC" in raw:
        nodes.nodes.append(helper.make_node("Identity", [raw["ids_BC"]], [IDS]))
        answers.append(helper.make_tensor_value_info(IDS, 7, ["rows", len(channels.lookups)]))
    graph = helper.make_graph(
        [*nodes.nodes[:before], *core.graph.node, *nodes.nodes[before:]],
        "polytask",
        [_input(column) for column in columns],
        answers,
        initializer=[*nodes.used_constants(), *core.graph.initializer],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=core.ir_version)
    if model.ByteSize() > _MOST_BYTES:
        raise UserError(
            f"the graph would have {model.ByteSize() / 2**30:.1f} GB, and one file holds 2: bound the values "
            "of columns by --max-ids"
        )
    onnx.checker.check_model(model, full_check=False)
    return model


def with_contract(model: "onnx.ModelProto", contract: Contract) -> bytes:
    """The bytes of a file: the graph with what it says of itself."""
    from onnx import helper

    helper.set_model_props(model, {KEY: contract.to_json()})
    model.producer_name, model.producer_version = "polytask", contract.polytask
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _input(column: Column) -> "onnx.ValueInfoProto":
    from onnx import helper

    kind = 8 if column.is_string else 11 if column.holds == "numbers" else 7
    return helper.make_tensor_value_info(column.name, kind, ["rows"])


def _answer(nodes: Nodes, output: "onnx.ValueInfoProto", made: Made) -> "onnx.ValueInfoProto":
    """The output of one answer: a class by its place, all else as it is."""
    from onnx import helper

    name, kind = made.answer.name, output.type.tensor_type.elem_type
    if made.classes:
        types = {"texts": (object, 8), "integers": (np.int64, 7), "booleans": (np.bool_, 9)}
        dtype, kind = types[made.answer.holds]
        classes = nodes.constant(list(made.classes), dtype)
        node = helper.make_node("Gather", [classes, output.name], [name], axis=0)
    else:
        node = helper.make_node("Identity", [output.name], [name])
    nodes.nodes.append(node)
    return helper.make_tensor_value_info(name, kind, ["rows"])
