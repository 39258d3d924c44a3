"""How many threads a run's own steps are fastest with, on this machine as it is now."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from polytask.balancing import Ranks
from polytask.config import FitConfig
from polytask.fitting.building import start_training
from polytask.fitting.own_parts import OwnParts
from polytask.fitting.plan import ModelPlan
from polytask.fitting.preparing.prepare import Prepared
from polytask.training.loop import train

_ROUNDS = 3
_STEPS = 3
_WORTH = 0.9
"""All threads have to take less than this share of one thread's time: they share the machine."""


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    """The threads to train with, and the milliseconds a step by number of threads."""

    threads: int
    milliseconds: Mapping[int, float]

    @property
    def in_words(self) -> str:
        times = ", ".join(f"{ms:.1f} ms with {n}" for n, ms in self.milliseconds.items())
        return f"threads: {self.threads} (a step takes {times})"


def should_measure(config: FitConfig, device: torch.device, ranks: Ranks | None) -> bool:
    """Whether the number of threads is open: not asked for, not a GPU's, not torchrun's."""
    is_open = config.threads is None and ranks is None and device.type == "cpu"
    return is_open and torch.get_num_threads() > 1


def choose_threads(
    plan: ModelPlan, prepared: Prepared, own: OwnParts, device: torch.device
) -> ThreadChoice:
    """Time steps of a model of the plan that is thrown away, with one and with all threads in turn.

    Beside other busy programs two threads that wait for each other make a step 10 to 60 times as
    long; no rule foresees it. The number of threads is left as it was.
    """
    run = start_training(plan, prepared, own, device=device)
    steps = train(run, plan.stream())

    def take_steps() -> None:
        for _ in range(_STEPS):
            if next(steps, None) is None:
                return

    take_steps()
    return fastest(take_steps, torch.get_num_threads(), torch.set_num_threads)


def fastest(
    take_steps: Callable[[], None], most: int, set_threads: Callable[[int], None]
) -> ThreadChoice:
    """One thread or `most`: rounds of both in turn, compared by their medians."""
    seconds: dict[int, list[float]] = {1: [], most: []}
    for _ in range(_ROUNDS):
        for threads, taken in seconds.items():
            set_threads(threads)
            started = time.perf_counter()
            take_steps()
            taken.append(time.perf_counter() - started)
    set_threads(most)
    medians = {n: statistics.median(taken) / _STEPS for n, taken in seconds.items()}
    chosen = most if medians[most] < _WORTH * medians[1] else 1
    return ThreadChoice(chosen, {n: 1000 * value for n, value in medians.items()})
