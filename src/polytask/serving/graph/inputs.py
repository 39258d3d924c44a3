"""The inputs that a graph has, by their class."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from polytask.errors import UserError
from polytask.inputs import FittedInputs, Input
from polytask.inputs.categories import Categories
from polytask.inputs.frequent_values import FrequentValues
from polytask.inputs.history import KeyHistory
from polytask.inputs.numbers import Numbers
from polytask.inputs.time import Time
from polytask.serving.contract import Holds
from polytask.serving.graph.clocks import of_times
from polytask.serving.graph.encoding import held_by, of_categories, of_frequent_values, of_numbers
from polytask.serving.graph.past import is_a_time, of_history
from polytask.serving.graph.sources import Sources
from polytask.serving.graph.values import Value

Way: TypeAlias = Callable[[Input, Sources], Value]

WAYS: Mapping[type[Input], Way] = {
    Categories: of_categories,
    Numbers: of_numbers,
    Time: of_times,
    FrequentValues: of_frequent_values,
    KeyHistory: of_history,
}
"""Each makes of raw columns what the input's `encode` makes of a table."""


def encoded(inputs: FittedInputs, sources: Sources) -> dict[str, Value]:
    """What the model reads, by the names of the inputs."""
    require_known(inputs)
    return {name: WAYS[type(one)](one, sources) for name, one in inputs.by_name.items()}


def require_known(inputs: FittedInputs) -> None:
    """UserError that names a column of an input that no graph has."""
    for name, one in inputs.by_name.items():
        if type(one) not in WAYS:
            raise UserError(
                f"column {one.columns[0]!r} is read as {name}, which no graph has: only numbers, "
                "categories, times and histories are in one. Leave it out of the fit "
                f"(--ignore={one.columns[0]}), or predict by polytask predict"
            )


def held_columns(inputs: FittedInputs) -> dict[str, Holds]:
    """What the columns of the inputs hold, derived ones among them."""
    found: dict[str, Holds] = {}
    for one in inputs.by_name.values():
        if isinstance(one, Time):
            found |= {
                name: "times" if clock.unit is None else "integers"
                for name, clock in zip(one.columns, one.clocks)
            }
        elif isinstance(one, KeyHistory):
            found.setdefault(one.time, "times" if is_a_time(one) else "numbers")
            pairs = (pair for past in one.pasts for pair in zip(past.key, past.vocabularies))
            found |= {name: held_by(name, vocabulary) for name, vocabulary in pairs}
        elif isinstance(one, Categories):
            found |= {name: held_by(name, v) for name, v in zip(one.columns, one.vocabularies)}
        else:
            found |= dict.fromkeys(one.columns, "numbers")
    return found
