"""Vocabularies that are bounded: the commonest values have ids, the others share some by a hash."""

import numpy as np
import pyarrow as pa
import pytest
import torch

import polytask
from polytask.columns.value_list import ValueList
from polytask.errors import UserError
from polytask.inputs.categories import Categories
from polytask.inputs.vocabulary import FIRST_ID, MISSING_ID, UNSEEN_ID, Vocabulary

TABLE = pa.table({"id": ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d", None], "few": [1, 2] * 7})


def test_the_commonest_have_ids() -> None:
    fitted = Categories.fit(TABLE, ["id"], min_count=1, max_ids=2)
    assert fitted.vocabularies[0].values == ("a", "b")
    assert fitted.encode(TABLE)[:, 0].tolist() == [2] * 5 + [3] * 4 + [UNSEEN_ID] * 4 + [MISSING_ID]


def test_the_others_share_buckets_by_their_text() -> None:
    fitted = Categories.fit(TABLE, ["id", "few"], min_count=4, hash_buckets=7)
    ids, few = fitted.vocabularies
    assert (ids.num_buckets, ids.num_ids) == (7, 2 + FIRST_ID + 7)
    # All values of `few` have ids of their own, so that it needs no buckets.
    assert few.num_buckets == 0
    new = pa.table({"id": [f"new {n}" for n in range(2000)], "few": [1] * 2000})
    codes = fitted.encode(new)[:, 0].numpy()
    assert codes.min() >= 2 + FIRST_ID and codes.max() < ids.num_ids
    counts = np.bincount(codes - 2 - FIRST_ID, minlength=7)
    assert counts.min() > 2000 / 7 - 5 * 16 and counts.max() < 2000 / 7 + 5 * 16
    # A value has one bucket, alone as among others, and whatever its type is.
    alone = [fitted.encode(new.slice(row, 1))[0, 0].item() for row in range(5)]
    assert alone == codes[:5].tolist()
    numbers = Vocabulary("int64", ValueList.of((5,)), 11)
    texts = Vocabulary("string", ValueList.of(("5",)), 11)
    column = pa.chunked_array([[5, 17, 18]])
    assert (numbers.encode(column, "it") == texts.encode(column.cast(pa.string()), "it")).all()


def test_buckets_are_in_the_record_and_are_carried() -> None:
    fitted = Categories.fit(TABLE, ["id"], min_count=4, hash_buckets=3, embedding_dim=2)
    again = Categories.from_record(fitted.to_record())
    assert again == fitted
    other = Categories.fit(TABLE.slice(4), ["id"], min_count=3, hash_buckets=3, embedding_dim=2)
    mine, theirs = fitted.module(), other.module()
    assert other.vocabularies[0].values == ("b", "c")
    other.carry(theirs, fitted, mine)
    torch.testing.assert_close(theirs.rows_of(0)[-3:], mine.rows_of(0)[-3:])
    torch.testing.assert_close(theirs.rows_of(0)[FIRST_ID], mine.rows_of(0)[FIRST_ID + 1])


def test_a_fit_with_bounded_ids() -> None:
    drawn = np.random.default_rng(0)
    ids = drawn.zipf(1.5, 2000)
    table = pa.table(
        {
            "user_id": ids,
            "x": drawn.normal(size=2000),
            "click": (drawn.random(2000) < 0.3).astype(int),
        }
    )
    options = {"epochs": 1, "baseline": "none"}
    run = polytask.fit(table, ["click"], max_ids=5, hash_buckets=8, **options)  # type: ignore[arg-type]
    (vocabulary,) = run.inputs.by_name["categorical"].vocabularies  # type: ignore[attr-defined]
    assert vocabulary.num_ids == 5 + FIRST_ID + 8
    one = run.predict({"user_id": 10**9, "x": 0.0})
    several = run.predict({"user_id": [10**9] * 300, "x": [0.0] * 300})
    assert one["click"][0].as_py() == pytest.approx(several["click"][7].as_py(), rel=1e-5)


def test_bounds_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="max_ids=0"):
        Categories.fit(TABLE, ["id"], max_ids=0)
    with pytest.raises(UserError, match="num_buckets=-1"):
        Categories.fit(TABLE, ["id"], min_count=4, hash_buckets=-1)
