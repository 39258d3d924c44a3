"""BLEU against sacrebleu, edits against their definition, corruption, and the dual penalty's golden."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.seq2seq import (
    Edit,
    bleu,
    bleu_counts,
    corrupt,
    dual_penalty,
    edits,
    f_score,
    resampled_bleu,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)
GOLDENS = Path(os.environ.get("POLYTASK_GOLDENS", Path(__file__).parents[3] / "shared" / "goldens"))

# sacrebleu 2.6.0: corpus_bleu(WRITTEN, [WANTED]).score
WRITTEN = [
    "A man in a blue shirt is standing on a ladder cleaning a window .",
    "Two young men are outside near many bushes .",
    "A dog runs through the snow",
]
WANTED = [
    "A man in a blue shirt is standing on a ladder and cleans a window .",
    "Two young , White males are outside near many bushes .",
    "The black dog runs through deep snow .",
]
GOLDEN = 57.313973623002745


def test_bleu_is_the_golden_one() -> None:
    counts = bleu_counts(*([text.split() for text in texts] for texts in (WRITTEN, WANTED)))
    assert bleu(counts) == pytest.approx(GOLDEN, abs=1e-9)
    assert bleu(counts.sum(axis=0)) == bleu(counts)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_bleu_is_sacrebleus(pairs: list[tuple[list[str], list[str]]]) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="needs polytask[sequences]")
    written, wanted = ([" ".join(pair[i]) for pair in pairs] for i in (0, 1))
    expected = sacrebleu.corpus_bleu(written, [wanted], tokenize="none", force=True).score
    found = bleu(bleu_counts([a for a, _ in pairs], [b for _, b in pairs]))
    assert found == pytest.approx(expected, abs=1e-9)


def test_resamples_are_of_sentences_and_one_seed_is_one_choice() -> None:
    counts = bleu_counts(*([text.split() for text in texts] for texts in (WRITTEN, WANTED)))
    several = resampled_bleu(np.tile(counts, (30, 1)), num_resamples=300)
    assert abs(several.mean() - GOLDEN) < 1 and several.std() > 1
    assert np.array_equal(several, resampled_bleu(np.tile(counts, (30, 1)), num_resamples=300))


def applied(source: list[str], changes: list[Edit]) -> list[str]:
    for change in reversed(changes):
        source = [*source[: change.start], *change.written, *source[change.end :]]
    return source


def distance(source: list[str], target: list[str]) -> int:
    """Levenshtein's, by its recursion."""
    if not source or not target:
        return len(source) + len(target)
    if source[-1] == target[-1]:
        return distance(source[:-1], target[:-1])
    return 1 + min(
        distance(source[:-1], target),
        distance(source, target[:-1]),
        distance(source[:-1], target[:-1]),
    )


@given(WORDS, WORDS)
@settings(max_examples=200, deadline=None)
def test_edits_lead_to_the_target_and_are_the_fewest(source: list[str], target: list[str]) -> None:
    found = edits(source, target)
    assert applied(source, found) == target
    costs = [max(each.end - each.start, len(each.written)) for each in found]
    if len(source) + len(target) <= 9:
        assert sum(costs) == distance(source, target)
    assert bool(found) == (source != target)


def test_f_counts_edits_of_all_sentences() -> None:
    wanted = [edits(["a", "b", "c"], ["a", "x", "c"]), edits(["d"], ["e", "f"]), []]
    assert f_score(wanted, wanted) == 1.0
    assert f_score([[], [], []], wanted) == 0.0
    found = [wanted[0], [], edits(["g"], ["h"])]
    precision, recall = 1 / 2, 1 / len([each for one in wanted for each in one])
    expected = 1.25 * precision * recall / (0.25 * precision + recall)
    assert f_score(found, wanted) == pytest.approx(expected)
    assert f_score([[]], [[]]) == 1.0


def test_corruption_is_a_function_of_its_generator_and_marks_what_is_wrong() -> None:
    words = [f"w{i}" for i in range(2000)]

    def made(**shares: float) -> tuple[list[str], list[bool]]:
        return corrupt(words, np.random.default_rng(0), among=lambda word: ["x", "y"], **shares)

    assert made() == made()
    same, is_wrong = made(replace=0.0, drop=0.0, swap=0.0)
    assert same == words and not any(is_wrong)
    replaced, is_wrong = made(replace=0.2, drop=0.0, swap=0.0)
    assert [a != b for a, b in zip(replaced, words)] == is_wrong
    assert np.mean(is_wrong) == pytest.approx(0.2, abs=0.03)
    dropped, is_wrong = made(replace=0.0, drop=0.2, swap=0.0)
    assert len(words) - len(dropped) == pytest.approx(400, abs=60)
    kept = [int(word[1:]) for word in dropped]
    assert [b - a > 1 for a, b in zip([-1, *kept], kept)] == is_wrong
    swapped, is_wrong = made(replace=0.0, drop=0.0, swap=0.2)
    assert sorted(swapped) == sorted(words)
    assert [a != b for a, b in zip(swapped, words)] == is_wrong
    with pytest.raises(ValueError, match="shares of 0 to 1"):
        made(replace=0.9, drop=0.2)


def test_the_dual_penalty_is_the_golden_one() -> None:
    if not (GOLDENS / "misc.json").exists():
        pytest.skip("needs the goldens (POLYTASK_GOLDENS)")
    golden = json.loads((GOLDENS / "misc.json").read_text())["dual_supervised"]
    names = ("log_px", "log_py_given_x", "log_py", "log_px_given_y")
    values = [torch.tensor([golden[name]], dtype=torch.float64) for name in names]
    assert dual_penalty(*values).item() == pytest.approx(golden["penalty"], abs=1e-12)
