"""A fitted run: what predicts, what was measured, and how both are kept."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from polytask.config import FitConfig
from polytask.data.derive import parse_derivation
from polytask.data.encoder import TableEncoder
from polytask.data.readers import TableSource, read_table
from polytask.data.targets import TargetEncoder
from polytask.fitting.comparing.score import Metrics, rows_by_task, score_tasks
from polytask.fitting.preparing.encoding import apply_derivations, encode_examples, encode_inputs
from polytask.fitting.records import StepRecord, ValidationRecord
from polytask.fitting.run_folder.folder import RunFolder
from polytask.model import MultiTaskModel
from polytask.report import write_report
from polytask.streams import Batch
from polytask.task import Task
from polytask.training.evaluation import predict


@dataclass(slots=True, eq=False)
class Run:
    """A trained model with its encoders, configuration, history and metrics.

    `metrics` is what metrics.json holds; `history` what steps.jsonl holds; `figures` what the
    report draws beside them, as in figures.json.
    """

    config: FitConfig
    columns: TableEncoder
    targets: TargetEncoder
    model: MultiTaskModel
    metrics: Metrics
    history: list[StepRecord | ValidationRecord]
    figures: Metrics = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.model.tasks

    def predict(self, table: TableSource) -> pa.Table:
        """One column a task: a probability, a class, or a value in the label's own unit.

        A multiclass task has NAME and NAME_p_CLASS for each class; a task given another has
        NAME, the joint probability, and NAME_given_PARENT. Labels need not be in the table.
        """
        rows = Batch(encode_inputs(self.config, read_table(table), self.columns))
        predictions = predict(self.model, rows, precision=self.config.precision)
        named: dict[str, pa.Array] = {}
        for t, task in enumerate(self.tasks):
            values = predictions.values[task.name]
            if task.kind.name == "multiclass":
                classes = np.asarray(self.targets.targets[t].classes)
                named[task.name] = pa.array(classes[values.argmax(axis=1)])
                for c, label in enumerate(classes):
                    named[f"{task.name}_p_{label}"] = pa.array(values[:, c])
            else:
                named[task.name] = pa.array(self.targets.decode(task.name, values))
            if task.given is not None:
                named[f"{task.name}_given_{task.given}"] = pa.array(
                    predictions.conditional[task.name]
                )
        return pa.table(named)

    def evaluate(self, table: TableSource) -> dict[str, dict[str, object]]:
        """Metrics per task on a labelled table, with intervals where the run's options say so."""
        derivations = [parse_derivation(text) for text in self.config.derive]
        whole = apply_derivations(read_table(table), derivations)
        examples = encode_examples(self.config, whole, self.columns, self.targets)
        predictions = predict(self.model, examples, precision=self.config.precision)
        rows = rows_by_task(self.tasks, self.targets, predictions, examples)
        scores = score_tasks(rows, predictions, examples, intervals=self.config.intervals)
        return {name: score.to_dict() for name, score in scores.items()}

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a folder like that of `polytask fit --out`, with its report."""
        folder = RunFolder.create(Path(path), overwrite=overwrite)
        folder.write_setup(self.config, self.columns, self.targets)
        folder.write_weights(self.model)
        for record in self.history:
            folder.append(record)
        folder.write_metrics(self.metrics)
        if self.figures:
            folder.write_figures(self.figures)
        write_report(folder.path)
