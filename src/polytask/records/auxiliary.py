"""What extra losses and auxiliary tasks did to the goals, as far as it was measured."""

from dataclasses import dataclass

from polytask.records.metrics import Gain


@dataclass(frozen=True, slots=True)
class ExtraLoss:
    """One extra loss: its part in training, and how well it told what it is asked at the end.

    `accuracy` is the mean over the last tenth of the logged steps, `chance` the accuracy of always
    saying the most frequent; both None where it is not judged by accuracy.
    """

    name: str
    accuracy: float | None = None
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class AuxiliaryEffect:
    """A goal's main metric with and without them, means over the seeds, and the gain by them."""

    task: str
    title: str
    with_them: float
    without: float
    gain: Gain


@dataclass(frozen=True, slots=True)
class AuxiliaryRecord:
    """What was trained on beside the goals, and for `num_seeds` above 0 what it did and what it cost.

    `part` is on which rows. Seconds a step are means over all trainings of either kind, `pretraining_seconds`
    those of the model's stage before, with nothing to compare.
    """

    losses: tuple[ExtraLoss, ...]
    tasks: tuple[str, ...]
    pretrained: tuple[str, ...]
    num_seeds: int = 0
    part: str | None = None
    effects: tuple[AuxiliaryEffect, ...] = ()
    step_seconds_with: float | None = None
    step_seconds_without: float | None = None
    pretraining_seconds: float | None = None
