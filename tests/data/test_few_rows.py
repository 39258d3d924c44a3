"""Few rows are read in Python, many by Arrow: the same values and notes."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polytask.data import text_columns
from polytask.data.notes import notes_of
from polytask.data.options import ReadOptions
from polytask.data.readers import read_table

WORDS = st.sampled_from(
    [
        "a",
        "Bonn",
        "",
        " ",
        "NA",
        "?",
        "-1",
        "0",
        "7",
        "12",
        " 12 ",
        "1.5",
        "007",
        "x1",
        "-",
        "DE",
        "1,2",
    ]
)
COLUMN = st.lists(st.one_of(st.none(), WORDS), min_size=1, max_size=12)


@pytest.mark.parametrize("is_encoded", [False, True])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(column=COLUMN, name=st.sampled_from(["city", "zip_code"]), is_known=st.booleans())
def test_columns(
    column: list[str | None],
    name: str,
    is_known: bool,
    is_encoded: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array = pa.array(column, pa.large_string())
    table = pa.table({name: array.dictionary_encode() if is_encoded else array})
    numbers = frozenset({name} if is_known else ())
    found = []
    for few in (1000, -1):
        monkeypatch.setattr(text_columns, "_FEW_ROWS", few)
        read = read_table(table, options=ReadOptions(numbers=numbers))
        found.append((read[name].to_pylist(), str(read[name].type).split("<")[0], notes_of(read)))
    assert found[0] == found[1]
