"""The core as ONNX: torch's exporter, with the operators that it lacks, and a free number of rows."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polytask.errors import UserError
from polytask.serving.graph.core import Core

if TYPE_CHECKING:
    import onnx

OPSET = 18


def traced(core: Core, example: Sequence[Tensor]) -> "onnx.ModelProto":
    """The core as a graph with inputs of its `names` and outputs `made0`, `made1`, ...

    UserError where it holds something that cannot be exported, such as an encoder of the user's own.
    """
    rows = torch.export.Dim("rows", min=1)
    with _quiet():
        try:
            program = torch.onnx.export(
                core,
                tuple(example),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(core.names),
                output_names=[f"made{k}" for k in range(len(core.made))],
                dynamic_shapes=(tuple({0: rows} for _ in example),),
                custom_translation_table=_translations(),
                verbose=False,
            )
        except (
            torch.onnx.errors.OnnxExporterError,
            torch._dynamo.exc.TorchDynamoException,
        ) as error:
            first = str(error.__cause__ or error).strip().splitlines()[0]
            raise UserError(
                f"torch cannot write this model as ONNX: {first}; a trunk or an encoder of your own must be "
                "one that torch.export takes (polytask.trunks.testing.check_trunk says whether it is)"
            ) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _require_free_rows(model)
    return model


def _require_free_rows(model: "onnx.ModelProto") -> None:
    """The exporter falls back to the example's number of rows without a word, where something reads it."""
    for value in [*model.graph.input, *model.graph.output]:
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_param:
            raise UserError(
                f"the exported graph serves {first.dim_value} rows at a time and no other number: the trunk "
                "or the encoder reads the size of the batch as a number, by len(x); write x.shape[0]"
            )


def _translations() -> dict[Callable[..., object], Callable[..., object]]:
    """Sorting, which the exporter knows in part (TopK of all entries, of equal ones the first first), and
    the sigmoid and its logarithm, exact for rare events."""
    from onnxscript import opset18

    op: Any = opset18

    def ordered(x: Any, dim: int, descending: bool) -> Any:
        place = op.Constant(value_int=dim)
        size = op.Reshape(op.Gather(op.Shape(x), place), op.Constant(value_ints=[1]))
        return op.TopK(x, size, axis=dim, largest=int(descending))

    # The names of these arguments are those of torch's operators.
    def sort_stable(
        self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False
    ) -> Any:
        return ordered(self, dim, descending)

    def sort(self: Any, dim: int = -1, descending: bool = False) -> Any:
        return ordered(self, dim, descending)

    def sigmoid(self: Any) -> Any:
        # onnxruntime's own ends at e^-18 in float32 and at e^-36 in float64.
        zero, one = (op.CastLike(op.Constant(value_float=value), self) for value in (0.0, 1.0))
        below = op.Exp(op.Min(self, zero))
        return op.Div(below, op.Add(op.Exp(op.Neg(op.Abs(self))), one))

    def log_sigmoid(self: Any) -> Any:
        zero, one = (op.CastLike(op.Constant(value_float=value), self) for value in (0.0, 1.0))
        return op.Sub(op.Min(self, zero), op.Log(op.Add(op.Exp(op.Neg(op.Abs(self))), one)))

    aten = torch.ops.aten
    return {
        aten.sort.stable: sort_stable,
        aten.sort.default: sort,
        aten.sigmoid.default: sigmoid,
        aten.log_sigmoid.default: log_sigmoid,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter says much that is nobody's concern: of torchvision, of its own steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
