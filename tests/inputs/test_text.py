"""Texts: their words, vocabularies, word vectors, shared encoders and pairs, and what is wrong with them."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.errors import UserError
from polytask.inputs import Text
from polytask.inputs.testing import check_input
from polytask.inputs.text_tokens import tokens_of

TABLE = pa.table(
    {
        "a": ["the cat sat", "the dog", None, "a cat and the dog"],
        "b": ["the cat", "", "so it is", "the mouse"],
    }
)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.npz"
    words = np.array(["the", "cat", "zebra"])
    np.savez(path, words=words, vectors=np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float16))
    return path


def words(text: str | None) -> list[str]:
    return tokens_of(pa.chunked_array([[text]]), "words", "").tokens_N.to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The CAT  sat.", ["the", "cat", "sat", "."]),
        ("I don't, she's; they'll", ["i", "do", "n't", ",", "she", "'s", ";", "they", "'ll"]),
        ("did n't 's", ["did", "n't", "'s"]),
        ("3.5 well-known 1,000!!", ["3.5", "well", "-", "known", "1,000", "!", "!"]),
        ("Straße ÉTÉ naïve", ["straße", "été", "naïve"]),
        ("\t \n", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, expected: list[str]) -> None:
    assert words(text) == expected


def test_characters_and_lengths_by_row() -> None:
    column = pa.chunked_array([["Aé", None], ["", "b 😀"]])
    found = tokens_of(column, "characters", "")
    assert found.tokens_N.to_pylist() == ["a", "é", "b", " ", "😀"]
    assert found.lengths_B.tolist() == [2, 0, 0, 3]
    assert tokens_of(column, "words", "").lengths_B.tolist() == [1, 0, 0, 2]


def test_text_of_any_arrow_type_is_the_same() -> None:
    fitted = Text.fit(TABLE, ["a"], min_count=1)
    expected = fitted.encode(TABLE)
    for dtype in (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()):
        again = pa.table({"a": TABLE["a"].cast(dtype)})
        assert torch.equal(fitted.encode(again), expected), dtype
    with pytest.raises(UserError, match=r"column 'a' holds list.*no text"):
        fitted.encode(pa.table({"a": [["the"], ["cat"]]}))


def test_ids_are_those_of_the_training_rows() -> None:
    fitted = Text.fit(TABLE, ["a"], min_count=2)
    assert fitted.vocabularies[0].values == ("the", "cat", "dog")
    later = pa.table({"a": ["the zebra", "cat cat cat cat cat cat"]})
    assert fitted.longest == 5
    assert fitted.encode(later).tolist() == [[[2, 1, 0, 0, 0]], [[3] * 5]]
    assert fitted.encode(later).dtype == torch.int32
    short = Text.fit(TABLE, ["a"], max_length=2, max_words=1)
    assert short.encode(TABLE).tolist() == [[[2, 1]], [[2, 1]], [[0, 0]], [[1, 1]]]


def test_what_is_empty_and_what_is_cut_is_counted() -> None:
    fitted = Text.fit(TABLE, ["a", "b"], max_length=3)
    assert fitted.notes(TABLE) == [
        "a: 1 text without a word",
        "a: of 1 text only the first 3 words are read (the longest has 5)",
        "b: 1 text without a word",
    ]
    assert Text.fit(TABLE.slice(0, 1), ["a"]).notes(TABLE.slice(0, 1)) == []


def test_lengths_are_for_modules_that_read_in_order() -> None:
    for encoder, expected in (("gru", [3, 2, 3, 5]), ("mean", None)):
        fitted = Text.fit(TABLE, ["a", "b"], encoder=encoder)
        lengths = fitted.lengths(fitted.encode(TABLE))
        assert (None if lengths is None else lengths.tolist()) == expected


def test_shared_columns_have_one_vocabulary_and_one_encoder() -> None:
    own, shared = (Text.fit(TABLE, ["a", "b"], min_count=1, shared=s) for s in (False, True))
    assert [len(each.vocabularies) for each in (own, shared)] == [2, 1]
    numbers = [sum(p.numel() for p in each.module().parameters()) for each in (own, shared)]
    assert numbers[1] < numbers[0]
    same = pa.table({"a": ["the cat"], "b": ["the cat"]})
    x_1F = shared.module()(shared.encode(same))
    torch.testing.assert_close(x_1F[:, :96], x_1F[:, 96:])
    assert not torch.allclose(*own.module()(own.encode(same)).chunk(2, dim=1))


def test_a_pair_is_compared() -> None:
    fitted = Text.fit(TABLE, ["a", "b"], pair=("b", "a"), encoder="gru", width=4, min_count=1)
    u, v, distance, product = fitted.module()(fitted.encode(TABLE)).chunk(4, dim=1)
    torch.testing.assert_close(distance, (u - v).abs())
    torch.testing.assert_close(product, u * v)
    names = [(feature.column, feature.what) for feature in fitted.features()[::4]]
    assert names[:2] == [("b", "text, gru 1 of 4"), ("a", "text, gru 1 of 4")]
    assert names[2:] == [("b", "distance to a 1 of 4"), ("b", "product with a 1 of 4")]


def test_beside_a_pair_other_columns_stand_first() -> None:
    table = TABLE.append_column("c", TABLE["a"])
    fitted = Text.fit(table, ["a", "b", "c"], pair=("a", "c"), encoder="mean", embedding_dim=2)
    x_BF = fitted.module()(fitted.encode(table))
    assert [f.column for f in fitted.features()[::2]] == ["b", "a", "c", "a", "a"]
    torch.testing.assert_close(x_BF[:, 2:4], x_BF[:, 4:6])
    assert (x_BF[:, 6:8] == 0).all()


def test_word_vectors_are_where_the_embeddings_begin(vectors: Path) -> None:
    fit = partial(Text.fit, encoder="mean", vectors=str(vectors), min_count=1)
    fitted = fit(TABLE, ["a"])
    vectors.unlink()
    weight = fitted.module().encoders[0].embeddings.weight
    places = {word: i for i, word in enumerate(fitted.vocabularies[0].values, start=2)}
    assert weight[places["the"]].tolist() == [1, 2]
    assert weight[places["cat"]].tolist() == [3, 4]
    assert weight[0].tolist() == [0, 0]
    assert weight[places["sat"]].abs().max() > 0 and "zebra" not in places
    assert weight.requires_grad
    again = Text.from_record(json.loads(json.dumps(fitted.to_record())))
    assert again == fitted


def test_frozen_vectors_know_all_words_of_the_file_and_learn_nothing(vectors: Path) -> None:
    fitted = Text.fit(TABLE, ["a"], encoder="mean", vectors=str(vectors), freeze=True, min_count=1)
    check_input(partial(Text.fit, vectors=str(vectors), freeze=True), TABLE)
    module = fitted.module()
    assert [p.requires_grad for p in module.parameters()] == [False]
    x_BF = module(fitted.encode(pa.table({"a": ["zebra", "the cat", "never"]})))
    torch.testing.assert_close(x_BF[:2], torch.tensor([[5.0, 6.0], [2.0, 3.0]]))
    few = Text.fit(TABLE, ["a"], vectors=str(vectors), freeze=True, max_words=2)
    assert few.vocabularies[0].values == ("the", "cat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10}, "a multiple of 3"),
        ({"encoder": "transformer", "width": 10}, "not a multiple of num_heads=4"),
        ({"pair": ("a",)}, "two different columns are due"),
        ({"pair": ("a", "x")}, "'x' is no such column"),
        ({"shared": ("a", "bb")}, "'bb' is no such column - did you mean 'b'"),
        ({"freeze": True}, "name a file of them"),
        ({"vectors": "no.npz"}, "no.npz cannot be read"),
        ({"max_length": -1}, "must be positive"),
        ({"min_count": 0}, "min_count=0, .* must be positive"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Text.fit(TABLE, ["a", "b"], **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"words": np.array(["a"])}, "cannot be read"),
        ({"words": np.array([1, 2]), "vectors": np.ones((2, 3))}, "are due"),
        ({"words": np.array(["a"]), "vectors": np.ones((2, 3))}, "are due"),
    ],
)
def test_a_file_that_holds_no_vectors(
    tmp_path: Path, content: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "v.npz", **content)
    with pytest.raises(UserError, match=message):
        Text.fit(TABLE, ["a"], vectors=str(tmp_path / "v.npz"))
    (tmp_path / "v.npz").write_text("words")
    with pytest.raises(UserError, match="cannot be read"):
        Text.fit(TABLE, ["a"], vectors=str(tmp_path / "v.npz"))


def test_vectors_and_width_must_agree(vectors: Path) -> None:
    with pytest.raises(UserError, match="embedding_dim=3, but the vectors have 2 numbers"):
        Text.fit(TABLE, ["a"], vectors=str(vectors), embedding_dim=3)


@pytest.mark.parametrize(
    "damage",
    [
        {"longest": 0},
        {"embedding_dim": 0},
        {"vocabularies": []},
        {"sharing": {"groups": [[0, 1]], "pair": None}},
        {"vectors": [{"dtype": "<f2", "dim": 2, "encoded": "AAAA"}]},
        {"vectors": [{"dtype": "object", "dim": 2, "encoded": ""}]},
    ],
)
def test_a_damaged_record_is_refused(damage: dict[str, object], vectors: Path) -> None:
    record = Text.fit(TABLE, ["a"], vectors=str(vectors)).to_record()
    with pytest.raises(UserError):
        Text.from_record({**record, **damage})


LATER = pa.table({"a": ["a zebra and a yak", "the yak"], "b": ["the gnu", "the gnu"]})


@pytest.mark.parametrize("freeze", [False, True])
def test_new_words_of_later_rows_have_the_files_vectors(vectors: Path, freeze: bool) -> None:
    """Words keep their places and their vectors; a new one has the file's, or none."""
    fit = partial(Text.fit, columns=["a", "b"], shared=True, vectors=str(vectors), min_count=2)
    first, later = (fit(table, freeze=freeze) for table in (TABLE, LATER))
    known, new = first.vocabularies[0].values, later.vocabularies[0].values
    grown = first.grown(later)
    assert isinstance(grown, Text)
    (found,) = grown.vocabularies
    assert [*found.values] == [*known, *(word for word in new if word not in known)]
    assert {"gnu", "yak"} <= set(found.values)
    table = grown.module().encoders[0].embeddings.weight[2:]  # type: ignore[union-attr, index]
    assert len(table) == len(found.values)
    for word, row in zip(found.values, table):
        if word in ("the", "cat", "zebra"):
            due = {"the": [1, 2], "cat": [3, 4], "zebra": [5, 6]}[word]
            assert row.tolist() == due
    is_known = np.isfinite(grown.vectors[0].matrix()).all(axis=1)
    assert [*np.array([*found.values])[is_known]] == [
        word for word in found.values if word in ("the", "cat", "zebra")
    ]
    assert Text.from_record(json.loads(json.dumps(grown.to_record()))) == grown


def test_texts_that_are_read_otherwise_start_anew(vectors: Path) -> None:
    first = Text.fit(TABLE, ["a", "b"], min_count=1)
    others: list[dict[str, object]] = [
        {"unit": "characters"},
        {"shared": True},
        {"vectors": str(vectors)},
    ]
    for options in others:
        later = Text.fit(LATER, ["a", "b"], min_count=1, **options)  # type: ignore[arg-type]
        assert first.grown(later) is later and not first.goes_on(later)


def test_each_encoder_grows_by_its_own_words_and_counts_both_days() -> None:
    first, later = (Text.fit(table, ["a", "b"], min_count=1) for table in (TABLE, LATER))
    grown = first.grown(later)
    assert isinstance(grown, Text)
    for before, day, after in zip(first.vocabularies, later.vocabularies, grown.vocabularies):
        counts = [
            dict(zip(each.values, each.counts.array().tolist()))  # type: ignore[union-attr]
            for each in (before, day, after)
        ]
        words = {*counts[0], *counts[1]}
        assert counts[2] == {w: counts[0].get(w, 0) + counts[1].get(w, 0) for w in words}
    assert "gnu" in grown.vocabularies[1].values and "gnu" not in grown.vocabularies[0].values
