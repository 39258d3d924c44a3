"""Schedules and bins against frozen values, reversed gradients against finite differences."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.auxiliary import Frequency, TrainingRows, reversal_at
from polytask.inputs import FittedInputs
from polytask.model import reverse_gradient


def test_the_reversal_of_dann(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "misc.json").read_text())["dann_lambda"]
    found = {progress: reversal_at(float(progress)) for progress in golden}
    assert found == pytest.approx(golden, abs=1e-9)


def test_bins_of_frequencies(goldens_folder: Path) -> None:
    """A table in which values occur as often as the golden counts."""
    golden = json.loads((goldens_folder / "misc.json").read_text())["log_frequency_bins"]
    names = [f"value{place}" for place in range(len(golden["counts"]))]
    table = pa.table({"word": np.repeat(names, golden["counts"]).tolist()})
    inputs = FittedInputs.fit(table, {"categorical": ["word"]})
    frequency = Frequency.fit(TrainingRows(table, inputs, inputs.encode(table)), column="word")
    known = inputs.by_name["categorical"].vocabularies[0].values
    bins = dict(zip(known, frequency.bins[2:]))
    for name, expected in zip(names, golden["int_log"]):
        if name in known:  # A value that occurs once is read as unknown.
            assert bins[name] == expected, name
    assert len(known) == len(names) - 1


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_a_reversed_gradient_is_minus_that_of_finite_differences(scale: float) -> None:
    torch.manual_seed(0)
    weights_DH = torch.randn(3, 4, dtype=torch.float64)
    x_D = torch.randn(3, dtype=torch.float64)

    def loss(at_D: torch.Tensor, *, is_reversed: bool) -> torch.Tensor:
        seen_D = reverse_gradient(at_D, scale) if is_reversed else at_D
        return torch.tanh(seen_D @ weights_DH).square().sum()

    at_D = x_D.clone().requires_grad_()
    loss(at_D, is_reversed=True).backward()
    step = 1e-6
    slopes = [
        (loss(x_D + step * one_D, is_reversed=False) - loss(x_D - step * one_D, is_reversed=False))
        / (2 * step)
        for one_D in torch.eye(3, dtype=torch.float64)
    ]
    torch.testing.assert_close(at_D.grad, -scale * torch.stack(slopes), rtol=1e-6, atol=1e-8)


def test_frequency_bins_of_words_are_the_golden_ones(goldens_folder: Path) -> None:
    golden = json.loads((goldens_folder / "misc.json").read_text())["log_frequency_bins"]
    words = [f"w{i}" for i, count in enumerate(golden["counts"]) for _ in range(count)]
    random = np.random.default_rng(0)
    random.shuffle(words)
    table = pa.table({"words": [words[i : i + 7] for i in range(0, len(words), 7)]})
    inputs = FittedInputs.fit(table, {"words": ["words"]})
    found = Frequency.fit(TrainingRows(table, inputs, inputs.encode(table)), column="words")
    assert found.bins[1] == 0  # Words below the vocabulary's least count, here 2, share an id.
    by_word = dict(zip(inputs.by_name["words"].tables[0].values, found.bins[2:]))
    for i, (count, expected) in enumerate(zip(golden["counts"], golden["int_log"])):
        assert by_word.get(f"w{i}", 0) == expected
        assert (f"w{i}" in by_word) == (count > 1)
