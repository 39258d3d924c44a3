"""Two processes with a part of the batch each decide and do what one with the whole batch does."""

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from forked import Forked
from polytask.balancing import Need

WHERE = ["parameters", "seam"]
RULES_ON_TABLES = [
    "equal, parameters, sparse",
    *(f"{rule}, {where}, sparse" for rule in ("upgrad", "gradnorm") for where in WHERE),
    "upgrad, table, sparse",
]
RULES_ON_SHARDS = ["equal", "uncertainty", "mgda", "pcgrad", "nash_mtl", "every second upgrad"]
RULES_ON_SHARDS += ["gradnorm, narrowed", "nash_mtl, narrowed"]


@dataclass(frozen=True)
class Found:
    """What each step of each rule decided and did, by one process alone and by each of two."""

    alone: dict[str, list[Tensor]]
    ranks: tuple[dict[str, list[Tensor]], ...]
    refusals: tuple[list[str], ...]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, forked_torch: Forked) -> Found:
    folder = tmp_path_factory.mktemp("ranks")
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import pathlib, rank_of_two; rank_of_two.balance(pathlib.Path({str(folder)!r}))\n"
    )
    forked_torch.script(script, folder, seconds=600).ended()
    (first, said, alone), (second, also_said, _) = [torch.load(folder / rank) for rank in "01"]
    return Found(alone, (first, second), (said, also_said))


def assert_equal(found: Found, name: str) -> None:
    """Up to rounding in float64, and to the bit between the ranks."""
    alone, first, second = (run[name] for run in (found.alone, *found.ranks))
    assert len(alone) == len(first) > 0
    for expected, tensor, other in zip(alone, first, second):
        scale = float(expected.nan_to_num().abs().max()) or 1.0
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-12 * scale, equal_nan=True)
        assert torch.equal(tensor.nan_to_num(), other.nan_to_num())


@pytest.mark.parametrize("where", WHERE)
def test_every_rule(member, where: str, found: Found) -> None:
    if where == "seam" and member.make(3).needs == Need.LOSSES:
        pytest.skip("measures nothing")
    assert_equal(found, f"{member.name}, {where}")


@pytest.mark.parametrize("name", RULES_ON_TABLES)
def test_sparse_gradients(name: str, found: Found) -> None:
    assert_equal(found, name)


@pytest.mark.parametrize("name", RULES_ON_SHARDS)
def test_parameters_cut_into_shards(name: str, found: Found) -> None:
    assert_equal(found, f"{name}, sharded")


def test_what_does_not_fit_together_is_refused_on_every_rank(found: Found) -> None:
    first, second = found.refusals
    assert first == second
    gone, more, also_more, infinite, whole, coordinate, layer = first
    assert "task 1 is None on some ranks only" in gone
    assert "by the same operations" in more and "by the same operations" in also_more
    assert "the loss of task 1 is inf" in infinite
    assert "call fully_shard on the whole model" in whole
    assert "GradDrop decides about single coordinates" in coordinate
    assert "name its weights" in layer


def test_the_guide_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    guide = Path(__file__).parents[2] / "docs" / "data_parallel.md"
    code = guide.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_PORT", str(port))
    exec(code, {})
    assert "tensor(" in capsys.readouterr().out
