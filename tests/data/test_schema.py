"""Inference on columns of every kind and on the real tables, and what goes before it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from polytask.data.readers import read_table
from polytask.data.schema import Column, ColumnKind, describe_table, infer_schema
from polytask.errors import UserError

N = 200
TICKS = [1_650_812_741_436 + 7919 * i for i in range(N)]

COLUMNS: dict[str, tuple[str, Sequence[object] | pa.Array, ColumnKind, str]] = {
    "decimals": ("x", [i / 7 for i in range(N)], "numeric", "decimal numbers"),
    "whole numbers": ("age", [i % 91 for i in range(N)], "numeric", "whole numbers, 91 different"),
    "few whole numbers": ("rooms", [i % 20 for i in range(N)], "categorical", "only 20 different"),
    "one more than few": ("rooms", [i % 21 for i in range(N)], "numeric", "21 different"),
    "few rows prove little": ("rooms", list(range(12)), "numeric", "12 different"),
    "hours on a dial": ("hour", [i % 24 for i in range(N)], "categorical", "only 24 different"),
    "flag": ("flag", [i % 2 == 0 for i in range(N)], "categorical", "true or false"),
    "id by name": ("user_id", [i % 77 for i in range(N)], "categorical", "the name says a code"),
    "camel-case id": ("userId", [i % 77 for i in range(N)], "categorical", "the name says a code"),
    "run-together id": ("userid", [i % 77 for i in range(N)], "categorical", "a code"),
    "id like a time": ("user_id", [TICKS[i % 50] for i in range(N)], "categorical", "a code, 50"),
    "no id": ("amount_paid", [i % 77 for i in range(N)], "numeric", "77 different"),
    "nullable id": (
        *("item_id", [float(i % 77) if i % 5 else None for i in range(N)]),
        *("categorical", "the name says a code, 77"),
    ),
    "nullable category": (
        *("level", [float(i % 3) if i % 5 else None for i in range(N)], "categorical"),
        "only 3 different",
    ),
    "an id per row": ("row_id", [7 * i + 3 for i in range(N)], "ignored", "nearly one value a row"),
    "row numbers": ("number", list(range(5, 5 + N)), "ignored", "counts the rows: 5 to 204"),
    "long numbers": ("h", [2**55 * (i % 99) + 1 for i in range(N)], "categorical", "as long as"),
    "text": ("city", [f"city {i % 30}" for i in range(N)], "categorical", "text, 30 different"),
    "name per row": ("who", [f"w{i}" for i in range(N)], "ignored", "nearly one value a row"),
    "free text": (
        *("text", [f"it was {i % 120} times good" for i in range(N)]),
        *("ignored", "free text: 120 different, of 5 words"),
    ),
    "short free text": (
        *("query", [f"shoes{i % 120}" for i in range(N)], "categorical", "120 different"),
    ),
    "numbers as text": (
        *("amount", [f"{i % 40}.5" for i in range(N)]),
        *("categorical", "every one is a number"),
    ),
    "codes as text": ("zip", [f"{i % 40:05}" for i in range(N)], "categorical", "40 different"),
    "dates as text": (
        *("upload_dt", [f"2022-04-{1 + i % 9:02}" for i in range(N)]),
        *("time", "times (string), such as 2022-04-01"),
    ),
    "constant": ("c", [3] * N, "ignored", "the same value in every row: 3"),
    "constant text": ("c", ["x"] * N, "ignored", "the same value in every row: 'x'"),
    "constant or missing": ("c", [3, None] * (N // 2), "categorical", "only 1 different"),
    "missing": ("m", pa.nulls(N, pa.float64()), "ignored", "no value in any row"),
    "null type": ("m", pa.nulls(N), "ignored", "no value in any row"),
    "date": ("d", [date(2022, 4, 1 + i % 9) for i in range(N)], "time", "date32"),
    "timestamp": (
        *("t", [datetime.fromtimestamp(t / 1000, UTC) for t in TICKS], "time", "timestamp"),
    ),
    "milliseconds": ("t", TICKS, "ignored", "milliseconds since 1970, 2022-04-24 to 2022-04-24"),
    "seconds by name": ("created_at", [t // 1000 for t in TICKS], "ignored", "seconds since 1970"),
    "seconds without a name": ("v", [t // 1000 for t in TICKS], "numeric", "whole numbers"),
    "time with a sentinel": ("time_ms", [0, *TICKS[1:]], "ignored", "milliseconds"),
    "time spent": ("play_time_ms", [i * 317 for i in range(N)], "numeric", "whole numbers"),
    "calendar days": (
        *("date", [20220425 + i % 5 for i in range(N)]),
        *("ignored", "a date as a number, 20220425 to 20220429"),
    ),
    "calendar days unnamed": ("v", [20220425 + i % 5 for i in range(N)], "ignored", "a date as"),
    "no calendar days": ("v", [20220425 + 7 * i for i in range(N)], "numeric", "whole numbers"),
    "clock": (
        *("hourmin", [100 * (i % 24) + 30 * (i % 2) for i in range(N)]),
        *("ignored", "hours and minutes as a number, 0 to 2330"),
    ),
    "no clock": ("time_taken", [37 * (i % 60) for i in range(N)], "numeric", "whole numbers"),
    "pandas index": ("", [i * 3 for i in range(N)], "ignored", "a saved pandas index"),
    "declared": (
        *("level", pa.array([i % 50 for i in range(N)]).dictionary_encode()),
        *("categorical", "the table declares categories, 50 different"),
    ),
    "image": ("i", [bytes([255, i % 7]) for i in range(N)], "ignored", "neither a number nor text"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_inference(case: str) -> None:
    name, values, kind, reason = COLUMNS[case]
    schema = infer_schema(pa.table({name: values}))
    assert schema.columns[0].kind == kind
    assert reason in schema.columns[0].reason


def test_text_is_text_however_it_is_encoded() -> None:
    words = pa.array(["x", "y", "z"] * 20)
    plain, encoded, large = (
        infer_schema(pa.table({"a": column})).columns[0]
        for column in (words, words.dictionary_encode(), words.cast(pa.large_string()))
    )
    assert plain == encoded == Column("a", "categorical", "string", "text, 3 different")
    assert (large.kind, large.reason) == (plain.kind, plain.reason)


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "user_id": [i % 50 for i in range(N)],
            "age": [i % 90 for i in range(N)],
            "time_ms": TICKS,
            "city": ["a", "b"] * (N // 2),
            "click": [0, 1] * (N // 2),
            "play_time": [i / 3 for i in range(N)],
            "code": ["1", "25"] * (N // 2),
        }
    )


def test_what_is_said_goes_before_inference(table: pa.Table) -> None:
    schema = infer_schema(
        table,
        labels=["click"],
        after={"play_time"},
        ignore=["city"],
        categorical=["age"],
        numeric=["user_id", "code", "time_ms"],
    )
    assert schema.numeric == ("user_id", "time_ms", "code")
    assert schema.categorical == ("age",)
    assert schema.ignored == ("city", "click", "play_time")
    reasons = {column.name: column.reason for column in schema.columns}
    assert reasons["click"] == "a label is made from it"
    assert reasons["play_time"] == "known only after the event"
    assert reasons["city"] == "left out on request"
    assert reasons["age"] == "as asked for"


def test_inputs_are_these_alone_and_without_doubts(table: pa.Table) -> None:
    schema = infer_schema(table, labels=["click"], inputs=["time_ms", "age"])
    assert schema.numeric == ("age", "time_ms")
    assert schema.categorical == ()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"ignore": ["cty"]}, "ignore: .*'cty' - did you mean 'city'"),
        ({"labels": ["clik"]}, "labels: .*did you mean 'click'"),
        ({"inputs": ["cty"]}, "inputs: .*did you mean 'city'"),
        ({"numeric": ["agee"]}, "numeric: .*did you mean 'age'"),
        ({"categorical": ["agee"]}, "categorical: .*did you mean 'age'"),
        ({"after": ["agee"]}, "after: .*did you mean 'age'"),
        ({"categorical": ["age"], "numeric": ["age"]}, "'age' is named by categorical and by num"),
        ({"inputs": ["age"], "ignore": ["age"]}, "'age' is named by inputs and by ignore"),
        ({"inputs": ["age"], "after": ["age"]}, "'age' is named by inputs and by after"),
        ({"inputs": ["click"], "labels": ["click"]}, "named by inputs and by labels"),
        ({"numeric": ["age"], "ignore": ["age"]}, "'age' is named by numeric and by ignore"),
        (
            {"numeric": ["city"]},
            "'city' cannot be numeric: that takes numbers, .* such as 'a', 'b'; words for missing",
        ),
        ({"text": ["agee"]}, "text: .*did you mean 'age'"),
        ({"text": ["age"], "numeric": ["age"]}, "'age' is named by text and by numeric"),
        ({"categorical": ["play_time"]}, "'play_time' cannot be categorical: that takes whole"),
    ],
)
def test_overrides_that_cannot_be(
    table: pa.Table, overrides: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        infer_schema(table, **overrides)  # type: ignore[arg-type]


def test_dates_in_another_spelling_are_no_times() -> None:
    (column,) = infer_schema(pa.table({"d": ["2022/4/1", "2022/4/2"] * 20})).columns
    told = "dates as text, such as '2022/4/1': --dates=d=ymd reads them"
    assert (column.kind, column.reason) == ("ignored", told)


def test_an_input_reads_the_columns_that_are_named_for_it(table: pa.Table) -> None:
    schema = infer_schema(table, columns={"time": ["time_ms"], "numeric": ["code"]})
    assert schema.inputs["time"] == ("time_ms",)
    assert "code" in schema.inputs["numeric"]
    assert {name for names in schema.inputs.values() for name in names} == {
        column.name for column in schema.columns if column.kind != "ignored"
    }
    with pytest.raises(UserError, match="'age' is named by numeric and by time"):
        infer_schema(table, columns={"time": ["age"]}, numeric=["age"])
    with pytest.raises(UserError, match=r"time: .*did you mean 'time_ms'"):
        infer_schema(table, columns={"time": ["time_m"]})


def test_a_list_column_may_be_named_for_an_input() -> None:
    table = pa.table({"tags": [["a"], ["b", "c"]], "x": [0.5, 1.5]})
    assert infer_schema(table, columns={"length": ["tags"]}).inputs["length"] == ("tags",)
    with pytest.raises(UserError, match="'tags' cannot be an input"):
        infer_schema(table, columns={"numeric": ["tags"]})


def test_list_columns_are_not_used_and_refused_where_they_are_asked_for() -> None:
    table = pa.table({"tags": [["a"], ["b", "c"]], "box": [{"w": 1}, {"w": 2}], "x": [0.5, 1.5]})
    schema = infer_schema(table)
    assert (schema.numeric, schema.ignored) == (("x",), ("tags", "box"))
    assert schema.unused_summary() == (
        "2 columns not used: tags (a list (list<item: string>); --columns=sequence=tags reads it), "
        "box (a structure (struct<w: int64>), no input yet)"
    )
    for asked in ({"inputs": ["tags", "x"]}, {"categorical": ["tags"]}, {"numeric": ["tags"]}):
        with pytest.raises(UserError, match="'tags' cannot be an input: a list"):
            infer_schema(table, **asked)  # type: ignore[arg-type]


def test_what_is_not_used_is_summed_up() -> None:
    table = pa.table(
        {
            "click": [0, 1] * 50,
            "note": pa.nulls(100),
            "id": list(range(100)),
            "same": ["x"] * 100,
            "x": [i / 7 for i in range(100)],
            "out": [i / 7 for i in range(100)],
        }
    )
    schema = infer_schema(table, labels=["click"], ignore=["out"])
    assert [column.name for column in schema.unused] == ["note", "id", "same"]
    assert schema.unused_summary() == (
        "3 columns not used: note (no value in any row), id (nearly one value a row: 100 different"
        " in 100 rows), same (the same value in every row: 'x')"
    )
    assert infer_schema(table.select(["x"])).unused_summary() is None
    many = pa.table({f"c{i}": ["x", "x"] for i in range(30)})
    assert (infer_schema(many).unused_summary() or "").endswith("'x') and 22 more")


def test_columns_in_doubt_are_named() -> None:
    table = pa.table(
        {
            "visits": [i % 91 for i in range(N)],
            "user": [i % 77 for i in range(N)],
            "x": [i / 7 for i in range(N)],
            "city": ["a", "b"] * (N // 2),
        }
    )
    assert infer_schema(table).inferred_summary() == (
        "taken for numbers: visits (whole numbers, 91 different)",
        "taken for categories: user (the name says a code, 77 different)",
    )


def test_notes_of_reading_are_the_schemas() -> None:
    read = read_table(pd.DataFrame({"click": ["0", "1", "?"], " x ": ["a", "NULL", "b"]}))
    assert infer_schema(read, labels=["click"]).notes == (
        "click: text read as numbers; '?' missing in 1 row (the first is row 2, counting from 0)",
        "x: 'NULL' taken for missing in 1 row; the name had spaces around it: ' x '",
    )


IDS = np.random.default_rng(1).integers(0, 600, 5000)


@pytest.mark.parametrize(
    "name",
    [
        *("user", "item", "creator", "merchant", "channel", "account", "page", "player", "seller"),
        *("video", "target_user", "ean", "adId", "playlist_2"),
    ],
)
@pytest.mark.parametrize("scale", [1, 3_000_000_000_000])
def test_ids_are_categories_whatever_they_are_called_and_however_long(
    name: str, scale: int
) -> None:
    ids = 1_450_000_000_000_000_000 + scale * IDS
    assert infer_schema(pa.table({name: ids})).categorical == (name,)


@pytest.mark.parametrize(
    "name", ["user_age", "video_duration", "num_users", "views_per_user", "account_balance", "x"]
)
def test_what_ids_are_measured_by_is_a_number(name: str) -> None:
    assert infer_schema(pa.table({name: IDS})).numeric == (name,)


@pytest.mark.parametrize("first", [1_000_000_000_000, 3_200_000_000_000, 1_450_000_000_000_000])
def test_numbers_in_the_range_of_times_are_times_only_in_order_or_by_name(first: int) -> None:
    values = first + IDS * 1_000_007
    assert infer_schema(pa.table({"v": values})).numeric == ("v",)
    assert infer_schema(pa.table({"v": np.sort(values)})).ignored == ("v",)
    assert infer_schema(pa.table({"v": np.sort(values)[::-1]})).ignored == ("v",)
    assert infer_schema(pa.table({"created_at": values})).ignored == ("created_at",)


def test_a_long_table_is_sampled_and_checked() -> None:
    num_rows = 1_200_000
    rare = np.zeros(num_rows, dtype=np.int64)
    rare[16_500] = 1
    fraction = (np.arange(num_rows) % 7).astype(np.float64)
    fraction[16_500] = 0.5
    late = pa.array(np.ones(num_rows), mask=np.arange(num_rows) != 16_500)
    table = pa.table(
        {
            "count": np.arange(num_rows) % 5000,
            "rare": rare,
            "zero": np.zeros(num_rows),
            "fraction": fraction,
            "late": late,
        }
    )
    columns = {column.name: column for column in infer_schema(table).columns}
    assert columns["count"].reason == "whole numbers, 5,000 different in a sample of 1,048,576"
    assert columns["rare"].kind == "categorical"
    assert columns["zero"].reason == "the same value in every row: 0.0"
    assert columns["fraction"].reason == "decimal numbers"
    assert columns["late"].kind != "ignored"


def test_describe() -> None:
    table = pa.table(
        {
            "kind": pa.array(["b", "a", "b", None]).dictionary_encode(),
            "x": [0.5, None, None, 2.0],
            "tags": [["a"], None, ["b"], ["c"]],
            "long": ["y" * 99] * 4,
        }
    )
    kind, x, tags, long = describe_table(infer_schema(table), table)
    assert (kind.num_distinct, kind.missing_share, kind.examples) == (2, 0.25, ("b", "a"))
    assert (kind.column.dtype, kind.column.kind) == ("string", "categorical")
    assert (x.num_distinct, x.missing_share, x.examples) == (2, 0.5, ("0.5", "2.0"))
    assert (tags.num_distinct, tags.missing_share) == (None, 0.25)
    assert tags.examples == ("['a']", "None", "['b']")
    assert long.examples == ("y" * 37 + "...",)


def test_kuairand(data_folder: Path) -> None:
    table = read_table(data_folder / "kuairand_pure.parquet")
    schema = infer_schema(table)
    hot = {f"onehot_feat{i}" for i in range(18)}
    ids = {"user_id", "video_id", "author_id", "music_id"}
    codes = {"tab", "music_type", "tag", "video_type", "upload_type", "user_active_degree"}
    ranges = {name for name in table.column_names if name.endswith("_range")}
    flags = {name for name in table.column_names if name.startswith("is_")} | {"long_view"}
    assert set(schema.ignored) == {"date", "hourmin", "time_ms", "is_lowactive_period"}
    assert schema.inputs["time"] == ("upload_dt",)
    assert set(schema.categorical) == hot | ids | codes | ranges | flags - {"is_lowactive_period"}
    assert set(schema.numeric) == {
        *("play_time_ms", "duration_ms", "register_days", "server_width", "server_height"),
        *("follow_user_num", "fans_user_num", "friend_user_num"),
    }


def test_census(data_folder: Path) -> None:
    schema = infer_schema(read_table(data_folder / "census_income_train.parquet"))
    assert schema.ignored == ()
    assert set(schema.numeric) == {
        *("age", "wage_per_hour", "capital_gains", "capital_losses", "dividends"),
        *("instance_weight", "weeks_worked"),
    }


def test_river_flow(data_folder: Path) -> None:
    table = read_table(data_folder / "rf1.parquet")
    assert infer_schema(table).numeric == tuple(table.column_names)


def test_sentences(data_folder: Path) -> None:
    schema = infer_schema(read_table(data_folder / "sentences.parquet"))
    assert schema.ignored == ("text",)
    assert schema.categorical == ("task", "split", "official_split", "label")


def test_pictures_are_found_by_their_first_bytes_their_type_and_their_names() -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(200, 250))
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(range(40), pa.uint8()), 4)
    table = pa.table(
        {
            "bytes": pa.array([png + bytes([row]) for row in range(5)]),
            "array": pa.FixedSizeListArray.from_arrays(pixels, 2),
            "both": [{"bytes": png, "path": "a.png"}] * 5,
            "path": [f"photos/{row}.JPG" for row in range(5)],
            "other": pa.array([b"\xff\xfe\x00"] * 5),
        }
    )
    schema = infer_schema(table)
    assert schema.inputs == {"image": ("bytes", "array", "both")}
    reasons = {column.name: column.reason for column in schema.columns}
    assert reasons["path"] == "paths of pictures: --columns=image=path reads them"
    assert infer_schema(table, columns={"image": ["path"]}).inputs["image"][-1] == "path"
