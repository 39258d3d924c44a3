"""What a trained trunk does with its parts: gates, stitches and masks on some rows, as plain values."""

import re
from dataclasses import dataclass

import torch

from polytask.model import Network
from polytask.records import GateFigures, MaskFigures, StitchFigures
from polytask.streams import Batch
from polytask.training.evaluation import rows_at_once
from polytask.training.run import device_of
from polytask.trunks import Explanation, Mask, collapse_warning, expert_uses

MOST_ROWS = 8192
SHARED_GATE = "shared gate"


@dataclass(frozen=True, slots=True)
class Inside:
    """All of it; `collapse` says in words which experts are of no use, if any."""

    gates: tuple[GateFigures, ...]
    stitches: tuple[StitchFigures, ...]
    masks: tuple[MaskFigures, ...]
    collapse: str | None


@torch.inference_mode()
def explain_trunk(model: Network, table: Batch, *, most_rows: int = MOST_ROWS) -> Inside:
    """What the trunk does on at most `most_rows` rows, spread evenly, in evaluation mode."""
    explanation = _explain(model, table, most_rows)
    names = tuple(task.name for task in model.tasks)
    gates = []
    for gate in explanation.gates:
        name = SHARED_GATE if gate.task is None else names[gate.task]
        experts = tuple(_named(expert, names) for expert in gate.experts)
        std_E, mean_E = torch.std_mean(gate.weights_BE.double(), dim=0, correction=0)
        mean, std = tuple(mean_E.tolist()), tuple(std_E.tolist())
        gates.append(GateFigures(name, gate.level, experts, mean, std))
    stitches = []
    for stitch in explanation.stitches:
        rows, sources = (
            tuple(_named(text, names) for text in texts) for texts in (stitch.rows, stitch.sources)
        )
        weights = tuple(tuple(row) for row in stitch.weights_RS.tolist())
        stitches.append(StitchFigures(stitch.layer, rows, sources, weights))
    collapse = collapse_warning(expert_uses(explanation))
    return Inside(
        tuple(gates),
        tuple(stitches),
        tuple(_mask(mask, names) for mask in explanation.masks),
        None if collapse is None else _named(collapse, names),
    )


def _explain(model: Network, table: Batch, most_rows: int) -> Explanation:
    size = min(len(table), most_rows, rows_at_once(table))
    index = torch.linspace(0, len(table) - 1, size).round().long()
    device, was_training = device_of(model), model.training
    model.eval()
    try:
        return model.explain(table[index].to(device).inputs)
    finally:
        model.train(was_training)


def _mask(mask: Mask, names: tuple[str, ...]) -> MaskFigures:
    mean_H = mask.values_BH.double().mean(dim=0)
    low, high = torch.quantile(mean_H, torch.tensor([0.1, 0.9], dtype=torch.float64)).tolist()
    return MaskFigures(names[mask.task], mask.layer, float(mean_H.mean()), low, high)


def _named(text: str, names: tuple[str, ...]) -> str:
    """A trunk counts its tasks, "expert 1 of task 2"; here they have names."""
    return re.sub(r"\btask (\d+)\b", lambda found: names[int(found[1]) - 1], text)
