"""`polytask export`: the graph of a run, checked against the run's own predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from torch import Tensor

from polytask import __version__
from polytask.data.derive import Derivation, parse_derivation
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table
from polytask.data.text_columns import numbers_for, words_for
from polytask.errors import UserError
from polytask.files.writing import make_folder, written_whole
from polytask.fitting import Run
from polytask.fitting.preparing.encoding import (
    apply_derivations,
    inputs_made_from,
    read_options,
)
from polytask.serving.contract import AboutTask, Contract, Value
from polytask.serving.graph.assembling import assembled, with_contract
from polytask.serving.graph.comparing import Distance, compared
from polytask.serving.graph.core import Core
from polytask.serving.graph.drawing import drawn_rows
from polytask.serving.graph.feeding import Feeds
from polytask.serving.graph.formulas import formulas_of
from polytask.serving.graph.inputs import encoded, held_columns, require_known
from polytask.serving.graph.sources import Sources
from polytask.serving.graph.tracing import traced
from polytask.serving.graph.values import Nodes

if TYPE_CHECKING:
    import onnx

_NUM_DRAWN, _NUM_KEPT, _EXAMPLE_ROWS = 256, 16, 3


@dataclass(frozen=True, slots=True)
class Exported:
    """A graph's file, what it says of itself, and how far it is from the run it was made of."""

    content: bytes
    contract: Contract
    distance: Distance
    run: Run
    """The run as the graph has it: in float32, without the derived columns that are inputs of the graph."""
    given: tuple[Derivation, ...] = ()
    """Those."""


def export_run(run: Run, *, derived_as_inputs: bool = False) -> Exported:
    """The run as one ONNX graph. UserErrors: what no graph has, or a graph that predicts otherwise.

    Derived columns are calculated in the graph, or with `derived_as_inputs` are columns that it reads.
    """
    _require_extra()
    if run.config.data:
        raise UserError(
            "a run of several data sets (--data) is not exported: fit one run a data set"
        )
    derivations = _derivations(run)
    model, contract = _graph(run, [] if derived_as_inputs else derivations)
    changes: dict[str, object] = {"precision": "fp32"}
    if derived_as_inputs:
        changes["derive"] = ()
    exact = replace(run, config=run.config.model_copy(update=changes))
    content = with_contract(model, contract)
    drawn = drawn_rows(run.inputs, contract.columns, _NUM_DRAWN, seed=run.config.seed)
    distance, feeds, answers = compared(content, contract, exact, drawn)
    contract = replace(contract, rows=_kept(feeds), answered=_kept(answers))
    given = tuple(derivations) if derived_as_inputs else ()
    return Exported(with_contract(model, contract), contract, distance, exact, given)


def check_on(exported: Exported, table: str | Path) -> Distance:
    """How far its predictions for the rows of a table are; UserError where it is too far."""
    run = exported.run
    read = read_table(table, options=_options(run))
    if not {each.name for each in exported.given} <= set(read.column_names):
        read = apply_derivations(read, exported.given)
    return compared(exported.content, exported.contract, run, read)[0]


def check_target(path: Path) -> None:
    """UserError for a name that may be another kind of file's, before the work is done."""
    if path.suffix != ".onnx":
        raise UserError(f"{path}: the graph is an ONNX file: name one that ends with .onnx")


def write_graph(exported: Exported, path: Path) -> None:
    """The whole file, or what stood there before."""
    make_folder(path.parent)
    with written_whole(path) as file:
        file.write(exported.content)


def _graph(run: Run, derivations: Sequence[Derivation]) -> tuple["onnx.ModelProto", Contract]:
    require_known(run.inputs)
    options = _options(run)
    sources = Sources(
        Nodes(),
        words=lambda name: sorted(words_for(name, options)),
        missing_numbers=lambda name: numbers_for(name, options).to_pylist(),
        formulas=formulas_of(derivations, held_columns(run.inputs)),
    )
    inputs = encoded(run.inputs, sources)
    columns = sources.columns()
    core = Core(run.model, list(inputs))
    answers = tuple(made.answer for made in core.made)
    _require_names([column.name for column in columns], [answer.name for answer in answers])
    model = assembled(traced(core, _example(run)), inputs, sources, core.made, columns)
    tasks = tuple(
        AboutTask(task.name, task.kind.name, getattr(task.kind, "unit", None), task.given)
        for task in run.tasks
    )
    lookups = tuple(name for name, _ in sources.lookups)
    return model, Contract(__version__, tasks, columns, answers, lookups, {}, {})


def _example(run: Run) -> list[Tensor]:
    """A few rows of what the model reads."""
    missing = {name: pa.nulls(_EXAMPLE_ROWS) for name in run.inputs.columns}
    return [*run.inputs.encode(pa.table(missing)).values()]


def _derivations(run: Run) -> list[Derivation]:
    """Those that inputs rest on."""
    needed = inputs_made_from(run.config, run.inputs)
    found = [parse_derivation(text) for text in run.config.derive]
    return [each for each in found if each.name in needed]


def _options(run: Run) -> ReadOptions:
    return read_options(run.config, run.inputs)


def _require_names(columns: Sequence[str], answers: Sequence[str]) -> None:
    for name in answers:
        if name in columns:
            raise UserError(
                f"{name!r} is a column of the table and of the predictions, and a graph has one of that name: "
                f"rename the task, as in --task {name}_task={name}"
            )
        if answers.count(name) > 1:
            raise UserError(f"two columns of predictions are called {name!r}: rename a task")
    for name in (*columns, *answers):
        if name.startswith("polytask/"):
            raise UserError(f"{name!r}: names in a graph cannot begin with polytask/: rename it")


def _kept(columns: Feeds) -> dict[str, list[Value]]:
    """The first rows as JSON has them; NaN is null."""
    kept = {name: values[:_NUM_KEPT].tolist() for name, values in columns.items()}
    return {name: [None if v != v else v for v in values] for name, values in kept.items()}


def _require_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"polytask export needs {error.name}: pip install 'polytask[onnx]'"
        ) from error
