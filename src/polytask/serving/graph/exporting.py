"""`polytask export`: the graph of a run, checked against the run's own predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

import polytask
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table
from polytask.data.text_columns import numbers_for, words_for
from polytask.errors import UserError
from polytask.files.writing import written_whole
from polytask.fitting import Run
from polytask.fitting.preparing.encoding import read_options
from polytask.serving.contract import AboutTask, Answer, Column, Contract, Value
from polytask.serving.graph.assembling import Nodes, Sources, assembled, with_contract
from polytask.serving.graph.columns import Channels, raw_type
from polytask.serving.graph.core import Core, raw_inputs
from polytask.serving.graph.drawing import drawn_rows
from polytask.serving.graph.feeding import Feeds, feeds_of
from polytask.serving.graph.raw import Reading
from polytask.serving.graph.tracing import traced

if TYPE_CHECKING:
    import onnx

_NUM_DRAWN, _NUM_KEPT = 256, 16


@dataclass(frozen=True, slots=True)
class Exported:
    """A graph's file, what it says of itself, and the largest difference to the run's predictions by answer."""

    content: bytes
    contract: Contract
    differences: Mapping[str, float]


def export(run: Run) -> Exported:
    """The run as one ONNX graph. UserErrors: what no graph has, or a graph that predicts otherwise."""
    _require_extra()
    if run.config.data:
        raise UserError("a run of several data sets (--data) is not exported: fit one run a data set")
    model, contract = _graph(run)
    drawn = drawn_rows(run.inputs, contract.columns, _NUM_DRAWN, seed=run.config.seed)
    content = with_contract(model, contract)
    differences, feeds, answers = compared(content, contract, run, drawn)
    kept = slice(0, _NUM_KEPT)
    contract = replace(
        contract,
        rows={name: _plain(values[kept]) for name, values in feeds.items()},
        answered={name: _plain(values[kept]) for name, values in answers.items()},
    )
    return Exported(with_contract(model, contract), contract, differences)


def write_graph(exported: Exported, path: Path) -> None:
    """The whole file, or what stood there before."""
    with written_whole(path) as file:
        file.write(exported.content)


def check_on(exported: Exported, run: Run, table: str | Path) -> Mapping[str, float]:
    """The largest difference by answer on the rows of a table; UserError where it is too large."""
    read = read_table(table, options=_options(run))
    return compared(exported.content, exported.contract, run, read)[0]


def compared(
    content: bytes, contract: Contract, run: Run, table: pa.Table
) -> tuple[Mapping[str, float], Feeds, Feeds]:
    """The largest difference to `Run.predict` at fp32 by answer, the graph's arrays and its answers."""
    import onnxruntime

    feeds = feeds_of(table, contract.columns)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [answer.name for answer in contract.answers]
    answers = dict(zip(names, session.run(names, dict(feeds))))
    exact = replace(run, config=run.config.model_copy(update={"precision": "fp32"}))
    predicted = exact.predict(table.select([column.name for column in contract.columns]))
    found = {
        answer.name: _difference(answer, answers[answer.name], predicted, contract)
        for answer in contract.answers
    }
    return found, feeds, answers


def _difference(
    answer: Answer, ours_B: np.ndarray, predicted: pa.Table, contract: Contract
) -> float:
    theirs_B = predicted[answer.name].to_numpy()
    if answer.holds != "numbers":
        wrong_B = ours_B != theirs_B
        chances = [a.name for a in contract.answers if a.task == answer.task and a.holds == "numbers"]
        best_BC = np.sort(np.stack([predicted[name].to_numpy() for name in chances], axis=1), axis=1)
        wrong_B &= best_BC[:, -1] - best_BC[:, -2] >= 1e-6
    else:
        apart_B = np.abs(ours_B.astype(np.float64) - theirs_B)
        wrong_B = ~(apart_B <= answer.absolute + answer.relative * np.abs(theirs_B))
    if wrong_B.any():
        row = int(np.argmax(wrong_B))
        raise UserError(
            f"the graph predicts otherwise than the run: {answer.name} is {ours_B[row]!r}, and "
            f"{theirs_B[row]!r} by the run, in {int(wrong_B.sum())} of {len(wrong_B)} rows, the first of them "
            f"row {row}; nothing was written"
        )
    return 0.0 if answer.holds != "numbers" else float(apart_B.max(initial=0.0))


def _graph(run: Run) -> tuple["onnx.ModelProto", Contract]:
    options, channels = _options(run), Channels()
    missing = {name: numbers_for(name, options).to_pylist() for name in run.inputs.columns}
    reading = Reading(lambda name: sorted(words_for(name, options)))
    core = Core(run.model, raw_inputs(run.inputs, channels, reading), channels)
    columns = _columns(channels, options)
    answers = [made.answer for _, _, made in core.made]
    _require_names([column.name for column in columns], [answer.name for answer in answers])
    sources = Sources(Nodes(), {column.name: column for column in columns}, missing)
    widths = {
        "numbers_BN": len(channels.numbers),
        "ids_BC": len(channels.lookups),
        "times_BK": len(channels.times),
    }
    model = assembled(
        traced(core, widths),
        parts=core.parts,
        channels=channels,
        sources=sources,
        made=[made for _, _, made in core.made],
        columns=columns,
    )
    tasks = tuple(
        AboutTask(task.name, task.kind.name, getattr(task.kind, "unit", None), task.given)
        for task in run.tasks
    )
    lookups = tuple(lookup.column for lookup in channels.lookups)
    return model, Contract(polytask.__version__, "", tasks, columns, tuple(answers), lookups, {}, {})


def _columns(channels: Channels, options: ReadOptions) -> tuple[Column, ...]:
    """The raw columns, in the order in which the inputs read them."""
    found = []
    for name, needs in channels.needs().items():
        holds = raw_type(name, needs)
        mark, words = "", ()
        if holds in ("texts", "large integers"):
            lookup = next(lookup for lookup in channels.lookups if lookup.column == name)
            mark = "" if dict(zip(lookup.keys, lookup.ids)).get("") == 0 else "<missing>"
            words = tuple(sorted(words_for(name, options)))
        found.append(Column(name, holds, mark, words, channels.zones.get(name)))
    return tuple(found)


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


def _plain(values: np.ndarray) -> list[Value]:
    """As JSON has them; NaN is null."""
    listed = values.tolist()
    return [None if isinstance(each, float) and np.isnan(each) else each for each in listed]


def _require_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"polytask export needs {error.name}: pip install 'polytask[onnx]'"
        ) from error
