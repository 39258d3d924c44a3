"""Tasks with too few labels to judge gains by: they are set aside, and said so."""

from dataclasses import replace

from polytask.config.build import options_for_tasks
from polytask.fitting.planning import without_parent
from polytask.fitting.preparing.prepare import Prepared
from polytask.streams import Batch
from polytask.task import Task

FEWEST_OF_A_CLASS = 50
FEWEST_LABELS = 100
"""With fewer of them among the validation rows, no gain of a few thousandths can be seen."""


def too_few(task: Task, valid: Batch) -> str | None:
    """Why the task's gains could not be told from chance on these rows; None where they can.

    >>> import torch
    >>> from polytask.task import binary
    >>> rows = Batch({"x": torch.zeros(900)}, {"buy": (torch.arange(900) < 9).float()})
    >>> too_few(binary("buy"), rows)
    '9 labels of yes among the validation rows'
    """
    if task.name not in valid.labels:
        return "no label among the validation rows"
    labels_B = valid.labels[task.name]
    labels_B = labels_B[task.kind.is_labelled(labels_B)]
    if task.kind.has_one_logit:
        yes = float(labels_B.sum())
        rarer, which = min((yes, "yes"), (len(labels_B) - yes, "no"))
        if rarer < FEWEST_OF_A_CLASS:
            return f"{rarer:.0f} labels of {which} among the validation rows"
    if len(labels_B) < FEWEST_LABELS:
        return f"{len(labels_B)} labels among the validation rows"
    return None


def set_aside(prepared: Prepared) -> tuple[Prepared, tuple[int, ...]]:
    """The tasks that can be judged, and the places of the others; all, where fewer than two can be."""
    assert prepared.valid is not None
    few = [p for p, task in enumerate(prepared.tasks) if too_few(task, prepared.valid)]
    kept = [p for p in range(len(prepared.tasks)) if p not in few]
    if not few or len(kept) < 2:
        return prepared, ()
    tasks = tuple(without_parent(prepared, position, among=kept) for position in kept)
    config = options_for_tasks(prepared.config, kept, tasks)
    targets = replace(prepared.targets, tasks=tasks)
    return replace(prepared, config=config, targets=targets), tuple(few)
