"""The part of a graph that torch exports: raw numbers, ids and times -> predictions in the label's own unit."""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import UserError
from polytask.inputs import FittedInputs, Input
from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.history import KeyHistory
from polytask.inputs.joined import JoinedEncoder
from polytask.inputs.numbers import Numbers
from polytask.inputs.time import Time
from polytask.model import Bag, MultiTaskModel, Network
from polytask.serving.contract import Answer
from polytask.serving.graph.answers import InDouble, Made, answers_of
from polytask.serving.graph.clocks import of_times
from polytask.serving.graph.columns import Channels
from polytask.serving.graph.past import of_history
from polytask.serving.graph.raw import (
    DerivedIds,
    Raw,
    Reading,
    of_categories,
    of_frequent_values,
    of_numbers,
)
from polytask.task import Task

RAW: Mapping[type[Input], Callable[[Input, Channels, Reading], nn.Module]] = {
    Categories: of_categories,
    Numbers: of_numbers,
    Time: of_times,
    FrequentValues: of_frequent_values,
    KeyHistory: of_history,
}
"""The inputs that a graph has: each makes of raw columns what its `encode` makes of a table."""


def raw_inputs(inputs: FittedInputs, channels: Channels, reading: Reading) -> nn.ModuleDict:
    """A module for each input; UserError that names the columns of those that no graph has."""
    found = {}
    for name, one in inputs.by_name.items():
        way = RAW.get(type(one))
        if way is None:
            raise UserError(
                f"column {one.columns[0]!r} is read as {name}, which no graph has: only numbers, categories, "
                "times and histories are in one. Leave it out (--ignore), or predict by polytask predict"
            )
        found[name] = way(one, channels, reading)
    return nn.ModuleDict(found)


class Core(nn.Module):
    """A copy of the run's model, in float32 on the CPU, with what comes before and after it.

    **Shape** numbers (B, N) float64, ids (B, C) and times (B, K) int64, of these only the `parts` that there
    are -> an output (B,) for each of `made`.
    """

    def __init__(
        self,
        model: Network,
        inputs: nn.ModuleDict,
        channels: Channels,
        formulas: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.formulas = nn.ModuleList(formulas)
        self.derived_ids = nn.ModuleList(DerivedIds(each) for each in channels.derived_lookups)
        self._sources = [channels.derived.index(each.column) for each in channels.derived_lookups]
        self.parts = tuple(name for name, width in channels.widths().items() if width)
        self.inputs = inputs
        self.model = _copied(model)
        self.tasks: tuple[Task, ...] = model.tasks
        self.made: list[tuple[Task, bool, Made]] = []
        for task in self.tasks:
            self.made += [(task, False, made) for made in answers_of(task)]
            if task.given is not None:
                (own,) = answers_of(task)
                named = _renamed(own.answer, f"{task.name}_given_{task.given}")
                self.made.append((task, True, Made(named)))

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        raw = Raw(**dict(zip(self.parts, parts)))
        for formula in self.formulas:
            raw = raw._replace(derived=(*raw.derived, formula(raw)))
        found_ids = (ids(raw.derived[k]) for ids, k in zip(self.derived_ids, self._sources))
        raw = raw._replace(derived_ids=tuple(found_ids))
        result = self.model({name: module(raw) for name, module in self.inputs.items()})
        places = {task.name: place for place, task in enumerate(self.tasks)}
        values: dict[tuple[str, bool], Tensor] = {}
        found = []
        for task, is_own, made in self.made:
            outputs = result.own if is_own else result.outputs
            key = (task.name, is_own)
            if key not in values:
                values[key] = task.kind.predict(outputs[places[task.name]])
            value = values[key]
            if made.classes:
                found.append(value.argmax(dim=1))
            else:
                column_B = value if made.place is None else value[:, made.place]
                found.append(column_B.to(_dtype(task)))
        return tuple(found)


def _copied(model: Network) -> Network:
    model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    networks: Sequence[nn.Module] = [*model.networks] if isinstance(model, Bag) else [model]
    for network in networks:
        assert isinstance(network, MultiTaskModel)
        network.heads = nn.ModuleList(InDouble(head) for head in network.heads)
        if isinstance(network.encoder, JoinedEncoder):
            network.encoder.fold = None
    return model


def _dtype(task: Task) -> torch.dtype:
    """What `predict` returns for outputs in float32."""
    return task.kind.predict(torch.zeros(1, task.kind.num_outputs)).dtype


def _renamed(answer: Answer, name: str) -> Answer:
    return Answer(name, answer.task, answer.holds, answer.absolute, answer.relative)
