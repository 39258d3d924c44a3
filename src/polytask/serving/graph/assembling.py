"""Raw columns -> what inputs encode -> the core -> answers, as one ONNX graph."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from polytask.errors import UserError
from polytask.serving.contract import IDS, KEY, Contract, RawColumn
from polytask.serving.graph.answers import Made
from polytask.serving.graph.sources import Sources
from polytask.serving.graph.tracing import OPSET
from polytask.serving.graph.values import CODES, DType, Nodes, Value, side_by_side

if TYPE_CHECKING:
    import onnx

_PREFIX = "polytask/core/"
_ML_OPSET = 2
_MOST_BYTES = (1 << 31) - (1 << 20)
"""What one file of protobuf holds."""


def assembled(
    core: "onnx.ModelProto",
    inputs: Mapping[str, Value],
    sources: Sources,
    made: Sequence[Made],
    columns: Sequence[RawColumn],
) -> "onnx.ModelProto":
    """The whole graph, without what it says of itself."""
    from onnx import checker, compose, helper

    core = compose.add_prefix(core, _PREFIX)
    renamed = {f"{_PREFIX}{name}": value.name for name, value in inputs.items()}
    for node in core.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    nodes = sources.nodes
    num_before = len(nodes.nodes)
    outputs = [_answer(nodes, output, each) for output, each in zip(core.graph.output, made)]
    if sources.lookups:
        ids = side_by_side([value for _, value in sources.lookups])
        nodes.add("Identity", ids.name, name=IDS)
        outputs.append(helper.make_tensor_value_info(IDS, 7, ["rows", len(sources.lookups)]))
    first = sources.read_from(columns)
    graph = helper.make_graph(
        [*first.nodes, *nodes.nodes[:num_before], *core.graph.node, *nodes.nodes[num_before:]],
        "polytask",
        [_input(column) for column in columns],
        outputs,
        initializer=[*nodes.constants.values(), *core.graph.initializer],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=core.ir_version)
    if model.ByteSize() > _MOST_BYTES:
        raise UserError(
            f"the graph would have {model.ByteSize() / 2**30:.1f} GB, and one file holds 2: bound the "
            "values of columns by --max-ids"
        )
    checker.check_model(model)
    return model


def with_contract(model: "onnx.ModelProto", contract: Contract) -> bytes:
    """The bytes of a file: the graph with what it says of itself."""
    from onnx import helper

    helper.set_model_props(model, {KEY: contract.to_json()})
    model.producer_name, model.producer_version = "polytask", contract.polytask
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _input(column: RawColumn) -> "onnx.ValueInfoProto":
    from onnx import helper

    dtype: DType = (
        "string" if column.is_string else "float64" if column.holds == "numbers" else "int64"
    )
    return helper.make_tensor_value_info(column.name, CODES[dtype], ["rows"])


def _answer(nodes: Nodes, output: "onnx.ValueInfoProto", made: Made) -> "onnx.ValueInfoProto":
    """The output of one answer: a class by its place, all else as it is."""
    from onnx import helper

    name, code = made.answer.name, output.type.tensor_type.elem_type
    if made.classes:
        dtype = made.dtype
        classes = nodes.constant(list(made.classes), dtype)
        nodes.add("Gather", classes, output.name, name=name, how={"axis": 0})
        code = CODES[dtype]
    else:
        nodes.add("Identity", output.name, name=name)
    return helper.make_tensor_value_info(name, code, ["rows"])
