"""Times: known dates on known clocks, what varies, what is missing, what is refused."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone

import pyarrow as pa
import pytest
import torch

from polytask.errors import UserError
from polytask.inputs import Time

LEAP = datetime(2024, 2, 29, 18, 30, tzinfo=UTC)
"""A Thursday."""


def fit_one(values: pa.Array, *others: object, **options: str) -> Time:
    return Time.fit(pa.table({"x": values}), ["x"], **options)


def features_of(times: Time, values: pa.Array) -> list[dict[str, float]]:
    """Each row's features by what they are; the time since the first one as "elapsed"."""
    names = ["elapsed" if f.what.startswith("time since") else f.what for f in times.features()]
    rows_BF = times.module()(times.encode(pa.table({"x": values})))
    return [dict(zip(names, row)) for row in rows_BF.tolist()]


def test_parts_of_a_known_date() -> None:
    values = pa.array([LEAP, datetime(2025, 12, 31, 6, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    first, last = features_of(fit_one(values), values)
    assert first["hour"] == pytest.approx(2 * 18.5 / 24 - 1)
    assert first["hour, sine"] == pytest.approx(math.sin(2 * math.pi * 18.5 / 24), abs=1e-6)
    assert first["hour, cosine"] == pytest.approx(math.cos(2 * math.pi * 18.5 / 24), abs=1e-6)
    assert first["weekday, sine"] == pytest.approx(math.sin(2 * math.pi * 3 / 7), abs=1e-6)
    assert first["day of the month"] == pytest.approx(2 * 28 / 29 - 1)
    assert first["day of the year, cosine"] == pytest.approx(
        math.cos(2 * math.pi * 59 / 366), abs=1e-6
    )
    years = "year, 2024 to 2025"
    assert (first[years], last[years]) == (-1, 1)
    assert (first["elapsed"], last["elapsed"]) == (-1, 1)
    assert last["weekday, sine"] == pytest.approx(math.sin(2 * math.pi * 2 / 7), abs=1e-6)
    assert last["day of the month"] == pytest.approx(2 * 30 / 31 - 1)


def test_each_hour_and_day_against_the_standard_library() -> None:
    moments = [datetime(1969, 12, 27, 23, 59) + timedelta(days=11, hours=5) * n for n in range(400)]
    values = pa.array(moments, pa.timestamp("us"))
    times = fit_one(values)
    for moment, row in zip(moments, features_of(times, values)):
        days_in_year = (date(moment.year + 1, 1, 1) - date(moment.year, 1, 1)).days
        day = moment.timetuple().tm_yday - 1
        hour = moment.hour + moment.minute / 60
        assert row["hour"] == pytest.approx(2 * hour / 24 - 1, abs=1e-6)
        assert row["weekday"] == pytest.approx(2 * moment.weekday() / 7 - 1, abs=1e-6)
        assert row["day of the year"] == pytest.approx(2 * day / days_in_year - 1, abs=1e-6)


def test_midnight_lies_beside_the_minute_before_it() -> None:
    values = pa.array([time(0, 0), time(23, 59), time(12, 0)])
    night, before, noon = features_of(fit_one(values), values)
    waves = ("hour, sine", "hour, cosine")
    assert math.dist([night[w] for w in waves], [before[w] for w in waves]) < 0.01
    assert math.dist([night[w] for w in waves], [noon[w] for w in waves]) == pytest.approx(2)


def test_hours_are_those_of_the_column_s_own_zone() -> None:
    # 18:30 UTC on Thursday is midnight on Friday, the first of March, in Kolkata.
    values = pa.array([LEAP, LEAP + timedelta(hours=6, days=9)], pa.timestamp("ns", "Asia/Kolkata"))
    times = fit_one(values)
    first = features_of(times, values)[0]
    assert first["hour"] == -1
    assert first["weekday"] == pytest.approx(2 * 4 / 7 - 1)
    assert first["day of the month"] == -1
    # The same instants in another zone are read on the clock of the training rows.
    elsewhere = values.cast(pa.timestamp("ns", "America/New_York"))
    assert features_of(times, elsewhere)[0] == first


def test_a_zone_can_be_asked_for() -> None:
    epochs = pa.array([int(LEAP.timestamp()), int(LEAP.timestamp()) + 4 * 3600])
    there = features_of(fit_one(epochs, time_zone="Asia/Kolkata"), epochs)
    assert there[0]["hour"] == -1
    assert features_of(fit_one(epochs), epochs)[0]["hour"] == pytest.approx(2 * 18.5 / 24 - 1)
    with pytest.raises(UserError, match="'Asia/Kolkatta'"):
        fit_one(epochs, time_zone="Asia/Kolkatta")


def test_summer_time_moves_the_hour_and_not_the_time_that_passed() -> None:
    # Berlin skips 02:00 to 03:00 on 31 March 2024.
    before = datetime(2024, 3, 31, 0, 30, tzinfo=UTC)
    values = pa.array(
        [before, before + timedelta(hours=1), before + timedelta(hours=2)],
        pa.timestamp("s", "Europe/Berlin"),
    )
    rows = features_of(fit_one(values), values)
    assert [round((row["hour"] + 1) * 12, 3) for row in rows] == [1.5, 3.5, 4.5]
    assert [row["elapsed"] for row in rows] == [-1, 0, 1]


ALIKE = [
    pa.array([LEAP, LEAP + timedelta(days=1, hours=1)], pa.timestamp("s", "UTC")),
    pa.array([LEAP, LEAP + timedelta(days=1, hours=1)], pa.timestamp("ns", "Asia/Tokyo")),
    pa.array([1709231400, 1709321400]),
    pa.array([1709231400.0, 1709321400.0]),
    pa.array([1709231400_000, 1709321400_000]),
    pa.array([1709231400_000_000, 1709321400_000_000]),
    pa.array([1709231400_000_000_000, 1709321400_000_000_000]),
    pa.array(["2024-02-29T18:30:00Z", "2024-03-01 20:30+01:00"]),
    pa.array(["2024-02-29T18:30:00Z", "2024-03-01 20:30+01:00"]).dictionary_encode(),
]


@pytest.mark.parametrize("values", ALIKE, ids=lambda values: str(values.type))
def test_one_instant_is_the_same_however_it_is_written(values: pa.Array) -> None:
    times = fit_one(values, time_zone="UTC")
    expected = fit_one(ALIKE[0])
    torch.testing.assert_close(
        times.encode(pa.table({"x": values})), expected.encode(pa.table({"x": ALIKE[0]}))
    )


DATES = [
    (pa.array([date(2024, 2, 29), date(2025, 3, 1)]), {}),
    (pa.array([date(2024, 2, 29), date(2025, 3, 1)], pa.date64()), {}),
    (pa.array(["2024-02-29", "2025-03-01"]), {}),
    (pa.array([20240229, 20250301]), {"epoch_unit": "yyyymmdd"}),
]


@pytest.mark.parametrize(("values", "options"), DATES, ids=lambda value: str(value)[:20])
def test_dates_have_no_hour(values: pa.Array, options: dict[str, str]) -> None:
    rows = features_of(fit_one(values, **options), values)
    assert "hour" not in rows[0]
    assert rows[0]["day of the month"] == pytest.approx(2 * 28 / 29 - 1)
    assert rows[1]["day of the year"] == pytest.approx(2 * 59 / 365 - 1)


def test_durations_are_a_share_of_the_training_rows_range() -> None:
    values = pa.array([timedelta(hours=1), timedelta(hours=3)])
    times = fit_one(values)
    (feature,) = times.features()
    assert feature.what == "length, 3600 to 10800 seconds"
    later = pa.array([timedelta(hours=2), timedelta(days=9)])
    assert [row[feature.what] for row in features_of(times, later)] == [0, 1]


def test_what_does_not_differ_between_training_rows_is_left_out() -> None:
    week = pa.array([datetime(2024, 5, 6 + day, 12) for day in range(3)])
    whats = {feature.what.split(",")[0] for feature in fit_one(week).features()}
    assert whats == {
        "weekday",
        "day of the month",
        "day of the year",
        "time since 2024-05-06 12:00:00",
    }
    constant = fit_one(pa.array([datetime(2024, 5, 6)] * 2))
    assert [row["elapsed"] for row in features_of(constant, week)] == [-1, -1, -1]


def test_anchor_and_years_come_from_the_training_rows_alone() -> None:
    train = pa.array([datetime(2023, 7, 1), datetime(2024, 7, 1)])
    later = pa.array([datetime(2020, 1, 1), datetime(2030, 1, 1), datetime(2024, 1, 1)])
    times = fit_one(train)
    rows = features_of(times, later)
    assert [row["elapsed"] for row in rows][:2] == [-1, 1]
    assert [row["year, 2023 to 2024"] for row in rows] == [-1, 1, 1]
    assert rows[2]["elapsed"] == pytest.approx(2 * 184 / 366 - 1, abs=1e-6)


def test_years_are_those_of_the_zone() -> None:
    eve = datetime(2023, 12, 31, 20, tzinfo=UTC)
    values = pa.array([eve, eve + timedelta(days=400)], pa.timestamp("s", "Asia/Tokyo"))
    assert any(f.what == "year, 2024 to 2025" for f in fit_one(values).features())


def test_a_missing_time_is_zero_everywhere_and_has_a_flag() -> None:
    values = pa.array([datetime(2024, 5, 6), None, datetime(2025, 1, 1)])
    rows = features_of(fit_one(values), values)
    assert {value for what, value in rows[1].items() if what != "is missing"} == {0}
    assert [row["is missing"] for row in rows] == [0, 1, 0]
    unflagged = fit_one(values.drop_null())
    assert set(features_of(unflagged, values)[1].values()) == {0}
    nowhere = fit_one(pa.array([None, None], pa.timestamp("us")))
    assert [row["is missing"] for row in features_of(nowhere, values)] == [0, 1, 0]


def test_a_column_that_is_all_missing_later_needs_no_zone() -> None:
    times = fit_one(ALIKE[0])
    assert times.encode(pa.table({"x": pa.nulls(2)})).isnan().all()


REFUSED = [
    (ALIKE[0], pa.array([datetime(2024, 1, 1)]), "no time zone here, but the time zone UTC"),
    (pa.array([datetime(2024, 1, 1)]), ALIKE[0], "the time zone UTC here, but no time zone"),
    (pa.array([datetime(2024, 1, 1)]), pa.array([17]), "int64 here, but times in the training"),
    (pa.array([17, 18]), None, "epoch_unit"),
    (pa.array(["2024-01-01", "soon"]), None, "1 row .first 'soon' in row 1"),
    (pa.array(["2024-01-01T00:00", "2024-01-01T00:00Z"]), None, "with and without a zone"),
    (pa.array([True]), None, "bool, where times are due"),
    (pa.array([[1]]), None, "where times are due"),
]


@pytest.mark.parametrize(("train", "later", "message"), REFUSED)
def test_what_is_no_time_is_refused_by_name(
    train: pa.Array, later: pa.Array | None, message: str
) -> None:
    with pytest.raises(UserError, match=f"column 'x'.*{message}"):
        fit_one(train).encode(pa.table({"x": later}))


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="column 'x'"):
        fit_one(pa.array([20241301]), epoch_unit="yyyymmdd")


def test_record_round_trip() -> None:
    zone = timezone(timedelta(hours=2))
    table = pa.table(
        {
            "when": pa.array(
                [datetime(2024, 1, 1, tzinfo=zone), None], pa.timestamp("ms", "Asia/Tokyo")
            ),
            "day": [date(2024, 1, 1), date(2024, 5, 1)],
            "ticks": [1709231400, 1709321400],
            "clock": [time(3, 4), None],
        }
    )
    times = Time.fit(table, table.column_names)
    again = Time.from_record(times.to_record())
    assert again == times
    torch.testing.assert_close(again.encode(table), times.encode(table), equal_nan=True)
    assert len(again.features()) == again.module()(again.encode(table)).shape[1]
