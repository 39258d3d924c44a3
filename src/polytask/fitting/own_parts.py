"""Objects that the user hands to a fit in the place of names: they are in no file."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from torch import nn

from polytask.balancing import Balancer
from polytask.config.build import OWN
from polytask.config.spellings import Options
from polytask.errors import UserError
from polytask.trunks import TRUNKS, Trunk


class TrunkFactory(Protocol):
    """Makes a trunk: a class such as MMoE, or partial(MMoE, num_experts=4)."""

    def __call__(self, *, in_features: int, num_tasks: int) -> Trunk: ...


TrunkChoice: TypeAlias = str | Mapping[str, object] | Trunk | TrunkFactory
BalancerChoice: TypeAlias = str | Mapping[str, object] | Balancer


@dataclass(frozen=True, slots=True, eq=False)
class OwnParts:
    """An encoder, a trunk and a balancer of the user's own; None where the options name one."""

    encoder: nn.Module | None = None
    trunk: Trunk | TrunkFactory | None = None
    balancer: Balancer | None = None

    def fresh_encoder(self) -> nn.Module | None:
        """A copy, since each model of a fit trains its own."""
        return copy.deepcopy(self.encoder)

    def fresh_balancer(self, *, num_tasks: int) -> Balancer | None:
        """A copy of the balancer, which is for the model of all tasks."""
        if self.balancer is not None and self.balancer.num_tasks != num_tasks:
            raise UserError(
                f"the balancer {type(self.balancer).__name__} is for {self.balancer.num_tasks} "
                f"tasks, but there are {num_tasks}"
            )
        return copy.deepcopy(self.balancer)

    def fresh_trunk(self, *, in_features: int, num_tasks: int) -> Trunk | None:
        """A copy of the trunk object where it fits, or a trunk made by the factory."""
        if self.trunk is None:
            return None
        if not isinstance(self.trunk, Trunk):
            return self.trunk(in_features=in_features, num_tasks=num_tasks)
        if self.trunk.num_tasks != num_tasks:
            raise UserError(
                f"the trunk object is for {self.trunk.num_tasks} tasks, but a model of this fit has "
                f"{num_tasks}: pass what makes one, such as MMoE or partial(MMoE, num_experts=4), or "
                'baseline="none"'
            )
        return copy.deepcopy(self.trunk)

    def modules(self) -> dict[str, nn.Module]:
        """What has weights before the first step."""
        found = {"encoder": self.encoder, "trunk": self.trunk}
        return {name: part for name, part in found.items() if isinstance(part, nn.Module)}


def taken_apart(
    trunk: TrunkChoice | None, balancer: BalancerChoice | None
) -> tuple[dict[str, Options], OwnParts]:
    """What can be written as an option, and the objects that cannot."""
    options: dict[str, Options] = {}
    own_trunk: Trunk | TrunkFactory | None = None
    own_balancer: Balancer | None = None
    described = _described(trunk)
    if described is not None:
        options["trunk"] = described
    elif trunk is not None and not isinstance(trunk, str | Mapping):
        options["trunk"], own_trunk = OWN, trunk
    if isinstance(balancer, str | Mapping):
        options["balancer"] = balancer
    elif isinstance(balancer, type):
        raise UserError(
            f"balancer is the class {balancer.__name__}: make one, {balancer.__name__}(...)"
        )
    elif balancer is not None:
        options["balancer"], own_balancer = OWN, balancer
    return options, OwnParts(trunk=own_trunk, balancer=own_balancer)


def _described(trunk: TrunkChoice | None) -> Options | None:
    """The option that means the same, if there is one: a registered class is known by its name."""
    if isinstance(trunk, str | Mapping):
        return trunk
    kind, options = trunk, {}
    if isinstance(trunk, partial) and not trunk.args:
        kind, options = trunk.func, trunk.keywords
    name = next((name for name, known in TRUNKS.items() if known is kind), None)
    return None if name is None else {"name": name, **options}
