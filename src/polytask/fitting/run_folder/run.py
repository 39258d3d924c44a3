"""A fitted run: what predicts, what was measured, and how both are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.config import FitConfig, write_config
from polytask.data.frames import ArrowStream, as_given
from polytask.data.labels import LabelEncoder
from polytask.data.readers import TableSource, read_table, require_columns
from polytask.errors import UserError, nearest
from polytask.fitting.comparing.score import rows_by_task, score_tasks
from polytask.fitting.preparing.bad_rows import readable
from polytask.fitting.preparing.data_sets import as_joined
from polytask.fitting.preparing.encoding import (
    encode_examples,
    encode_inputs,
    inputs_made_from,
    read_options,
)
from polytask.fitting.preparing.lacking import with_lacking_labels
from polytask.fitting.preparing.prepare import unknown_classes
from polytask.fitting.processes.environment import borrowed
from polytask.fitting.run_folder.folder import RunFolder, encoder_text, inputs_text
from polytask.fitting.run_folder.run_records import Records, RecordsInMemory
from polytask.inputs import FittedInputs
from polytask.model import Network
from polytask.records import (
    Evaluation,
    Figures,
    History,
    RunRecord,
    append_history,
    write_figures,
    write_metrics,
)
from polytask.records.html import abridged
from polytask.report import write_report
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import predict

FrameT = TypeVar("FrameT", bound=ArrowStream)


@dataclass(slots=True, eq=False, repr=False)
class Run:
    """A trained model with its encoders, configuration, and the records of its folder.

    `record` is metrics.json and `figures` is figures.json, both None for a run that has not ended;
    `history` is steps.jsonl. Of a loaded run each is read when it is first asked for.
    """

    config: FitConfig
    inputs: FittedInputs
    targets: LabelEncoder
    model: Network
    records: Records

    def __post_init__(self) -> None:
        """Predictions find the model ready: two walks over its modules take as long as a row."""
        self.model.eval()

    @property
    def record(self) -> RunRecord | None:
        return self.records.record

    @property
    def history(self) -> History:
        return self.records.history

    @property
    def figures(self) -> Figures | None:
        return self.records.figures

    def __repr__(self) -> str:
        folder = f", {self.config.out}" if self.config.out is not None else ""
        return f"Run({abridged(task.name for task in self.tasks if not task.auxiliary)}{folder}; {self.record})"

    def _repr_html_(self) -> str:
        return escape(repr(self)) if self.record is None else self.record._repr_html_()

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.model.tasks

    @property
    def metrics(self) -> RunRecord:
        """The record: `run.metrics.tasks["click"].test["auc"].value`, `...gain("auc")`.

        UserError where the run has not ended.
        """
        if self.record is None:
            raise UserError("this run has not ended, so it has no metrics; --resume=RUN ends it")
        return self.record

    @overload
    def predict(
        self,
        table: str | Path | Mapping[str, object] | Sequence[str | Path | Mapping[str, object]],
        *,
        keep: Sequence[str] = (),
        data: str | None = None,
    ) -> pa.Table: ...

    @overload
    def predict(
        self, table: FrameT, *, keep: Sequence[str] = (), data: str | None = None
    ) -> FrameT: ...

    def predict(
        self, table: TableSource, *, keep: Sequence[str] = (), data: str | None = None
    ) -> ArrowStream:
        """One column a task: a probability, a class, or a value in the label's own unit.

        A multiclass task has NAME and NAME_p_CLASS for each class, quantiles have NAME and NAME_q10;
        a task given another has NAME, the joint probability, and NAME_given_PARENT. Labels need not be in the table.
        `keep` names columns of the table that come first, such as ids. `data`: the data set that the
        rows are like, whose tasks alone are predicted, of a run of several.

        A pandas frame gives a pandas frame with its index, a polars frame a polars frame, all else
        a pyarrow table. One row may be a dict or a pandas Series, several a list of dicts; no rows
        give no predictions.
        """
        options = read_options(self.config, self.inputs)
        options = replace(options, skip=set(options.skip) - set(keep))
        if not self.config.data:
            needed = inputs_made_from(self.config, self.inputs)
            options = replace(options, needed={*needed, *keep})
        read = read_table(table, options=options, may_be_empty=True)
        require_columns(read, keep, "keep")
        predictions = self._predictions(as_joined(self.config, read, data), self._tasks_of(data))
        twice = [name for name in keep if name in predictions]
        if twice:
            raise UserError(
                f"keep: {twice[0]!r} is a column of the predictions too; rename it in the table"
            )
        return as_given(table, pa.table({name: read[name] for name in keep} | predictions))

    def _tasks_of(self, data: str | None) -> list[Task]:
        """The tasks of a data set, or all."""
        return [task for task in self.tasks if data is None or task.column.startswith(f"{data}.")]

    def _predictions(self, read: pa.Table, tasks: Sequence[Task]) -> dict[str, pa.Array]:
        rows = Batch(encode_inputs(self.config, read, self.inputs))
        with borrowed():
            predictions = predict(self.model, rows, precision=self.config.precision)
        named: dict[str, pa.Array] = {}
        for task in tasks:
            _require_finite(task, predictions.values[task.name])
            columns = task.kind.named_predictions(task.name, predictions.values[task.name])
            named |= {
                name: _column(values, predictions.num_words) for name, values in columns.items()
            }
            if task.given is not None:
                named[f"{task.name}_given_{task.given}"] = pa.array(
                    predictions.conditional[task.name]
                )
        return named

    def evaluate(self, table: TableSource, *, data: str | None = None) -> dict[str, Evaluation]:
        """Metrics per task on a labelled table, with intervals where the run's options say so.

        A task whose label column the table lacks has no metrics and a note that says so; at least
        one column of labels has to be there. Of a run of several data sets, `data` is the one that
        the rows are like.
        """
        if self.config.data and data is None:
            raise UserError(
                f"this run has several data sets: say which one's rows these are, --data=NAME"
                f"{nearest('', self.config.data)}"
            )
        read = read_table(table, options=read_options(self.config, self.inputs))
        read = as_joined(self.config, read, data)
        known = with_lacking_labels(self.config, read, self.inputs, self.targets)
        rows_left = known.table
        if self.config.on_bad_row == "drop":
            columns = {name: one.columns for name, one in self.inputs.by_name.items()}
            rows_left = readable(known.table, columns).table
        examples, encoded = encode_examples(known.config, rows_left, self.inputs, self.targets)
        with borrowed():
            predictions = predict(self.model, examples, precision=self.config.precision)
        rows = rows_by_task(self._tasks_of(data), predictions, examples)
        return score_tasks(
            rows,
            predictions,
            examples,
            intervals=self.config.intervals,
            notes={**unknown_classes(encoded.counts), **known.notes},
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a folder like that of `polytask fit --out`, with its report."""
        # Whatever cannot be written is said before the folder is made.
        write_config(self.config)
        # They may lie in the folder that is to be replaced.
        kept = RecordsInMemory(self.record, self.figures, self.history)
        folder, lock = RunFolder.create(Path(path), overwrite=overwrite)
        try:
            folder.write_config(self.config)
            text = encoder_text(inputs_text(self.inputs), self.targets)
            folder.write_encoders(text)
            folder.write_weights(self.model, self.config, text)
            for record in kept.history:
                append_history(folder.path, record)
            write_records(folder.path, kept)
            write_report(folder.path)
        finally:
            lock.release()


def _column(values: NDArray[np.generic], num_words: Tensor | None) -> pa.Array:
    """A value a row, or a list of one a word."""
    if num_words is None:
        return pa.array(values)
    ends_B = torch.cat([num_words.new_zeros(1), num_words.cumsum(0)])
    return pa.ListArray.from_arrays(pa.array(ends_B.int().numpy()), pa.array(values))


def write_records(folder: Path, records: Records) -> None:
    """metrics.json and figures.json, as far as the run has them."""
    if records.figures is not None:
        write_figures(folder, records.figures)
    if records.record is not None:
        write_metrics(folder, records.record)


def _require_finite(task: Task, values: NDArray[np.floating]) -> None:
    """UserError where a prediction is no number, in the words of an evaluation."""
    is_finite = np.isfinite(values)
    bad_B = ~(is_finite.all(axis=1) if values.ndim > 1 else is_finite)
    if bad_B.any():
        raise UserError(
            f"{task.what}: {int(bad_B.sum())} of {len(values)} predictions are not finite, the first "
            f"in row {int(np.argmax(bad_B))}: the weights are damaged, or the table holds numbers far "
            "beyond those of the training rows"
        )
