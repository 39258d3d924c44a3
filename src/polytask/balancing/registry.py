"""The rules by name. A rule of your own is one file and one line: `@register("name")` above its class.

    >>> from polytask.balancing import BALANCERS, Scalarization, register
    >>> @register("squared")
    ... class Squared(Scalarization):
    ...     def derivative(self, losses_A, tasks_A, measured):
    ...         return 2 * losses_A
    >>> BALANCERS["squared"](3)
    Squared()

From then on `--balancer squared`, run.yaml and `polytask.fit(..., balancer="squared")` know it, as long as
the file is imported; its options are those of its constructor. A rule of ours has its line below.
"""

from collections.abc import Callable
from typing import TypeVar

from polytask.balancing.balancer import Balancer
from polytask.balancing.conflict_rules import CAGrad, CosineGate, GradVac, PCGrad
from polytask.balancing.coordinate import GradDrop
from polytask.balancing.gradient_rules import (
    IMTLG,
    MGDA,
    AlignedMTL,
    ConFIG,
    DualProj,
    FairGrad,
    NashMTL,
    ParetoEfficient,
    UPGrad,
)
from polytask.balancing.gradnorm import GradNorm
from polytask.balancing.histories import DWA, STCH
from polytask.balancing.learned import FAMO, IMTLL, Uncertainty
from polytask.balancing.scalarization import GLS, RLW, Decayed, Equal, ScaleInvariant, Static
from polytask.balancing.wrappers import Combined, EveryNthStep, NormClipped, Smoothed, Wrapper

Rule = TypeVar("Rule", bound=type[Balancer])

BALANCERS: dict[str, type[Balancer]] = {
    "equal": Equal,
    "static": Static,
    "decayed": Decayed,
    "rlw": RLW,
    "uncertainty": Uncertainty,
    "dwa": DWA,
    "gls": GLS,
    "scale_invariant": ScaleInvariant,
    "imtl_l": IMTLL,
    "famo": FAMO,
    "stch": STCH,
    "gradnorm": GradNorm,
    "mgda": MGDA,
    "pareto_efficient": ParetoEfficient,
    "pcgrad": PCGrad,
    "gradvac": GradVac,
    "cagrad": CAGrad,
    "imtl_g": IMTLG,
    "nash_mtl": NashMTL,
    "fair_grad": FairGrad,
    "aligned_mtl": AlignedMTL,
    "upgrad": UPGrad,
    "dual_proj": DualProj,
    "config": ConFIG,
    "graddrop": GradDrop,
    "cosine_gate": CosineGate,
}
"""Every rule by name; each is made by `rule(num_tasks, **options)` and has defaults for all options."""

WRAPPERS: dict[str, type[Balancer]] = {
    "smoothed": Smoothed,
    "norm_clipped": NormClipped,
    "every_nth_step": EveryNthStep,
    "combined": Combined,
}
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
        known = {**BALANCERS, **WRAPPERS}.get(name, rule)
        # A notebook's cell that is run again defines the class anew.
        if (known.__module__, known.__qualname__) != (rule.__module__, rule.__qualname__):
            raise ValueError(f"{name!r} is the name of {known.__qualname__}: choose another")
        (WRAPPERS if issubclass(rule, Wrapper) else BALANCERS)[name] = rule
        return rule

    return add
