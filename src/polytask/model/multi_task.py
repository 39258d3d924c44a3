"""MultiTaskModel: an encoder, a trunk, and a tower and head of its own for each task."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from polytask.model.linear_part import LinearPart
from polytask.model.members import Members, head_of
from polytask.model.objective import Objective, TaskObjective
from polytask.model.outputs import Outputs
from polytask.model.reduction import Counts, reduce
from polytask.model.words import ReadsWords
from polytask.products import Unmade
from polytask.streams import Batch
from polytask.task import Task, joint_logit, parents_first
from polytask.trunks import Explanation, Trunk, mlp


@runtime_checkable
class Folds(Protocol):
    """An encoder that can stand in for x where nothing but products reads it."""

    @property
    def num_folded(self) -> int: ...

    def folded(self, inputs: Mapping[str, Tensor]) -> Unmade | None: ...


class Added(NamedTuple):
    """The mean loss of an objective, and by what it is multiplied before it is added."""

    loss: Tensor
    weight: float


class MultiTaskModel(nn.Module):
    """encoder(inputs) -> x (B, D); trunk -> T of (B, H); towers and heads -> T of (B, O).

    Any module that makes one vector per example of the named inputs is an encoder. Towers are
    perceptrons of the widths `tower_hidden`; heads are linear. Both are above the seam and never
    shared. With an `ensemble` of K > 1 the model is K networks in one (see Members): in training every
    output has B * K rows, the members of a row side by side; in evaluation it is their mean.
    `linear` adds what a linear regression on the numbers says to the outputs of tasks that it explains.
    `objectives` are losses beside the tasks' own: a balancer weighs the `num_losses` losses
    of the tasks and then of the objectives that are weighed.

    **Shape** named inputs, each (B, ...) -> Outputs.

    >>> import torch
    >>> from polytask.inputs import SingleInput
    >>> from polytask.task import binary
    >>> from polytask.trunks import SharedBottom
    >>> tasks = [binary("click"), binary("like")]
    >>> model = MultiTaskModel(SingleInput("x"), SharedBottom(4, 2), tasks)
    >>> [output.shape for output in model({"x": torch.zeros(8, 4)}).outputs]
    [torch.Size([8, 1]), torch.Size([8, 1])]
    """

    def __init__(
        self,
        encoder: nn.Module,
        trunk: Trunk,
        tasks: Sequence[Task],
        *,
        tower_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        ensemble: int = 1,
        linear: LinearPart | None = None,
        objectives: Sequence[Objective] = (),
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        parents_first(self.tasks)
        if trunk.num_tasks != len(self.tasks):
            raise ValueError(
                f"the trunk was built for {trunk.num_tasks} tasks, but there are {len(self.tasks)}"
            )
        self.encoder = encoder
        self.trunk = trunk
        self.members = _members(encoder, ensemble) if ensemble > 1 else None
        width = tower_hidden[-1] if tower_hidden else trunk.out_features
        self.towers = nn.ModuleList(
            mlp(trunk.out_features, tower_hidden, dropout=dropout) for _ in self.tasks
        )
        self.heads = nn.ModuleList(
            head_of(width, task, num_members=ensemble) for task in self.tasks
        )
        self.linear = linear
        self._positions = {task.name: t for t, task in enumerate(self.tasks)}
        # Modules of their own, so that a model without objectives has the parameters of the tasks alone.
        self.objectives = nn.ModuleList(objectives)
        self._terms = _in_order([*starmap(TaskObjective, enumerate(self.tasks)), *objectives])
        self.loss_names = tuple(term.name for term in self._terms if term.is_weighed)

    @property
    def num_losses(self) -> int:
        """How many losses a balancer weighs."""
        return len(self.loss_names)

    def forward(self, inputs: Mapping[str, Tensor], *, needs_seam: bool = True) -> Outputs:
        """Who reads neither the seam nor x may say so: both are left out where that is quicker."""
        folded = None if needs_seam else self._folded(inputs)
        if folded is not None:
            features = self.trunk.split(self.trunk.share(folded))
            outputs, own = self._outputs(features, inputs)
            return Outputs(outputs, own, features, (), features[0].new_empty(0))
        x_BD = self.encoder(inputs)
        num_words_B = None
        if isinstance(self.encoder, ReadsWords):
            num_words_B = self.encoder.num_words(inputs)
        shared = self.trunk.share(self._trunk_input(x_BD))
        seam = tuple(tensor.view_as(tensor) for tensor in shared)
        features = self.trunk.split(seam)
        outputs, own = self._outputs(features, inputs)
        if self.members is not None:
            features = [self.members.average(h_NH) for h_NH in features]
        # What objectives read of x, and trunks of their seam, is the same where x is in the seam.
        seen = [alias for tensor, alias in zip(shared, seam) if tensor is x_BD]
        x_BD = seen[0] if seen else x_BD.view_as(x_BD)
        shared_features = self.trunk.num_shared_features
        return Outputs(outputs, own, features, seam, x_BD, shared_features, num_words_B)

    def _outputs(
        self, features: Sequence[Tensor], inputs: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Each task's output and its own one, the conditional one of a task with `given`."""
        own = [head(tower(h_BH)) for head, tower, h_BH in zip(self.heads, self.towers, features)]
        if self.members is not None and not self.training:
            own = [self.members.average(each) for each in own]
        if self.linear is not None:
            copies = self.members.num_members if self.members is not None and self.training else 1
            own = _added(own, self.linear(inputs), copies)
        joint: dict[int, Tensor] = {}
        return [self._joint(t, own, joint) for t in range(len(own))], own

    @property
    def num_folded(self) -> int:
        """How many columns' products are made once a value, where nobody needs the seam."""
        only_products = self.trunk.reads_x_by_products and self.members is None
        if not isinstance(self.encoder, Folds) or not only_products or self.objectives:
            return 0
        return self.encoder.num_folded

    def _folded(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """What stands in for x, where the encoder has that and the trunk needs no more."""
        if not self.num_folded:
            return None
        assert isinstance(self.encoder, Folds)
        # A trunk that reads x by products alone does not see that it is no tensor.
        return cast(Tensor | None, self.encoder.folded(inputs))

    def explain(self, inputs: Mapping[str, Tensor]) -> Explanation:
        """What the trunk does with its parts on these rows, those of each member among them."""
        return self.trunk.explain(self._trunk_input(self.encoder(inputs)))

    def seam(self, result: Outputs) -> tuple[Tensor, ...]:
        """All tensors through which the weighed losses reach what is shared.

        These are the trunk's, and x where objectives may read it around them.
        """
        has_x = any(tensor is result.x for tensor in result.seam)
        if has_x or self.num_losses == len(self.tasks):
            return result.seam
        return (result.x, *result.seam)

    def counts(self, batch: Batch) -> Counts:
        """What the batch's rows count in each loss: their weights, 0 without a label."""
        return Counts.of([term.row_weights(batch) for term in self._terms], batch)

    def losses(
        self, result: Outputs, batch: Batch, counts: Counts | None = None
    ) -> list[Tensor | None]:
        """`num_losses` scalars: each the (weighted) mean over the rows that count in it.

        A task without a labelled row of positive weight is absent: its loss is None. `counts` are
        others than the batch's own where it is a part of a larger one.
        """
        counts = counts or self.counts(batch)
        return [
            self._loss(place, result, batch, counts)
            for place, term in enumerate(self._terms)
            if term.is_weighed
        ]

    def added_losses(
        self, result: Outputs, batch: Batch, counts: Counts | None = None
    ) -> dict[str, Added]:
        """The objectives that no balancer weighs: each mean loss with its weight; absent ones are not there."""
        if all(term.is_weighed for term in self._terms):
            return {}
        counts = counts or self.counts(batch)
        found = {
            term.name: (self._loss(place, result, batch, counts), term.weight_now())
            for place, term in enumerate(self._terms)
            if not term.is_weighed
        }
        return {name: Added(loss, w) for name, (loss, w) in found.items() if loss is not None}

    def penalty(
        self,
        result: Outputs,
        batch: Batch,
        counts: Counts | None = None,
        *,
        added: Mapping[str, Added] | None = None,
    ) -> Tensor | None:
        """What is added once: the trunk's cost on its parameters, and objectives that no balancer weighs.

        `added` are these, where they are known already.
        """
        added = self.added_losses(result, batch, counts) if added is None else added
        penalty = self.trunk.penalty()
        for loss, weight in added.values():
            penalty = weight * loss if penalty is None else penalty + weight * loss
        return penalty

    @torch.no_grad()
    def accuracies(self, result: Outputs, batch: Batch) -> dict[str, Tensor]:
        """What share of the batch the objectives tell right that are judged by it, by name."""
        found = {term.name: term.accuracy(result, batch) for term in self._terms}
        return {name: value for name, value in found.items() if value is not None}

    def advance(self) -> None:
        """Tell the objectives that a step was taken: some change with the progress of training."""
        for term in self._terms:
            term.advance()

    def _trunk_input(self, x_BD: Tensor) -> Tensor:
        return x_BD if self.members is None else self.members(x_BD)

    def _loss(self, place: int, result: Outputs, batch: Batch, counts: Counts) -> Tensor | None:
        row_B, total = counts.rows[place], counts.totals[place]
        return reduce(self._terms[place](result, batch), row_B, total) if total > 0 else None

    def _joint(self, t: int, own: list[Tensor], joint: dict[int, Tensor]) -> Tensor:
        given = self.tasks[t].given
        if given is None:
            return own[t]
        if t not in joint:
            parent = self._joint(self._positions[given], own, joint)
            joint[t] = joint_logit(parent, own[t])
        return joint[t]


def _added(outputs: Sequence[Tensor], linear_BT: Tensor, copies: int) -> list[Tensor]:
    """The first entry of each output, the prediction of a quantity, with the linear part, row by row of `copies`."""
    linear_NT = linear_BT.repeat_interleave(copies, dim=0) if copies > 1 else linear_BT
    found = []
    for t, output in enumerate(outputs):
        rest = output.shape[1] - 1
        linear_N1 = linear_NT[:, t : t + 1]
        found.append(output + (nn.functional.pad(linear_N1, (0, rest)) if rest else linear_N1))
    return found


def _members(encoder: nn.Module, num_members: int) -> Members:
    in_features = getattr(encoder, "out_features", None)
    if not isinstance(in_features, int):
        raise ValueError("an ensemble needs an encoder with out_features: the width of its vector")
    return Members(num_members, in_features=in_features)


def _in_order(terms: Sequence[Objective]) -> list[Objective]:
    """What is weighed first; ValueError where two are named alike."""
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"tasks and objectives need names of their own, but they are {names}")
    return sorted(terms, key=lambda term: not term.is_weighed)
