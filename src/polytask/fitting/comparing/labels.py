"""What each task's label is in the training rows."""

from torch import Tensor

from polytask.fitting.preparing.prepare import Prepared
from polytask.model.words import at_words
from polytask.records import LabelRecord


def label_records(prepared: Prepared) -> tuple[LabelRecord, ...]:
    """One a task, in order."""
    return tuple(_label_record(prepared, t) for t in range(len(prepared.tasks)))


def labels_of(prepared: Prepared, position: int) -> Tensor:
    """The training labels of a task, one a row, or one a word."""
    task = prepared.tasks[position]
    labels = prepared.train.labels[task.name]
    if not task.per_word:
        return labels
    num_words_B = prepared.inputs.num_words(prepared.train.inputs)
    assert num_words_B is not None
    return at_words(labels, num_words_B)


def _label_record(prepared: Prepared, position: int) -> LabelRecord:
    task, count = prepared.tasks[position], prepared.label_counts[position]
    labels_B = labels_of(prepared, position)
    num_labels = len(labels_B) if task.per_word else prepared.num_train
    labels_B = labels_B[task.kind.is_labelled(labels_B)]
    summary = task.kind.summary(labels_B.double().numpy())
    options = {key: str(value) for key, value in task.kind.options().items() if value is not None}
    return LabelRecord(
        task=task.name,
        kind=task.kind.name,
        column=task.column,
        positive=options.get("positive"),
        unit=options.get("unit"),
        given=task.given,
        transform=options.get("transform"),
        auxiliary=task.auxiliary,
        reason=prepared.kind_reasons[position],
        labelled=count.labelled,
        missing=num_labels - count.labelled,
        unseen=count.unseen,
        conflicts=count.conflicts,
        mean=summary.mean,
        most_frequent=summary.most_frequent,
        is_share=summary.is_share,
        num_classes=task.kind.num_classes if summary.most_frequent is not None else 0,
    )
