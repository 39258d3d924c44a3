"""The bodies of requests and replies: the Open Inference Protocol (version 2 of KServe's), and plain rows or columns.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from polytask.errors import nearest
from polytask.serving.contract import Contract, RawColumn
from polytask.serving.server.model import Arrays, Graph, as_json
from polytask.serving.server.reading import BadRequestError

Columns: TypeAlias = Mapping[str, Sequence[object]]
Reply: TypeAlias = dict[str, object] | list[dict[str, object]]

_WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_DATATYPES: Mapping[str, tuple[str, ...]] = {
    "texts": ("BYTES",),
    "large integers": ("BYTES", *_WHOLE),
    "integers": ("INT64", *_WHOLE, "BYTES"),
    "booleans": ("BOOL", *_WHOLE),
    "numbers": ("FP64", "FP32", "FP16", *_WHOLE),
    "times": ("BYTES", "INT64"),
}
"""What a column may be sent as, what it is said to be first."""


def read_infer(contract: Contract, body: object) -> tuple[Columns, list[str]]:
    """The columns of an inference request, and the outputs that are asked for."""
    request = _mapping(body, "the body")
    columns: dict[str, Sequence[object]] = {}
    known = {column.name: column for column in contract.columns}
    for entry in _list(request.get("inputs"), "inputs"):
        tensor = _mapping(entry, "an input")
        name = tensor.get("name")
        if not isinstance(name, str) or name not in known:
            raise BadRequestError(f"there is no column {name!r}{nearest(str(name), known)}")
        if name in columns:
            raise BadRequestError(f"column {name!r} stands twice among the inputs")
        columns[name] = _data(known[name], tensor)
    names = [answer.name for answer in contract.answers]
    if "outputs" not in request:
        return columns, names
    asked = [
        _mapping(entry, "an output").get("name") for entry in _list(request["outputs"], "outputs")
    ]
    for name in asked:
        if name not in names:
            raise BadRequestError(f"there is no output {name!r}{nearest(str(name), names)}")
    return columns, [str(name) for name in asked] or names


def _data(column: RawColumn, tensor: Mapping[str, object]) -> Sequence[object]:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if datatype not in _DATATYPES[column.holds]:
        takes = " or ".join(_DATATYPES[column.holds][:2])
        raise BadRequestError(
            f"column {column.name!r} has datatype {takes}, but it is {datatype!r}"
        )
    values = _list(tensor.get("data"), f"the data of column {column.name!r}")
    if values and isinstance(values[0], list):
        nested = [value for row in values for value in (row if isinstance(row, list) else [row])]
        if len(nested) != len(values) or any(not isinstance(row, list) for row in values):
            raise BadRequestError(
                f"column {column.name!r} has one value a row, but its data is nested otherwise"
            )
        values = nested
    sizes = [size for size in shape if isinstance(size, int)] if isinstance(shape, list) else []
    if not isinstance(shape, list) or len(sizes) != len(shape) or math.prod(sizes) != len(values):
        raise BadRequestError(
            f"column {column.name!r} has the shape {shape}, but {len(values)} values"
        )
    if len(sizes) != 1 and sizes[1:] != [1] * (len(sizes) - 1):
        raise BadRequestError(f"column {column.name!r} has the shape [rows], but it is {shape}")
    return values


def read_plain(body: object) -> tuple[Columns, str]:
    """Rows (a list of objects), columns (an object of lists), or one row (an object); which of them it is."""
    if isinstance(body, list):
        rows = [_mapping(row, "a row") for row in body]
        if not rows:
            raise BadRequestError("there are no rows to predict")
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}, "rows"
    given = _mapping(body, "the body")
    are_lists = {isinstance(value, list) for value in given.values()}
    if are_lists == {True}:
        return {name: _list(values, name) for name, values in given.items()}, "columns"
    if True in are_lists:
        name = next(name for name, value in given.items() if not isinstance(value, list))
        raise BadRequestError(
            f"column {name!r} is no list, but others are: send one row, or columns"
        )
    return {name: [value] for name, value in given.items()}, "row"


def infer_reply(
    graph: Graph, answers: Arrays, asked: Sequence[str], identity: object
) -> dict[str, object]:
    """Outputs with their datatypes; `identity` is the request's id, which is sent back."""
    outputs = [
        {
            "name": name,
            "shape": [len(answers[name])],
            "datatype": graph.datatypes[name],
            "data": as_json(answers[name]),
        }
        for name in asked
    ]
    reply: dict[str, object] = {"model_name": graph.name, "outputs": outputs}
    return reply | ({"id": identity} if identity is not None else {})


def plain_reply(answers: Arrays, form: str) -> Reply:
    """Predictions in the form in which rows came."""
    columns = {name: as_json(values) for name, values in answers.items()}
    if form == "columns":
        return dict(columns)
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    return list(rows) if form == "rows" else dict(rows[0])


def described(graph: Graph) -> dict[str, object]:
    """The metadata of a model: its columns and answers, each a vector of any length."""
    contract = graph.contract
    return {
        "name": graph.name,
        "platform": "onnxruntime",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.holds][0], "shape": [-1]}
            for column in contract.columns
        ],
        "outputs": [
            {"name": answer.name, "datatype": graph.datatypes[answer.name], "shape": [-1]}
            for answer in contract.answers
        ],
        "tasks": [
            {"name": task.name, "kind": task.kind, "unit": task.unit, "given": task.given}
            for task in contract.tasks
        ],
        "polytask": contract.polytask,
    }


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadRequestError(f"{what} is no JSON object")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise BadRequestError(f"{what} is no list, or is lacking")
    return value
