"""--bag: networks for one, each trained by itself from weights of its own and, of few rows, held out others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.errors import UserError
from polytask.fitting.comparing.comparison import TrainedNetwork, predicted
from polytask.fitting.plan import ModelPlan
from polytask.fitting.preparing.prepare import Prepared
from polytask.model import Bag, MultiTaskModel
from polytask.streams import Batch
from polytask.training.calibrating import calibrate
from polytask.training.evaluation import Predictions
from polytask.training.run import TrainingRun

MOST_ROWS_OF_FOLDS = 10_000
"""Of more rows the held-out ones are enough to judge by, and too few to be missed in training."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A trained network of a bag, and what it makes of the rows that it was held out."""

    training: TrainedNetwork
    model: MultiTaskModel
    valid: Predictions | None

    @classmethod
    def of(cls, plan: ModelPlan, run: TrainingRun) -> "Member":
        """On every rank; what is predicted of the held-out rows is on the first one alone."""
        valid = None if plan.valid is None else predicted(plan, plan.valid, run.model, run.ranks)
        return cls(TrainedNetwork.of(run), run.model, valid)


def bagged(plans: Sequence[ModelPlan], prepared: Prepared) -> list[ModelPlan]:
    """Each plan that is reported, after those of the networks that it is to be averaged with.

    Their weights and the order of their rows are drawn by seeds of their own. Of few rows that were
    parted at random each is held out others, so that hardly a row is lost to training.
    """
    number = prepared.config.bag
    if number == 1:
        return list(plans)
    folds = _folds(prepared, number)
    return [
        each
        for plan in plans
        for each in (_with_members(plan, folds) if plan.role in ("main", "baseline") else [plan])
    ]


def bag_of(
    plan: ModelPlan, run: TrainingRun, members: Mapping[str, Member], ranks: Ranks | None
) -> tuple[ModelPlan, TrainedNetwork, dict[str, Predictions]]:
    """The networks of a plan as one, and its predictions by part; the plan with the rows these are of.

    Each held-out row is predicted by the one network that has not seen it, where each has others.
    """
    others = [members[name] for name in plan.bag]
    own = Member.of(plan, run)
    bag = Bag([run.model, *(each.model for each in others)]).eval()
    calibrate(bag, plan.stream(), run.settings)
    training = own.training.with_others(bag, [each.training for each in others])
    if plan.held_out_apart:
        assert plan.valid is not None
        judged = replace(plan, valid=Batch.joined([plan.valid, *plan.held_out_apart]))
        valid = [each.valid for each in (own, *others) if each.valid is not None]
        found = {"valid": Predictions.joined(valid)} if valid else {}
        parts = ["test"]
    else:
        judged, found, parts = plan, {}, ["valid", "test"]
    for part in parts:
        if part in plan.held_out:
            made = predicted(plan, plan.held_out[part], bag, ranks)
            found |= {} if made is None else {part: made}
    return judged, training, found


def refuse_bag(config: FitConfig, room: str) -> None:
    """UserError: where many trainings are compared, each is one network."""
    if config.bag > 1:
        raise UserError(
            f"{room} compares single networks: leave --bag and --preset=best to the fit that follows"
        )


def _with_members(plan: ModelPlan, folds: Sequence[tuple[Batch, Batch]]) -> list[ModelPlan]:
    number = plan.config.bag
    same = [(plan.train, plan.valid)] * (number - 1)
    parted: Sequence[tuple[Batch, Batch | None]] = folds or same
    members = [
        replace(
            plan,
            name=f"{plan.name}, network {place + 2} of {number}",
            role="member",
            config=plan.config.model_copy(update={"seed": plan.config.seed + place + 1}),
            train=train,
            valid=valid,
            test=None,
        )
        for place, (train, valid) in enumerate(parted)
    ]
    names = tuple(member.name for member in members)
    apart = tuple(valid for _, valid in folds)
    return [*members, replace(plan, bag=names, held_out_apart=apart)]


def _folds(prepared: Prepared, number: int) -> list[tuple[Batch, Batch]]:
    """Training and held-out rows of all networks but the last; empty where all have the same."""
    train, valid = prepared.train, prepared.valid
    if valid is None or not _may_change_places(prepared):
        return []
    size = min(len(valid), len(train) // (number - 1))
    if size == 0:
        return []
    generator = torch.Generator().manual_seed(prepared.config.split_seed)
    order_B = torch.randperm(len(train), generator=generator)
    folds = []
    for begin in range(0, size * (number - 1), size):
        kept_B = torch.cat([order_B[:begin], order_B[begin + size :]]).sort().values
        folds.append((Batch.joined([train[kept_B], valid]), train[order_B[begin : begin + size]]))
    return folds


def _may_change_places(prepared: Prepared) -> bool:
    """Whether a held-out row is like a training row, and each has what the other has."""
    apart: Iterable[object] = (
        *(prepared.stored, prepared.data_sets, prepared.auxiliaries, prepared.config.group),
        prepared.lengths_B is not None,
    )
    few = prepared.num_train <= MOST_ROWS_OF_FOLDS
    return prepared.valid_is_random and few and not any(apart)
