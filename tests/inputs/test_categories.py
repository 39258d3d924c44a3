"""Categorical columns: vocabularies of the training rows, 64-bit ids, other types."""

import math
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import UserError
from polytask.inputs import Categories
from polytask.inputs.embeddings import Embeddings, FusedEmbedding, embedding_dim_for

quick = settings(max_examples=40, deadline=None)
int64s = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=5)
finite = st.floats(-1e9, 1e9, allow_nan=False)


def fit_one(values: pa.Array | pa.ChunkedArray, *, min_count: int = 1) -> Categories:
    return Categories.fit(pa.table({"x": values}), ["x"], min_count=min_count)


def ids_of(encoder: Categories, values: pa.Array | pa.ChunkedArray) -> list[int]:
    return encoder.encode(pa.table({"x": values}))[:, 0].tolist()


columns = st.one_of(
    st.lists(st.none() | int64s, min_size=1, max_size=30).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.none() | texts, min_size=1, max_size=30).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.none() | st.booleans(), min_size=1, max_size=30).map(
        lambda v: pa.array(v, pa.bool_())
    ),
    st.lists(st.none() | finite, min_size=1, max_size=30).map(lambda v: pa.array(v, pa.float64())),
)


@quick
@given(
    train=st.lists(texts, min_size=1), other=st.lists(texts, min_size=1), count=st.integers(1, 3)
)
def test_vocabulary_comes_from_the_training_rows_alone(
    train: list[str], other: list[str], count: int
) -> None:
    # A dictionary column keeps the values of all rows in its dictionary, after a selection too.
    whole = pa.table({"x": pa.array(train + other).dictionary_encode()})
    rows = whole.take(pa.array(range(len(train))))
    encoder = Categories.fit(rows, ["x"], min_count=count)
    expected = sorted(
        {v for v in train if train.count(v) >= count},
        key=lambda v: (-train.count(v), v.encode()),
    )
    assert encoder.vocabularies[0].values == tuple(expected)
    expected_ids = [expected.index(v) + 2 if v in expected else 1 for v in train + other]
    assert ids_of(encoder, whole["x"]) == expected_ids


@quick
@given(column=columns)
def test_missing_values_are_id_0_and_nothing_else_is(column: pa.Array) -> None:
    ids = ids_of(fit_one(column), column)
    assert [i == 0 for i in ids] == [not v.is_valid for v in column]


def test_unseen_and_rare_values_are_id_1() -> None:
    encoder = fit_one(pa.array(["a", "a", "b", "c", "c", "c", None]), min_count=2)
    assert encoder.vocabularies[0].values == ("c", "a")
    assert encoder.vocabularies[0].num_ids == 4
    assert ids_of(encoder, pa.array(["c", "a", "b", "never", "", None])) == [2, 3, 1, 1, 1, 0]


@quick
@given(values=st.lists(int64s, min_size=2, max_size=40))
def test_ids_are_equal_exactly_where_values_are(values: list[int]) -> None:
    neighbours = [
        *values,
        *(v - 1 for v in values if v > -(2**63)),
        2**24,
        2**24 + 1,
        2**53,
        2**53 + 1,
    ]
    column = pa.array(neighbours, pa.int64())
    ids = ids_of(fit_one(column), column)
    assert len(set(zip(neighbours, ids))) == len(set(neighbours)) == len(set(ids))
    # The same where half of the values were never seen.
    half = fit_one(pa.array(neighbours[::2], pa.int64()))
    seen = set(neighbours[::2])
    assert [i > 1 for i in ids_of(half, column)] == [v in seen for v in neighbours]


@quick
@given(
    train=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    later=st.lists(int64s, min_size=1, max_size=20),
)
def test_unsigned_and_signed_ids_meet_by_value(train: list[int], later: list[int]) -> None:
    unsigned = fit_one(pa.array(train, pa.uint64()))
    expected = [v in train for v in later]
    assert [i > 1 for i in ids_of(unsigned, pa.array(later, pa.int64()))] == expected
    signed = fit_one(pa.array(later, pa.int64()))
    assert [i > 1 for i in ids_of(signed, pa.array(train, pa.uint64()))] == [
        v in later for v in train
    ]
    assert -1 not in train
    assert ids_of(unsigned, pa.array([-1])) == [1]


OTHER_TYPES = [
    ([5, 7, 5], pa.int64(), pa.array([5, 7, None], pa.int8()), [2, 3, 0]),
    ([5, 7, 5], pa.int64(), pa.array([5.0, math.nan, 8.0]), [2, 0, 1]),
    ([5, 7, 5], pa.int64(), pa.array(["5", "7", "-3"]), [2, 3, 1]),
    ([5, 7, 5], pa.int64(), pa.array(["5", "8"]).dictionary_encode(), [2, 1]),
    ([5, 7, 5], pa.int64(), pa.array([5, 7]).dictionary_encode(), [2, 3]),
    ([0, 1, 1], pa.int8(), pa.array([True, False, None]), [2, 3, 0]),
    (["5", "x", "5"], pa.string(), pa.array([5, 7]), [2, 1]),
    (["5", "x", "5"], pa.string(), pa.array([5.0, math.nan]), [2, 0]),
    (["5", "x", "5"], pa.string(), pa.array(["x"], pa.string_view()), [3]),
    ([True, False, True], pa.bool_(), pa.array([1, 0]), [2, 3]),
    ([True, False, True], pa.bool_(), pa.array(["true", "False"]), [2, 3]),
    ([1.5, 2.0, 1.5], pa.float64(), pa.array([1.5, 2.5], pa.float32()), [2, 1]),
    ([1.1, 2.5, 1.1], pa.float32(), pa.array([1.1, 2.5]), [2, 3]),
    ([1.5, 2.0, 1.5], pa.float64(), pa.array(["1.50", "2"]), [2, 3]),
    ([1.5, 2.0, 1.5], pa.float64(), pa.array([2]), [3]),
    ([9.0, 8.0, 9.0], pa.float64(), pa.array([8, 9]), [3, 2]),
    ([5, 7, 5], pa.int64(), pa.nulls(2), [0, 0]),
]


@pytest.mark.parametrize(("train", "dtype", "later", "ids"), OTHER_TYPES)
def test_other_types_are_read_where_nothing_is_lost(
    train: list[object], dtype: pa.DataType, later: pa.Array, ids: list[int]
) -> None:
    assert ids_of(fit_one(pa.array(train, dtype)), later) == ids


LOSSY = [
    ([5, 7], pa.array([5.0, 7.5]), "1 row .first 7.5 in row 1"),
    ([5, 7], pa.array(["5", "007", "007"]), "2 rows .first '007' in row 1"),
    ([5, 7], pa.array(["5", "abc"]), "'abc'"),
    ([5, 7], pa.array([None, "1.0"]), "'1.0' in row 1"),
    (["007", "8"], pa.array([7, 8]), "leading zeros"),
    ([True, False], pa.array([2, 0]), "2 in row 0"),
    (["a", "b"], pa.array([True]), "True"),
    ([5, 7], pa.array([[5], [7]]), "ignore it"),
    ([5, 7], pa.array([2.0**60]), "beyond 2.53"),
]


@pytest.mark.parametrize(("train", "later", "message"), LOSSY)
def test_other_types_are_refused_where_something_is_lost(
    train: list[object], later: pa.Array, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ids_of(fit_one(pa.array(train)), later)


def test_unused_dictionary_values_are_nobodys_mistake() -> None:
    encoder = fit_one(pa.array([5, 7]))
    table = pa.table({"x": pa.array(["5", "abc"]).dictionary_encode()}).slice(0, 1)
    assert encoder.encode(table).tolist() == [[2]]


def test_damaged_dictionaries_are_read_by_value() -> None:
    repeated = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, 3]), pa.array(["a", "b", "a", None])
    )
    encoder = fit_one(repeated)
    assert encoder.vocabularies[0].values == ("a", "b")
    assert ids_of(encoder, repeated) == [2, 3, 2, 0]


def test_chunks_with_dictionaries_of_their_own_are_one_column() -> None:
    chunks = [
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["c", "b"]).dictionary_encode(),
    ]
    encoder = fit_one(pa.chunked_array(chunks))
    assert encoder.vocabularies[0].values == ("b", "a", "c")
    assert ids_of(encoder, pa.chunked_array(chunks)) == [3, 2, 0, 4, 2]


def test_a_fused_embedding_equals_one_embedding_a_column() -> None:
    fused = FusedEmbedding([3, 5, 2], 4)
    ids_BC = torch.tensor([[0, 4, 1], [2, 0, 0]])
    parts = [fused.rows_of(c)[ids_BC[:, c]] for c in range(3)]
    torch.testing.assert_close(fused(ids_BC), torch.cat(parts, dim=1))
    assert [len(fused.rows_of(c)) for c in range(3)] == [3, 5, 2]


def test_large_vocabularies_get_sparse_gradients_and_features_say_where_they_stand() -> None:
    table = pa.table({"a": [1, 2, 3], "big": range(3), "c": [4, 4, 4]})
    categories = Categories.fit(table, table.column_names, min_count=1, embedding_dim=2)
    categories = replace(categories, sparse_above=4)
    assert [v.num_ids for v in categories.vocabularies] == [5, 5, 3]
    module = categories.module()
    assert isinstance(module, Embeddings)
    x_BF = module(categories.encode(table))
    x_BF.sum().backward()
    assert module.sparse is not None and module.sparse.weight.grad.is_sparse
    assert module.dense is not None and not module.dense.weight.grad.is_sparse
    for c, name in enumerate(table.column_names):
        rows = module.rows_of(c)[categories.encode(table)[:, c]]
        places = [i for i, f in enumerate(categories.features()) if f.column == name]
        torch.testing.assert_close(x_BF[:, places], rows)


def test_vectors_are_carried_by_column_and_value() -> None:
    old = Categories.fit(pa.table({"a": ["x", "y", "y"], "b": [1, 2, 2]}), ["a", "b"], min_count=1)
    new = Categories.fit(pa.table({"b": [3, 2, 3], "a": ["z", "x", "z"]}), ["b", "a"], min_count=1)
    old_module, new_module = old.module(), new.module()
    before = new_module.dense.weight.detach().clone()
    assert new.carry(new_module, old, old_module) == 6
    ids = {"b": {0: 0, 1: 1, 3: 2}, "a": {0: 0, 1: 1, 3: 3}}
    for c, name in enumerate(new.columns):
        theirs = old_module.rows_of(old.columns.index(name))
        for mine, other in ids[name].items():
            assert torch.equal(new_module.rows_of(c)[mine], theirs[other])
        # The value that the old run never saw keeps its fresh vector.
        fresh = before[2] if name == "b" else before[6]
        assert torch.equal(new_module.rows_of(c)[2], fresh)


def test_vectors_of_another_width_stay_fresh() -> None:
    table = pa.table({"a": ["x", "y"]})
    narrow, wide = (Categories.fit(table, ["a"], embedding_dim=dim) for dim in (2, 4))
    assert narrow.carry(narrow.module(), wide, wide.module()) == 0
    assert not set(narrow.features()) & set(wide.features())


def test_the_width_of_embeddings_grows_slowly() -> None:
    assert [embedding_dim_for([n]) for n in (2, 50, 5_000, 30_000, 10**7)] == [4, 8, 16, 32, 32]
