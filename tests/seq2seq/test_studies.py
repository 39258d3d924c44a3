"""The studies of translation and correction in `reproductions/`: what they train on, and what they count."""

import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "reproductions"


@pytest.fixture(scope="module", autouse=True)
def beside_each_other() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield


def test_a_sentence_does_not_count_for_its_own_probability() -> None:
    trigrams = import_module("trigrams").Trigrams
    once = trigrams([[5, 6, 2], [7, 8, 2]], num_ids=20)
    assert once.log_p([5, 6, 2]) < 3 * math.log(0.5)
    often = trigrams([[5, 6, 2]] * 5 + [[7, 8, 2]], num_ids=20)
    assert once.log_p([5, 6, 2]) < often.log_p([5, 6, 2]) < 0
    assert often.log_p([5, 6, 2]) > often.log_p([7, 8, 2])


def test_pieces_of_words_come_back_as_their_text() -> None:
    pytest.importorskip("tokenizers", reason="needs polytask[sequences]")
    texts = ["Ein Mann , der bzw. sitzt .", "Eine Frau steht."]
    subwords = import_module("subwords").Subwords(texts * 3, num_ids=60, marks=["<de>"])
    ids = subwords.ids(texts)
    assert subwords.texts([row[:-1] for row in ids]) == texts
    assert all(row[-1] == 2 and min(row[:-1]) > 4 for row in ids) and subwords.mark("<de>") == 4
    begins_V = subwords.begins()
    assert [sum(begins_V[row].tolist()) for row in ids] == [len(text.split()) for text in texts]


def test_flags_and_edits_of_a_sentence_are_counted() -> None:
    pytest.importorskip("tokenizers", reason="needs polytask[sequences]")
    grammar = import_module("grammar")
    words, corrected = ["er", "geht", "zu", "Schule"], ["er", "geht", "zur", "Schule"]
    sentence = grammar.Sentence(words, [False, False, True, False], corrected)
    assert grammar.half_counts([corrected], [sentence]).tolist() == [[1, 1, 1]]
    assert grammar.half_counts([words], [sentence]).tolist() == [[0, 0, 1]]
    assert grammar.changed(sentence, corrected) == sentence.is_wrong
    assert grammar.changed(sentence, [*words, "heute"]) == [False, False, False, True]
    assert grammar.flag_counts([[True, False, True, False]], [sentence]).tolist() == [[1, 2, 1]]
    assert grammar.f_of(np.array([1, 2, 1]), 1.0) == pytest.approx(2 / 3)
