"""A trunk from outside the package: registered, checked by the same laws, and used by name."""

import pytest
from torch import Tensor, nn

from polytask.config import FitConfig
from polytask.config.build import build_trunk
from polytask.trunks import TRUNKS, PerTask, Trunk, register_trunk
from polytask.trunks.testing import check_trunk


class Branches(Trunk):
    """One shared layer, and a layer a task that reads it and x."""

    def __init__(self, in_features: int, num_tasks: int, *, width: int = 8) -> None:
        super().__init__()
        self.num_tasks, self.out_features = num_tasks, width
        self.stem = nn.Linear(in_features, width)
        self.branches = PerTask(nn.Linear(width, width) for _ in range(num_tasks))
        self.skips = PerTask(nn.Linear(in_features, width) for _ in range(num_tasks))

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD, self.stem(x_BD).relu())

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        x_BD, z_BH = seam
        return [branch(z_BH) + skip(x_BD) for branch, skip in zip(self.branches, self.skips)]

    def input_weights(self) -> list[Tensor]:
        return [self.stem.weight, *(skip.weight for skip in self.skips)]


def test_a_registered_trunk_is_built_by_its_name() -> None:
    assert register_trunk("branches")(Branches) is Branches
    assert TRUNKS["branches"] is Branches
    config = FitConfig(trunk={"name": "branches", "width": 3})
    trunk = build_trunk(config, in_features=5, num_tasks=2)
    assert isinstance(trunk, Branches) and trunk.out_features == 3


def test_it_is_checked_by_the_laws_of_trunks() -> None:
    check_trunk(Branches)
    check_trunk(Branches, {"width": 4})


class BranchesInAList(Branches):
    def __init__(self, in_features: int, num_tasks: int) -> None:
        super().__init__(in_features, num_tasks)
        self.branches = nn.ModuleList(self.branches)


class BranchesThatHideASkip(Branches):
    def input_weights(self) -> list[Tensor]:
        return [self.stem.weight]


class BranchesWithALooseSeam(Branches):
    """x goes round the seam."""

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        self.x_BD = x_BD
        return super().share(x_BD)[1:]

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        return super().split((self.x_BD, *seam))


class BranchesThatShareAbove(Branches):
    """The shared layer lies above the seam."""

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD,)

    def split(self, seam: tuple[Tensor, ...]) -> list[Tensor]:
        return super().split((seam[0], self.stem(seam[0]).relu()))


class BranchesOverTheBatch(Branches):
    """A row depends on its batch."""

    def share(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return super().share(x_BD - x_BD.mean(dim=0))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (BranchesInAList, r"branches.0.weight is shared, but reached by the losses of \{0\} alone"),
        (BranchesThatHideASkip, r"input_weights\(\) are not the parameters that read x"),
        (BranchesWithALooseSeam, "x lies above the seam"),
        (BranchesThatShareAbove, "stem.weight lies above the seam"),
        (BranchesOverTheBatch, "a row of a batch is not the row alone"),
    ],
)
def test_a_broken_trunk_is_found(kind: type[Trunk], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_trunk(kind)


def test_a_cell_of_a_notebook_may_register_its_trunk_again() -> None:
    again = type("Branches", (Branches,), {"__module__": __name__})
    register_trunk("branches")(Branches)
    register_trunk("branches")(again)
    assert TRUNKS["branches"] is again


def test_names_that_are_taken_and_names_that_no_option_can_spell_are_refused() -> None:
    with pytest.raises(ValueError, match="'mmoe' is the name of MMoE"):
        register_trunk("mmoe")(Branches)
    with pytest.raises(ValueError, match="lower case"):
        register_trunk("My-Trunk")(Branches)
