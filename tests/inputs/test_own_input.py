"""An input from outside the package: registered by a decorator, trained, saved, loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor, nn

import polytask
from polytask.errors import UserError
from polytask.inputs import INPUTS, Feature, Input, register
from polytask.inputs.testing import check_input

QUICK = {
    "batch_size": 128,
    "learning_rate": 1e-2,
    "epochs": 8,
    "baseline": "none",
    "threads": 1,
    "num_experts": 2,
    "expert_hidden": (8,),
}


@dataclass(frozen=True)
class Lengths(Input):
    """How many entries each list has, as a share of the longest training list."""

    longest: tuple[int, ...]

    @classmethod
    def fit(cls, table: pa.Table, columns: Sequence[str], *, at_least: int = 1) -> Self:
        longest = (pc.max(pc.list_value_length(table[name])).as_py() or 0 for name in columns)
        return cls(tuple(columns), tuple(max(length, at_least) for length in longest))

    def encode(self, table: pa.Table) -> Tensor:
        lengths = (pc.list_value_length(table[name]).fill_null(0) for name in self.columns)
        shares = [length.to_numpy() / top for length, top in zip(lengths, self.longest)]
        return torch.from_numpy(np.stack(shares, axis=1).astype(np.float32))

    def module(self) -> nn.Module:
        return nn.Linear(len(self.columns), len(self.columns), bias=False)

    def features(self) -> list[Feature]:
        return [Feature(name, "length") for name in self.columns]


@pytest.fixture
def lengths() -> Iterator[None]:
    register("lengths")(Lengths)
    yield
    del INPUTS["lengths"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Tags whose number says yes or no, and noise."""
    random = np.random.default_rng(0)
    counts = random.integers(0, 9, 3000)
    return pa.table(
        {
            "tags": [["a"] * count if count else None for count in counts],
            "noise": random.normal(size=3000),
            "many": (counts > 4).astype(int),
        }
    )


def test_it_obeys_the_laws(table: pa.Table) -> None:
    check_input(Lengths.fit, table.select(["tags"]))


def test_it_trains_saves_loads_and_starts_another_run(
    lengths: None, table: pa.Table, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = {"input_options": {"lengths": {"at_least": 10}}, **QUICK}
    run = polytask.fit(table, ["many"], columns={"lengths": ["tags"]}, out=out, **options)
    assert run.inputs.by_name["lengths"] == Lengths(("tags",), (10,))
    assert run.metrics.tasks["many"].test["auc"].value > 0.99
    again = polytask.load(out)
    assert again.predict(table).equals(run.predict(table))
    still = {**options, "epochs": 1, "learning_rate": 1e-12}
    warm = polytask.fit(table, ["many"], columns="lengths=tags", init_from=out, **still)
    weights = (one.model.encoder.parts["lengths"].weight for one in (warm, run))
    torch.testing.assert_close(*weights, rtol=0, atol=1e-8)
    assert warm.metrics.tasks["many"].test["auc"].value > 0.99


def test_a_run_whose_input_is_not_registered_says_what_to_import(
    table: pa.Table, tmp_path: Path
) -> None:
    register("lengths")(Lengths)
    polytask.fit(table, ["many"], columns={"lengths": ["tags"]}, out=tmp_path / "run", **QUICK)
    del INPUTS["lengths"]
    with pytest.raises(UserError, match=r"'lengths'.*import the module that registers it"):
        polytask.load(tmp_path / "run")


def test_an_unknown_input_and_an_unknown_option_are_named(table: pa.Table) -> None:
    with pytest.raises(UserError, match="columns: there is no input 'lenghts'"):
        polytask.fit(table, ["many"], columns={"lenghts": ["tags"]})
    with pytest.raises(UserError, match="input time has no option 'zone' - did you mean"):
        polytask.fit(table, ["many"], input_options={"time": {"zone": "UTC"}})
    with pytest.raises(UserError, match="write INPUT=COLUMN"):
        polytask.fit(table, ["many"], columns="tags")


@pytest.mark.parametrize("name", ["numeric", "ignored", "two words", "keys"])
def test_names_that_are_taken_or_no_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"choose another|a name is lower case"):
        register(name)(Lengths)
