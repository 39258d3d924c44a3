"""Words one by one: laws of the input, neighbours that are seen and padding that is not, and what is refused."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.columns.words import words_of
from polytask.errors import UserError
from polytask.inputs import FittedInputs, WordInput
from polytask.inputs.testing import check_input

SENTENCES = [
    ["The", "cat", "sat", "on", "the", "mat", "."],
    ["A", "dog"],
    [],
    None,
    ["the", None, "1999-style", "dog", "sat"],
]
LATER = [["Never", "seen", "dogs", "sat"], None, ["the", "cat"]]
TABLE = pa.table({"words": SENTENCES})
CONTEXTS = ("lstm", "gru", "cnn", "none")


@pytest.mark.parametrize("encoder", CONTEXTS)
def test_laws(encoder: str) -> None:
    fit = partial(WordInput.fit, encoder=encoder, min_count=1, width=8, num_layers=2)
    check_input(fit, TABLE, pa.table({"words": LATER}))


def test_a_text_is_its_words_between_spaces() -> None:
    texts = pa.table({"words": [" the  cat\tsat ", "", None]})
    lists = pa.table({"words": [["the", "cat", "sat"], [], None]})
    fitted = WordInput.fit(TABLE, ["words"], min_count=1)
    assert torch.equal(fitted.encode(texts), fitted.encode(lists))


@pytest.mark.parametrize("encoder", CONTEXTS)
def test_each_sentence_alone_has_the_vectors_that_it_has_in_a_batch(encoder: str) -> None:
    fitted = WordInput.fit(TABLE, ["words"], encoder=encoder, min_count=1, width=8, num_layers=2)
    module, encoded = fitted.module().eval(), fitted.encode(TABLE)
    together = module(encoded)
    alone = [module(encoded[row : row + 1]) for row in range(len(SENTENCES))]
    assert [len(each) for each in alone] == [7, 2, 0, 0, 5]
    torch.testing.assert_close(torch.cat(alone), together)


@pytest.mark.parametrize(("encoder", "is_seen"), [("lstm", True), ("cnn", True), ("none", False)])
def test_a_word_sees_its_neighbours_on_both_sides(encoder: str, is_seen: bool) -> None:
    fitted = WordInput.fit(TABLE, ["words"], encoder=encoder, min_count=1, width=8)
    module = fitted.module().eval()
    first, second = (
        module(fitted.encode(pa.table({"words": [[before, "sat", after]]})))[1]
        for before, after in (("cat", "on"), ("cat", "mat"))
    )
    third = module(fitted.encode(pa.table({"words": [["dog", "sat", "on"]]})))[1]
    assert torch.equal(first, second) != is_seen
    assert torch.equal(first, third) != is_seen


def test_rare_and_null_words_are_unseen_but_keep_their_ends_and_shape() -> None:
    fitted = WordInput.fit(TABLE, ["words"], min_count=2)
    word, first, last, shape = fitted.encode(pa.table({"words": [["zog", None, "the"]]}))[
        0
    ].tolist()
    assert word[:2] == [1, 1] and word[2] > 1
    assert shape[0] == shape[2] > 1
    assert first[0] == last[0] == 1 and last[2] > 1


def test_other_columns_of_a_row_stand_beside_each_of_its_words() -> None:
    table = TABLE.append_column("genre", pa.array(["a", "b", "a", "b", "a"]))
    columns = {"categorical": ["genre"], "words": ["words"]}
    fits = {"words": partial(WordInput.fit, min_count=1, width=8)}
    fitted = FittedInputs.fit(table, columns, fits=fits)
    encoder, encoded = fitted.encoder().eval(), fitted.encode(table)
    x_WD, num_words_B = encoder(encoded), encoder.num_words(encoded)
    assert x_WD.shape == (14, encoder.out_features)
    assert num_words_B.tolist() == [7, 2, 0, 0, 5]
    genre = encoder.parts["categorical"](encoded["categorical"])
    rows_W = np.repeat(np.arange(5), num_words_B)
    torch.testing.assert_close(x_WD[:, : genre.shape[1]], genre[rows_W])


def test_words_have_lengths_to_order_by_and_a_note_on_empty_sentences() -> None:
    fitted = WordInput.fit(TABLE, ["words"])
    assert fitted.lengths(fitted.encode(TABLE)).tolist() == [7, 2, 0, 0, 5]
    assert fitted.notes(TABLE) == ["words: 2 sentences without a word"]


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (pa.table({"words": [1, 2]}), {}, "int64: a list with an entry for each word is due"),
        (pa.table({"words": [[1, 2]]}), {}, "lists of int64, which are no words"),
        (pa.table({"words": [[], None]}, pa.schema({"words": pa.list_(pa.string())})), {}, "no training row has a word"),
        (TABLE, {"width": 7}, "must be even"),
        (TABLE, {"min_count": 0}, "must be positive"),
        (TABLE, {"dropout": 1.0}, "dropout below 1"),
    ],
)  # fmt: skip
def test_what_is_refused(table: pa.Table, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        WordInput.fit(table, ["words"], **options)
    with pytest.raises(UserError, match="one column is due"):
        WordInput.fit(table, ["words", "words"])


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda t: pa.list_(t, 2)])
def test_lists_of_every_sort_are_words(kind: object) -> None:
    column = pa.chunked_array([pa.array([["a", "b"], None, ["c", None]], kind(pa.string()))])
    found = words_of(column, "words")
    assert found.values_N.to_pylist() == ["a", "b", "c", None]
    assert found.lengths_B.tolist() == [2, 0, 2]


def test_words_of_a_later_day_are_known_beside_the_earlier_ones() -> None:
    """Beyond `max_words` the commonest of both days; their ends and shapes grow as well."""
    first = WordInput.fit(pa.table({"w": ["Cat cat owl owl dog dog"]}), ["w"])
    table = pa.table({"w": ["emu EMU emu gnu gnu cat"]})
    grown = first.grown(WordInput.fit(table, ["w"], max_words=4))
    assert isinstance(grown, WordInput)
    assert [*grown.tables[0].values] == ["cat", "dog", "owl", "emu"]
    assert all(len(each.values) <= 4 for each in grown.tables)
    later = WordInput.fit(table, ["w"])
    assert {"emu", "gnu"} <= set(first.grown(later).tables[0].values)  # type: ignore[attr-defined]
    other = WordInput.fit(table.rename_columns(["v"]), ["v"])
    assert first.grown(other) is other
