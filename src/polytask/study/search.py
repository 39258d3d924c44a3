"""What trials choose: a grid of learning rates, weight decay, width, dropout; points of static weights."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import qmc

from polytask.config import FitConfig
from polytask.config.checking import look_up, name_and_options
from polytask.config.spellings import Options
from polytask.config.study import SearchConfig
from polytask.trunks import TRUNKS

GRID_POINTS, SOBOL_POINTS = 9, 10
"""Fewest points of static weights: of two tasks, and of more."""
_SMALLEST_WIDTH = 4
_WIDTHS = ("hidden", "expert_hidden")

Chosen = Mapping[str, float | str]


class Suggester(Protocol):
    """The one method of an optuna trial that is asked: a whole number from low to high."""

    def suggest_int(self, name: str, low: int, high: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Space:
    """Values to choose from by name; each list is in order."""

    choices: Mapping[str, tuple[float, ...]]
    start: Mapping[str, int]

    def suggest(self, trial: Suggester) -> dict[str, float | str]:
        """One value of each list; a list of one is no question."""
        return {
            name: values[trial.suggest_int(name, 0, len(values) - 1) if len(values) > 1 else 0]
            for name, values in self.choices.items()
        }

    @property
    def defaults(self) -> dict[str, float | str]:
        """The values that the first trial takes."""
        return {name: values[self.start[name]] for name, values in self.choices.items()}

    @property
    def first(self) -> dict[str, int]:
        """What the first trial takes: the values nearest to the defaults."""
        return {name: place for name, place in self.start.items() if len(self.choices[name]) > 1}


def network_space(search: SearchConfig, fit: FitConfig) -> Space:
    """The lists of a network; the first trial takes the fit's own options.

    >>> space = network_space(SearchConfig(), FitConfig())
    >>> len(space.choices["learning_rate"]), space.choices["learning_rate"][space.start["learning_rate"]]
    (25, 0.003)
    """
    choices = {
        "learning_rate": rate_grid(*search.learning_rate, per_decade=search.per_decade),
        "weight_decay": tuple(sorted(search.weight_decay)),
        "width": tuple(sorted(search.width)),
        "dropout": tuple(sorted(search.dropout)),
    }
    defaults = {
        "learning_rate": math.log(fit.learning_rate),
        "weight_decay": fit.weight_decay,
        "width": 1.0,
        "dropout": fit.dropout,
    }
    start = {}
    for name, values in choices.items():
        scaled = np.log(values) if name == "learning_rate" else np.asarray(values)
        start[name] = int(np.abs(scaled - defaults[name]).argmin())
    return Space(choices, start)


def tree_space() -> Space:
    """The lists of gradient-boosted trees."""
    choices = {
        "learning_rate": (0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2),
        "leaves": (7.0, 15.0, 31.0, 63.0, 127.0),
        "rows_a_leaf": (5.0, 10.0, 20.0, 50.0, 100.0),
        "l2": (0.0, 0.1, 1.0, 10.0),
    }
    return Space(choices, {"learning_rate": 3, "leaves": 2, "rows_a_leaf": 2, "l2": 0})


def rate_grid(low: float, high: float, *, per_decade: int) -> tuple[float, ...]:
    """Rates that are even in the logarithm, both ends among them.

    >>> rate_grid(1e-3, 1e-2, per_decade=3)
    (0.001, 0.00215443, 0.00464159, 0.01)
    """
    number = max(round(per_decade * math.log10(high / low)), 1) if high > low else 0
    return tuple(
        float(f"{low * (high / low) ** (place / max(number, 1)):.6g}")
        for place in range(number + 1)
    )


def weight_points(num_losses: int, *, trials: int, seed: int) -> list[tuple[float, ...]]:
    """Static weights to try, each summing to the number of losses, so that rates stay comparable.

    Of two losses a grid with `trials` points, nine at least: 0.1 to 0.9 of the sum. Of more a Sobol
    sequence, uniform on the simplex by the spacings of sorted numbers, ten points at least.

    >>> weight_points(2, trials=3, seed=0)[0]
    (0.2, 1.8)
    """
    if num_losses == 2:
        number = max(GRID_POINTS, trials)
        shares = [(place + 1) / (number + 1) for place in range(number)]
        return [(round(2 * share, 6), round(2 - 2 * share, 6)) for share in shares]
    number = max(SOBOL_POINTS, trials)
    # A power of two keeps the sequence balanced; the first `number` of it are taken.
    drawn = qmc.Sobol(num_losses - 1, rng=seed).random_base2(math.ceil(math.log2(number)))[:number]
    edges = np.sort(drawn, axis=1)
    full = np.concatenate([np.zeros((number, 1)), edges, np.ones((number, 1))], axis=1)
    weights = num_losses * np.diff(full, axis=1)
    return [tuple(float(round(w, 6)) for w in row) for row in weights]


def scaled_trunk(trunk: Options, width: float) -> Options:
    """The trunk with its layers' widths times a factor; what it has as defaults is scaled too.

    >>> scaled_trunk("mmoe", 0.5)
    {'name': 'mmoe', 'expert_hidden': [32, 16]}
    """
    if width == 1.0:
        return trunk
    name, options = name_and_options(trunk, "trunk")
    parameters = inspect.signature(look_up(TRUNKS, name, "trunk")).parameters
    for key in _WIDTHS:
        if key in parameters:
            options[key] = _scaled(options.get(key, parameters[key].default), width)
    return {"name": name, **options}


def _scaled(widths: object, factor: float) -> object:
    if isinstance(widths, Sequence) and not isinstance(widths, str):
        return [_scaled(each, factor) for each in widths]
    return max(round(factor * float(str(widths))), _SMALLEST_WIDTH)


def options_of(fit: FitConfig, trunk: Options, balancer: Options, chosen: Chosen) -> FitConfig:
    """The fit's options with those of a trial: a static rule's weights are its text."""
    changes: dict[str, object] = {"trunk": trunk, "balancer": balancer}
    if "width" in chosen:
        changes["trunk"] = scaled_trunk(_with_flat(fit, trunk), float(chosen["width"]))
        changes |= {"hidden": None, "num_experts": None, "expert_hidden": None}
    for name in ("learning_rate", "weight_decay", "dropout"):
        if name in chosen:
            changes[name] = float(chosen[name])
    if "weights" in chosen:
        changes["balancer"] = {"name": "static", "weights": weights_from(chosen)}
    return fit.model_copy(update=changes)


def _with_flat(fit: FitConfig, trunk: Options) -> Options:
    """The trunk with the flat options of the command line inside, under its own ones."""
    name, options = name_and_options(trunk, "trunk")
    keys = ("hidden", "num_experts", "expert_hidden")
    flat = {key: getattr(fit, key) for key in keys if getattr(fit, key) is not None}
    return {"name": name, **flat, **options} if flat else trunk


def weights_in_words(weights: Sequence[float]) -> str:
    """Weights as a trial's text: `0.2, 1.8`."""
    return ", ".join(f"{weight:g}" for weight in weights)


def weights_from(chosen: Chosen) -> list[float]:
    return [float(part) for part in str(chosen["weights"]).split(",")]
