"""Day after day: ids that are new, ids that are forgotten, and what a chain of runs has seen."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from polytask import Run, fit, load
from polytask.config import validate_config
from polytask.config.presets import with_preset
from polytask.data.readers import open_scan
from polytask.errors import UserError
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.fitting.storing.preparing import prepare_on_disk
from polytask.report import write_report

OPTIONS = {"epochs": 1, "baseline": "none", "intervals": False, "threads": 1, "min_count": 2}
TIMES = {"time_column": "shown_at", "forget": "3d"}
START = datetime.datetime(2026, 11, 1)


def day(number: int, ids: tuple[int, int], num_rows: int = 400) -> pa.Table:
    """A day's rows, with user ids of a range, each at least twice, and one that is seen but once."""
    drawn = np.random.default_rng(number)
    known = np.arange(*ids)
    user_B = np.concatenate([known, known, drawn.integers(*ids, num_rows - 2 * len(known) - 1)])
    seconds_B = drawn.integers(0, 86_400, num_rows)
    return pa.table(
        {
            "user_id": np.concatenate([drawn.permutation(user_B), [1000 + number // 2]]),
            "price": drawn.normal(number, 1, num_rows),
            "shown_at": [
                START + datetime.timedelta(days=number, seconds=int(s)) for s in seconds_B
            ],
            "click": drawn.integers(0, 2, num_rows),
        }
    )


def users(prepared: Prepared | Run) -> set[object]:
    return set(prepared.inputs.by_name["categorical"].vocabularies[0].values)  # type: ignore[attr-defined]


def last_days(prepared: Prepared | Run) -> dict[object, int]:
    """Days after the first one."""
    vocabulary = prepared.inputs.by_name["categorical"].vocabularies[0]  # type: ignore[attr-defined]
    days = vocabulary.days(otherwise=-99)
    first = (START - datetime.datetime(1970, 1, 1)).days
    return {value: int(d) - first for value, d in zip(vocabulary.values, days)}


def followed(table: Path, before: Path, tmp_path: Path, how: str, **options: object) -> Prepared:
    """The day prepared after the run before, in memory, or on disk with a sample of some of its rows."""
    values = {"table": table, "tasks": ("click",), "cache": tmp_path / "cache", "min_count": 2}
    values |= {"grow": True, "init_from": before, "valid_fraction": 0.0, "test_fraction": 0.0}
    config = with_preset(validate_config(values | options))
    if how == "memory":
        return prepare(config)
    scan = open_scan(table)
    assert scan is not None
    return prepare_on_disk(config, scan, named={}, sample_rows=1000 if how == "whole" else 150)


def written(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of day 0 (users 0 to 39) and day 2 (users 20 to 59)."""
    folder = tmp_path_factory.mktemp("chain")
    parts = {"valid_fraction": 0.0, "test_fraction": 0.0}
    for number, ids in ((0, (0, 40)), (2, (20, 60))):
        table = written(day(number, ids), folder / f"day-{number}.parquet")
        more = {"grow": True, "init_from": folder / "run-0"} if number else {}
        out = folder / f"run-{number}"
        fit(table, ["click"], out=out, **OPTIONS, **TIMES, **parts, **more)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("how", ["memory", "whole", "counted"])
def test_ids_are_forgotten_that_were_not_seen_for_so_long(
    chain: Path, tmp_path: Path, how: str
) -> None:
    """On day 3 three days are days 1 to 3: users who were seen on day 0 alone go, and only they.

    User 1000 is too rare for a row on both days; user 7 is as rare on day 3, but has one, and is seen.
    """
    rare = day(3, (50, 80)).slice(0, 1).to_pydict() | {"user_id": [7]}
    today = pa.concat_tables([day(3, (50, 80)), pa.table(rare, schema=day(3, (50, 80)).schema)])
    table = written(today, tmp_path / "today.parquet")
    found = followed(table, chain / "run-2", tmp_path, how, **TIMES)
    assert users(found) == {7, *range(20, 80)}
    due = {7: 3} | dict.fromkeys(range(20, 50), 2) | dict.fromkeys(range(50, 80), 3)
    assert last_days(found) == due
    assert found.growth == ("forgotten, for 3 days not seen: 19 of 80 ids of user_id",)
    assert found.growth[0] in found.notes
    kept = followed(table, chain / "run-2", tmp_path, how, time_column="shown_at", forget=4)
    assert users(kept) == set(range(80)) and "no id" in kept.growth[0]


def test_an_id_that_is_forgotten_has_no_vector_and_others_keep_theirs(
    chain: Path, tmp_path: Path
) -> None:
    table = written(day(3, (50, 80)), tmp_path / "today.parquet")
    options = {**OPTIONS, **TIMES, "grow": True, "init_from": chain / "run-2"}
    later = fit(table, ["click"], **options, learning_rate=1e-12)  # type: ignore[arg-type]
    before = load(chain / "run-2")

    def vectors(run: Run) -> dict[object, torch.Tensor]:
        rows = run.model.encoder.parts["categorical"].rows_of(0)  # type: ignore[union-attr]
        values = run.inputs.by_name["categorical"].vocabularies[0].values  # type: ignore[attr-defined]
        assert len(rows) == len(values) + 2
        return {value: rows[i + 2] for i, value in enumerate(values)}

    old, new = vectors(before), vectors(later)
    assert set(old) - set(new) == set(range(20)) and set(new) - set(old) == set(range(60, 80))
    for user in set(old) & set(new):
        torch.testing.assert_close(new[user], old[user], atol=1e-8, rtol=0)


def test_a_chain_of_runs_says_what_it_has_seen(chain: Path, tmp_path: Path) -> None:
    """Days without a gap are one span; the report and the run's record name rows, days and files."""
    two_days = pa.concat_tables([day(3, (50, 80)), day(4, (50, 80))])
    options = {**OPTIONS, **TIMES, "grow": True, "init_from": chain / "run-2"}
    out = tmp_path / "run-3"
    table = written(two_days, tmp_path / "two.parquet")
    fit(table, ["click"], out=out, **options, valid_fraction=0.0, test_fraction=0.5)  # type: ignore[arg-type]
    first, second, own = load(out).metrics.data.seen
    assert (first.rows, first.days) == (400, (("2026-11-01", "2026-11-01"),))
    assert (second.rows, second.files) == (400, ("day-2.parquet",))
    assert (own.rows, own.files) == (400, ("two.parquet",))
    assert own.days_in_words == "2026-11-04 to 2026-11-05"
    page = write_report(out).read_text()
    assert "2026-11-04 to 2026-11-05" in page and "two.parquet" in page


def test_hive_folders_are_part_of_a_files_name(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / "log" / f"day={number}").mkdir(parents=True)
        pq.write_table(day(number, (0, 40)), tmp_path / "log" / f"day={number}" / "a.parquet")
    run = fit(tmp_path / "log", ["click"], **OPTIONS)  # type: ignore[arg-type]
    (seen,) = run.metrics.data.seen
    assert seen.files == ("day=0/a.parquet", "day=1/a.parquet") and seen.num_files == 2


def test_ids_of_a_run_without_times_count_as_seen_when_times_begin(tmp_path: Path) -> None:
    """They are forgotten as late as they may have been seen last."""
    fit(day(0, (0, 40)), ["click"], out=tmp_path / "run", **OPTIONS)  # type: ignore[arg-type]
    table = written(day(5, (20, 60)), tmp_path / "today.parquet")
    found = followed(table, tmp_path / "run", tmp_path, "memory", **TIMES)
    assert users(found) == set(range(60)) and set(last_days(found).values()) == {5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget": "3d"}, "forget needs time_column"),
        ({**TIMES, "grow": False}, "forget needs grow"),
        ({**TIMES, "time_column": "price"}, "price"),
        ({"time_column": "shown_at"}, "time_column needs valid_from"),
    ],
)
def test_what_forgetting_needs(
    chain: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    table = written(day(3, (50, 80)), tmp_path / "today.parquet")
    for how in ("memory", "counted"):
        with pytest.raises(UserError, match=message):
            followed(table, chain / "run-2", tmp_path, how, **options)


@pytest.mark.parametrize("text", ["soon", "3h", "0d", "-1"])
def test_a_number_of_days_is_due(text: str) -> None:
    with pytest.raises(UserError, match="forget"):
        validate_config({"forget": text})


def of_other_columns(number: int, *names: str) -> pa.Table:
    """Ids, codes that are whole numbers, amounts that repeat, and columns that come and go."""
    drawn = np.random.default_rng(number)
    n = 13_000
    columns = {
        "user_id": drawn.integers(0, 300, n),
        "country": np.array(["DE", "FR", "IT"])[drawn.integers(0, 3, n)],
        "amount": drawn.integers(0, 90, n) * 5,
        "height": drawn.normal(number, 2, n),
        "city": np.array([f"city {c}" for c in range(40)])[drawn.integers(0, 40, n)],
        "weight": drawn.normal(70, 9, n),
        "seen": [list(map(int, row)) for row in drawn.integers(number, number + 50, (n, 3))],
        "click": drawn.integers(0, 2, n),
    }
    return pa.table({name: columns[name] for name in (*names, "click")})


LISTS = {"columns": {"sequence": ["seen"]}}
DAILY = {"epochs": 1, "baseline": "none", "intervals": False, "threads": 1, "batch_size": 2048}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Run:
    table = of_other_columns(0, "user_id", "country", "amount", "height", "weight", "seen")
    out = tmp_path_factory.mktemp("wide") / "run"
    return fit(table, ["click"], out=out, **DAILY, **LISTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("on_disk", ["never", "always"])
def test_columns_that_stay_keep_what_they_learned_and_new_ones_are_fresh(
    wide: Run, tmp_path: Path, on_disk: str
) -> None:
    """Of a day with other columns, in another order, in which the country is the same in every row."""
    table = of_other_columns(20, "city", "seen", "height", "country", "amount", "user_id")
    table = table.set_column(3, "country", pa.array(["DE"] * len(table)))
    path = written(table, tmp_path / "today.parquet")
    options = {**DAILY, **LISTS, "grow": True, "init_from": wide.config.out, "on_disk": on_disk}
    still = {"learning_rate": 1e-12, "embedding_rate": 1e-12}
    later = fit(path, ["click"], cache=tmp_path, **still, **options)  # type: ignore[arg-type]
    notes = later.metrics.data.notes
    assert "city: new to categorical, without what an earlier run learned" in notes
    assert "no inputs any more: weight" in notes
    assert not any("anew" in note for note in notes)

    def entry(run: Run, name: str, column: str) -> object:
        one = run.inputs.by_name[name]
        return getattr(one, one.by_column)[one.columns.index(column)]

    for name, column in (("numeric", "height"), ("numeric", "amount")):
        assert entry(later, name, column) == entry(wide, name, column)
    assert entry(later, "frequent_values", "amount") == entry(wide, "frequent_values", "amount")
    assert [*entry(later, "categorical", "country").values] == [  # type: ignore[attr-defined]
        *entry(wide, "categorical", "country").values  # type: ignore[attr-defined]
    ]
    for name, column in (("categorical", "country"), ("frequent_values", "amount")):
        old, new = (
            run.model.encoder.parts[name].rows_of(run.inputs.by_name[name].columns.index(column))  # type: ignore[union-attr]
            for run in (wide, later)
        )
        torch.testing.assert_close(new, old, atol=1e-8, rtol=0)
    items = [run.inputs.by_name["sequence"].tables[0].values for run in (wide, later)]  # type: ignore[attr-defined]
    assert items[1][: len(items[0])] == items[0] and set(items[1]) == set(range(70))
    # What reads x goes by its features: the columns of city alone are fresh in the first layer.
    places = {f: i for i, f in enumerate(wide.inputs.features())}
    features = later.inputs.features()
    both = [(i, places[f]) for i, f in enumerate(features) if f in places]
    assert len(both) == sum(f.column != "city" for f in features)
    mine, theirs = (run.model.trunk.experts.first.weight for run in (later, wide))
    here, there = zip(*both)
    torch.testing.assert_close(mine[:, [*here]], theirs[:, [*there]], atol=1e-8, rtol=0)


def test_numbers_of_which_a_day_has_few_stay_numbers(wide: Run) -> None:
    """Ten different whole numbers are categories by themselves; of a run that goes on they are what they were."""
    table = of_other_columns(1, "user_id", "country", "amount")
    few = table.set_column(2, "amount", pa.array(np.arange(len(table)) % 10 * 5))
    options = {**DAILY, "grow": True, "init_from": wide.config.out}
    values = {"tasks": ("click",), **options}
    config = with_preset(validate_config(values))
    assert "amount" in prepare(config, few).inputs.by_name["numeric"].columns
    fresh = with_preset(validate_config(values | {"grow": False, "init_from": None}))
    assert "amount" in prepare(fresh, few).inputs.by_name["categorical"].columns
    asked = with_preset(validate_config(values | {"categorical": ("amount",)}))
    found = prepare(asked, few)
    assert "amount" in found.inputs.by_name["categorical"].columns
    assert "amount: new to categorical, without what an earlier run learned" in found.growth


def test_an_input_whose_columns_depend_on_each_other_starts_anew(wide: Run) -> None:
    table = of_other_columns(1, "user_id", "seen").append_column(
        "bought", of_other_columns(2, "seen")["seen"]
    )
    options = {**DAILY, "grow": True, "init_from": wide.config.out, "tasks": ("click",)}
    options["columns"] = {"sequence": ["seen", "bought"]}
    found = prepare(with_preset(validate_config(options)), table)
    assert "sequence starts anew: it read seen" in found.growth


def visits(number: int, users: dict[int, int]) -> pa.Table:
    """So many rows of each user, on one day."""
    user_B = np.random.default_rng(number).permutation(np.repeat(list(users), list(users.values())))
    when = START + datetime.timedelta(days=number)
    return pa.table(
        {
            "user_id": user_B,
            "price": np.random.default_rng(number).normal(size=len(user_B)),
            "shown_at": [when] * len(user_B),
            "click": np.arange(len(user_B)) % 2,
        }
    )


BOUNDED = {"max_ids": 3, "valid_fraction": 0.0, "test_fraction": 0.0}


@pytest.mark.parametrize("how", ["memory", "whole", "counted"])
def test_max_ids_bounds_a_vocabulary_that_grows(tmp_path: Path, how: str) -> None:
    """The commonest of both days: 2 with 40 + 90, 5 with 110, 1 with 100, though not seen today. 4 is rarer, and 3 today
    too rare for an id beside others."""
    first = visits(0, {1: 100, 2: 40, 3: 95, 4: 20})
    fit(first, ["click"], out=tmp_path / "run", **OPTIONS, **BOUNDED)  # type: ignore[arg-type]
    table = written(visits(1, {2: 90, 3: 1, 4: 70, 5: 110, 6: 80}), tmp_path / "today.parquet")
    found = followed(table, tmp_path / "run", tmp_path, how, max_ids=3)
    vocabulary = found.inputs.by_name["categorical"].vocabularies[0]  # type: ignore[attr-defined]
    assert [*vocabulary.values] == [1, 2, 5]
    assert vocabulary.counts.array().tolist() == [100, 130, 110]
    assert found.growth == ("the rarest beyond 3 ids dropped: 2 of 5 ids of user_id",)
    whole = followed(table, tmp_path / "run", tmp_path, how, max_ids=9)
    assert users(whole) == {1, 2, 3, 5, 4, 6} and not whole.growth
    hashed = followed(table, tmp_path / "run", tmp_path, how, max_ids=3, hash_buckets=4)
    assert hashed.inputs.by_name["categorical"].vocabularies[0].num_ids == 3 + 2 + 4  # type: ignore[attr-defined]


def test_what_is_forgotten_makes_room_for_what_is_common(tmp_path: Path) -> None:
    """1, the commonest, is gone for three days: 2 and 5 stay, and 6 gets its place."""
    first = visits(0, {1: 100, 2: 40})
    options = {**OPTIONS, **BOUNDED, **TIMES}
    fit(first, ["click"], out=tmp_path / "run", **options)  # type: ignore[arg-type]
    table = written(visits(4, {2: 9, 5: 110, 6: 80}), tmp_path / "today.parquet")
    found = followed(table, tmp_path / "run", tmp_path, "memory", max_ids=3, **TIMES)
    assert last_days(found) == {2: 4, 5: 4, 6: 4} and len(found.growth) == 1


def titles(number: int, words: list[str], num_rows: int = 900) -> pa.Table:
    drawn = np.random.default_rng(number)
    texts = [" ".join(drawn.choice(words, 3)) for _ in range(num_rows)]
    return pa.table({"title": texts, "click": drawn.integers(0, 2, num_rows)})


@pytest.mark.parametrize("on_disk", ["never", "always"])
def test_words_that_are_new_get_rows_and_others_keep_theirs(tmp_path: Path, on_disk: str) -> None:
    """Beyond `max_words` the commonest of both days stay: of the first day's words dog is the rarest."""
    options = {**DAILY, "columns": {"text": ["title"]}, "on_disk": on_disk, "cache": tmp_path}
    first_words = ["cat", "cat", "cat", "owl", "owl", "dog"]
    tables = {
        "first": titles(0, first_words),
        "second": titles(1, ["cat", "emu", "emu", "emu", "gnu"]),
    }
    files = {name: written(table, tmp_path / f"{name}.parquet") for name, table in tables.items()}
    short = {"input_options": {"text": {"max_words": 4}}}
    first = fit(files["first"], ["click"], out=tmp_path / "run", **options, **short)  # type: ignore[arg-type]
    more = {"grow": True, "init_from": tmp_path / "run", "learning_rate": 1e-12}
    later = fit(files["second"], ["click"], **options, **short, **more)  # type: ignore[arg-type]
    known, found = (run.inputs.by_name["text"].vocabularies[0] for run in (first, later))  # type: ignore[attr-defined]
    assert [*known.values] == ["cat", "owl", "dog"]
    assert [*found.values] == ["cat", "owl", "emu", "gnu"]
    old, new = (
        run.model.encoder.parts["text"].encoders[0].embeddings.weight for run in (first, later)
    )  # type: ignore[union-attr]
    assert len(new) == 2 + 4
    torch.testing.assert_close(new[2:4], old[2:4], atol=1e-8, rtol=0)
    other = {**short, "input_options": {"text": {"unit": "characters"}}}
    anew = fit(files["second"], ["click"], **options, **other, **more)  # type: ignore[arg-type]
    assert "text starts anew: its options are others" in anew.metrics.data.notes


def clicks_by_user(number: int, users: range) -> pa.Table:
    """A day of users who click always or never; four rows of each."""
    drawn = np.random.default_rng(number)
    user_B = drawn.permutation(np.repeat(list(users), 4))
    click_B = np.where(drawn.random(len(user_B)) < 0.1, 1 - user_B % 2, user_B % 2)
    at_B = number + np.sort(drawn.random(len(user_B)))
    return pa.table({"user_id": user_B, "at": at_B, "click": click_B})


def test_a_history_counts_what_a_user_did_on_the_days_before(tmp_path: Path) -> None:
    """On the second day users who were there are known from its first row on, new ones are not."""
    parts = {"valid_fraction": 0.0, "test_from": None, "history": "user_id", "time_column": "at"}
    options = {**DAILY, **parts, "ignore": "at", "test_fraction": 0.0, "epochs": 3}
    first = clicks_by_user(0, range(200))
    fit(first, ["click"], out=tmp_path / "day-0", **{**options, "test_from": 0.99})  # type: ignore[arg-type]
    second, more = (
        clicks_by_user(1, range(100, 300)),
        {"grow": True, "init_from": tmp_path / "day-0"},
    )
    test = {"test_from": 1.99, "out": tmp_path / "day-1"}
    fit(second, ["click"], **{**options, **more, **test})  # type: ignore[arg-type]
    past = load(tmp_path / "day-1").inputs.by_name["history"]
    rows = past.observed(second.slice(0, 60)).to_pydict()  # type: ignore[attr-defined]
    counts = np.expm1(rows["user_id: rows before"]).round()
    known = np.array(second["user_id"].slice(0, 60)) < 200
    assert set(counts[known]) <= {3, 4} and not counts[~known].any()
    means = np.array(rows["user_id: mean of click before"])
    clicks = np.array(second["user_id"].slice(0, 60)) % 2 == 1
    assert means[known & clicks].mean() > means[known & ~clicks].mean() + 0.1
    third = clicks_by_user(2, range(300))
    auc = load(tmp_path / "day-1").evaluate(third)["click"]["auc"].value
    alone = fit(second, ["click"], **{**options, **test, "out": tmp_path / "alone"})  # type: ignore[arg-type]
    assert auc > alone.evaluate(third)["click"]["auc"].value + 0.05


def test_words_of_a_sample_are_counted_once(tmp_path: Path) -> None:
    """On disk a sample is prepared first; what has grown there does not grow again with the counts of all rows."""
    options = {**DAILY, "columns": {"text": ["title"]}, "valid_fraction": 0.0, "test_fraction": 0.0}
    table = titles(0, ["cat", "owl"])
    fit(table, ["click"], out=tmp_path / "run", **options)  # type: ignore[arg-type]
    today = written(titles(1, ["cat", "emu"]), tmp_path / "today.parquet")
    columns = {"columns": {"text": ["title"]}}
    first = load(tmp_path / "run").inputs.by_name["text"].vocabularies[0]  # type: ignore[attr-defined]
    found = followed(today, tmp_path / "run", tmp_path, "counted", **columns)
    vocabulary = found.inputs.by_name["text"].vocabularies[0]  # type: ignore[attr-defined]
    before, after = (
        dict(zip(each.values, each.counts.array().tolist())) for each in (first, vocabulary)
    )
    assert after["owl"] == before["owl"] and 0 < after["cat"] - before["cat"] < 3 * 150
