"""The part of a graph that torch exports: what inputs encode -> predictions in the label's own unit."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from polytask.inputs.joined import JoinedEncoder
from polytask.model import Bag, MultiTaskModel, Network
from polytask.serving.graph.answers import InDouble, Made, answers_of
from polytask.task import Task


class Core(nn.Module):
    """A copy of the run's model, in float32 on the CPU, with the links after it.

    **Shape** the encoded inputs (B, ...) in the order of `names` -> an output (B,) for each of `made`.
    """

    def __init__(self, model: Network, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.model = _copied(model)
        self.made: list[Made] = []
        self._of: list[tuple[int, bool]] = []
        # Also fills what kinds keep, such as draws, which are none while torch traces.
        self._dtypes = [_dtype(task) for task in model.tasks]
        for place, task in enumerate(model.tasks):
            for made in answers_of(task):
                self._add(made, place, is_own=False)
            if task.given is not None:
                (own,) = answers_of(task)
                answer = replace(own.answer, name=f"{task.name}_given_{task.given}")
                self._add(replace(own, answer=answer), place, is_own=True)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        result = self.model(dict(zip(self.names, inputs)))
        values: dict[tuple[int, bool], Tensor] = {}
        found = []
        for made, key in zip(self.made, self._of):
            place, is_own = key
            task = self.model.tasks[place]
            if key not in values:
                outputs = result.own if is_own else result.outputs
                values[key] = task.kind.predict(outputs[place])
            if made.classes:
                found.append(values[key].argmax(dim=1))
            else:
                value = values[key] if made.place is None else values[key][:, made.place]
                found.append(value.to(self._dtypes[place]))
        return tuple(found)

    def _add(self, made: Made, place: int, *, is_own: bool) -> None:
        self.made.append(made)
        self._of.append((place, is_own))


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
    """That of predictions of outputs in float32."""
    return task.kind.predict(torch.zeros(1, task.kind.num_outputs)).dtype
