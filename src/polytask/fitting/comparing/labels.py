"""What each task's label is in the training rows."""

import numpy as np

from polytask.config import FitConfig, TaskConfig
from polytask.fitting.preparing.prepare import Prepared
from polytask.records import LabelRecord


def label_records(config: FitConfig, prepared: Prepared) -> tuple[LabelRecord, ...]:
    """One a task, in order."""
    return tuple(_label_record(config, prepared, t) for t in range(len(prepared.tasks)))


def _label_record(config: FitConfig, prepared: Prepared, position: int) -> LabelRecord:
    task, fitted = prepared.tasks[position], prepared.targets.targets[position]
    configured, count = config.tasks[position], prepared.label_counts[position]
    assert isinstance(configured, TaskConfig)
    labels_B = prepared.train.labels[task.name].double().numpy()
    labels_B = labels_B[~np.isnan(labels_B)]
    most_frequent, num_classes, mean = None, 0, None
    if task.kind.name == "multiclass" and len(labels_B):
        counts = np.bincount(labels_B.astype(np.intp), minlength=fitted.num_classes)
        most_frequent, num_classes = str(fitted.classes[int(counts.argmax())]), fitted.num_classes
        mean = float(counts.max() / len(labels_B))
    elif len(labels_B):
        mean = float(fitted.decode(labels_B).mean())
    return LabelRecord(
        task=task.name,
        kind=task.kind.name,
        column=task.target,
        positive=fitted.target.positive,
        unit=configured.unit,
        given=task.given,
        transform=fitted.target.transform,
        auxiliary=task.auxiliary,
        reason=prepared.kind_reasons[position],
        labelled=len(labels_B),
        missing=len(prepared.train) - len(labels_B),
        unseen=count.unseen,
        conflicts=count.conflicts,
        mean=mean,
        most_frequent=most_frequent,
        num_classes=num_classes,
    )
