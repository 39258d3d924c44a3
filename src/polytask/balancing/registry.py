"""The rules by name. A rule, ours or yours, is one file and one line: `@register("name")` above its class.

    >>> from polytask.balancing import BALANCERS, Scalarization, register
    >>> @register("squared")
    ... class Squared(Scalarization):
    ...     def derivative(self, losses_A, tasks_A, measured):
    ...         return 2 * losses_A
    >>> BALANCERS["squared"](3)
    Squared()

From then on `--balancer squared`, run.yaml and `polytask.fit(..., balancer="squared")` know it, as long as
the file is imported; its options are those of its constructor.
"""

import inspect
from collections.abc import Callable
from typing import TypeVar

from polytask.balancing.balancer import Balancer
from polytask.registry import enter

Rule = TypeVar("Rule", bound=type[Balancer])

BALANCERS: dict[str, type[Balancer]] = {}
"""Every rule by name; each is made by `rule(num_tasks, **options)` and has defaults for all options."""

WRAPPERS: dict[str, type[Balancer]] = {}
"""Rules made of other rules, by name; each takes its rules, and no num_tasks."""


def register(name: str) -> Callable[[Rule], Rule]:
    """A decorator that gives a rule, or a wrapper of rules, a name in the registry.

    TypeError for what is no `Balancer`; ValueError for a name that another rule has.

    >>> from polytask.balancing import MGDA, register
    >>> register("mgda")(MGDA) is MGDA
    True
    """

    def add(rule: Rule) -> Rule:
        if not (isinstance(rule, type) and issubclass(rule, Balancer)):
            raise TypeError(
                f"{rule!r} is no rule: derive it from Scalarization, GramRule or Wrapper"
            )
        of_rules = "num_tasks" not in inspect.signature(rule).parameters
        members, others = (WRAPPERS, BALANCERS) if of_rules else (BALANCERS, WRAPPERS)
        if name in others:
            raise ValueError(f"{name!r} is the name of {others[name].__qualname__}: choose another")
        enter(members, name, rule)
        return rule

    return add
