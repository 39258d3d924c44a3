"""Values as an Arrow array: found, written and joined as a tuple of Python's would be."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from polytask.columns import lookup, value_list
from polytask.columns.lookup import Lookup
from polytask.columns.value_list import ValueList
from polytask.errors import UserError

quick = settings(max_examples=60, deadline=None)
adapter: TypeAdapter[ValueList] = TypeAdapter(ValueList)
lists = st.one_of(
    st.lists(st.text(max_size=4), unique=True),
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True),
    st.lists(st.integers(0, 2**64 - 1), unique=True),
    # Columns have no -0.0: `coded` makes it 0.0.
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0), unique=True),
    st.lists(st.booleans(), unique=True),
)


@quick
@given(values=lists, few=st.sampled_from([0, 100]), start=st.integers(0, 3))
def test_a_record_gives_the_same_values_back(values: list[Any], few: int, start: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_list, "_FEW", few)
        whole = ValueList.of(values)[start:]
        again = adapter.validate_json(json.dumps(adapter.dump_python(whole, mode="json")))
    assert tuple(again) == tuple(values[start:]) and again == whole
    assert [type(value) for value in again] == [type(value) for value in values[start:]]
    assert all(value in again for value in whole)


@quick
@given(values=st.lists(st.text(max_size=3), unique=True), asked=st.lists(st.text(max_size=3)))
def test_texts_are_found_where_they_stand(values: list[str], asked: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "_MANY", 1)
        patch.setattr(lookup, "_AT_ONCE", 3)
        found = Lookup(pa.array(values, pa.large_string())).places(
            pa.array(asked, pa.large_string())
        )
    assert found.tolist() == [values.index(text) if text in values else -1 for text in asked]


@quick
@given(one=lists, other=lists)
def test_new_values_follow(one: list[Any], other: list[Any]) -> None:
    mine, theirs = ValueList.of(one), ValueList.of(other)
    if mine.kind != theirs.kind:
        return
    if mine.array.type != theirs.array.type and min([0, *one, *other]) < 0:
        with pytest.raises(UserError, match="negative"):
            mine.followed_by(theirs)
        return
    assert [*mine.followed_by(theirs)] == one + [value for value in other if value not in one]


def test_words_are_among_many_values() -> None:
    many = ValueList.of([f"{n}" for n in range(10_000)])
    assert "77" in many and "x" not in many and 77 not in many and None not in many
    assert 77 in ValueList.of(range(10_000)) and 10**30 not in ValueList.of(range(10_000))
    assert repr(many).endswith("'19', ... 10,000)")


def packed(**parts: list[int]) -> dict[str, object]:
    return {
        name: value_list._plain(np.array(part, np.uint8 if name == "text" else np.int64))
        for name, part in parts.items()
    }


@pytest.mark.parametrize(
    "record",
    [
        5,
        [1, "a"],
        [True, 1],
        [1, 1],
        [None],
        [[1]],
        [-1, 2**63],
        {},
        {"numbers": 5},
        packed(numbers=[1, 1]),
        packed(lengths=[1, 1], text=[65]),
        packed(lengths=[-1, 2], text=[65]),
        packed(lengths=[1], text=[255]),
        packed(lengths=[2**62, 2**62, 2**62, 2**62 + 1], text=[65]),
        packed(lengths=[1]),
    ],
)
def test_damaged_records_are_refused(record: object) -> None:
    with pytest.raises(ValueError):
        adapter.validate_python(record)
