"""ESMM's relation: the child's label is the joint event, parent and child."""

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError, nearest
from polytask.task import Task

LARGEST_NOISE = 0.001
"""Up to this share of the labelled rows may be yes for the child and no for the parent."""


def conflicting(child_B: NDArray[np.float64], parent_B: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows that are yes for the child and no for the parent."""
    found: NDArray[np.bool_] = (child_B == 1) & (parent_B == 0)
    return found


def joint_labels(
    child_B: NDArray[np.float64], parent_B: NDArray[np.float64], *, conflict_label: float
) -> NDArray[np.float64]:
    """0 where the parent is 0, missing where the parent is missing, else the child's label.

    Source: Ma et al., SIGIR 2018 (ESMM), section 2.2: conversion is click and conversion, on all
    impressions. `conflict_label` stands where the child is 1 and the parent 0.
    """
    labels_B = np.where(parent_B == 1, child_B, parent_B)
    labels_B[conflicting(child_B, parent_B)] = conflict_label
    return labels_B


def too_many_conflicts(child_B: NDArray[np.float64], parent_B: NDArray[np.float64]) -> bool:
    """Whether conflicts exceed noise, as a share of the rows where both are labelled."""
    num_labelled = np.count_nonzero(~np.isnan(child_B) & ~np.isnan(parent_B))
    return bool(np.count_nonzero(conflicting(child_B, parent_B)) > LARGEST_NOISE * num_labelled)


def conflict_message(
    task: Task, child_B: NDArray[np.float64], parent_B: NDArray[np.float64]
) -> str:
    number = np.count_nonzero(conflicting(child_B, parent_B))
    num_labelled = np.count_nonzero(~np.isnan(child_B) & ~np.isnan(parent_B))
    num_yes = np.count_nonzero((child_B == 1) & ~np.isnan(parent_B))
    child, parent = repr(task.name), repr(task.given)
    return (
        f"task {child} is given {parent}, but {number:,} training rows have {child} yes and "
        f"{parent} no: {number / num_labelled:.2%} of the labelled rows (up to "
        f"{LARGEST_NOISE:.1%} is taken for noise), {number / num_yes:.1%} of the yes rows. "
        f"Choose a --given-conflict: drop ({child} is missing in these rows), keep-child (it stays "
        f"yes there), or ignore-relation ({child} becomes an ordinary binary task)"
    )


def parents_first(tasks: tuple[Task, ...]) -> list[int]:
    """Positions of the tasks such that each comes after its parent; wrong relations raise."""
    position = {task.name: index for index, task in enumerate(tasks)}
    for task in tasks:
        if task.given is not None and task.given not in position:
            raise UserError(
                f"task {task.name!r} is given {task.given!r}, which is no task"
                f"{nearest(task.given, position)}"
            )
        if task.given is not None:
            _require_yes_or_no(tasks[position[task.given]], task)
    order: list[int] = []
    waiting = list(range(len(tasks)))
    while waiting:
        ready = [
            index
            for index in waiting
            if (given := tasks[index].given) is None or position[given] in order
        ]
        if not ready:
            names = [tasks[index].name for index in waiting]
            raise UserError(f"tasks are given each other in a circle: {names}")
        order.extend(ready)
        waiting = [index for index in waiting if index not in ready]
    return order


def _require_yes_or_no(parent: Task, child: Task) -> None:
    if not parent.kind.has_one_logit:
        raise UserError(
            f"task {child.name!r} is given {parent.name!r}, which is not binary with constant noise"
        )
