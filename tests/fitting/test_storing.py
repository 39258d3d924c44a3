"""Tables on disk: what is fitted and which rows are in which part is the same as in memory."""

import datetime
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import polytask
from polytask.config import FitConfig, validate_config
from polytask.config.presets import with_preset
from polytask.data.derive import parse_derivation
from polytask.data.derive.necessary import necessary
from polytask.data.options import ReadOptions
from polytask.data.readers import open_scan
from polytask.data.scans import Scan
from polytask.errors import UserError
from polytask.fitting.preparing.prepare import Prepared, prepare
from polytask.fitting.preparing.where import matching, matching_scan
from polytask.fitting.run_folder.predicting import evaluated_in_pieces
from polytask.fitting.storing import pieces
from polytask.fitting.storing.choosing import prepare_table
from polytask.fitting.storing.preparing import prepare_on_disk
from polytask.fitting.storing.sampling import write_sample
from polytask.streams import Batch

NUM_ROWS = 3000


def log(num_rows: int = NUM_ROWS, seed: int = 0) -> pa.Table:
    """A log sorted by time: ids of a long tail, text, numbers with gaps, weights, three labels."""
    drawn = np.random.default_rng(seed)
    user_B = np.minimum(drawn.zipf(1.3, num_rows), 400)
    city_B = drawn.integers(0, 60, num_rows) ** 2 // 60
    watch_B = np.exp(drawn.normal(2, 1, num_rows)) * (1 + (user_B < 5))
    click_B = drawn.random(num_rows) < np.where(user_B < 10, 0.5, 0.2)
    start = datetime.datetime(2026, 1, 1)
    return pa.table(
        {
            "user_id": user_B,
            "city": [None if c % 7 == 3 else f"city {c}" for c in city_B],
            "age": np.where(drawn.random(num_rows) < 0.1, np.nan, drawn.normal(40, 9, num_rows)),
            "price": drawn.gamma(2.0, 10.0, num_rows),
            "when": [start + datetime.timedelta(minutes=int(m)) for m in range(num_rows)],
            "weight": drawn.integers(1, 4, num_rows).astype(float),
            "click": click_B.astype(int),
            "like": [
                None if row % 5 == 0 else ("yes" if c and row % 3 else "no")
                for row, c in enumerate(click_B)
            ],
            "watch": watch_B,
        }
    )


def written(folder: Path, table: pa.Table, cuts: tuple[int, ...] = ()) -> Path:
    folder.mkdir()
    for number, (start, stop) in enumerate(zip((0, *cuts), (*cuts, table.num_rows))):
        part = table.slice(start, stop - start)
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=700)
    return folder


def config_of(table: Path, tmp_path: Path, **options: object) -> FitConfig:
    values = {
        "table": table,
        "tasks": ("click:binary", "like:binary", "watch:regression"),
        "cache": tmp_path / "cache",
        "on_disk": "always",
        **options,
    }
    return with_preset(validate_config(values))


def rows_of(batch: Batch | None) -> list[tuple[float, ...]]:
    """What the rows hold, whatever their order."""
    if batch is None:
        return []
    columns = [batch.inputs[name].double().flatten(1) for name in sorted(batch.inputs)]
    columns += [
        each.double()[:, None] for each in (*batch.labels.values(), *batch.weights.values())
    ]
    return sorted(map(tuple, torch.cat(columns, dim=1).nan_to_num(-99).tolist()))


def require_same(on_disk: Prepared, in_memory: Prepared) -> None:
    assert on_disk.stored is not None
    assert on_disk.inputs.to_json() == in_memory.inputs.to_json()
    assert on_disk.targets == in_memory.targets
    assert on_disk.label_counts == in_memory.label_counts
    assert on_disk.leaks == in_memory.leaks
    assert on_disk.schema == in_memory.schema
    assert on_disk.split == in_memory.split
    assert on_disk.unknown_classes == in_memory.unknown_classes
    left_out = {"on_disk", "cache"}
    assert on_disk.config.model_dump(exclude=left_out) == in_memory.config.model_dump(
        exclude=left_out
    )
    stored = on_disk.stored[0 : len(on_disk.stored)]
    for mine, theirs in (
        (stored, in_memory.train),
        (on_disk.valid, in_memory.valid),
        (on_disk.test, in_memory.test),
    ):
        assert rows_of(mine) == rows_of(theirs)


SPLITS: Mapping[str, Mapping[str, object]] = {
    "at random": {},
    "no test": {"test_fraction": 0.0},
    "by key": {"split_by": "user_id", "valid_fraction": 0.2, "test_fraction": 0.2},
    "by time": {"time_column": "when", "valid_from": "2026-01-02", "test_from": "2026-01-02T16:00"},
    "by time, validated at random": {"time_column": "when", "test_from": "2026-01-02T16:00"},
    "rows that meet a formula": {
        "derive": ("ratio = price / age",),
        "where": "ratio > 0.2 and user_id < 300",
        "time_column": "when",
        "test_from": "2026-01-02T16:00",
    },
    "with weights, groups and a derived column": {
        "weight": {"click": "weight"},
        "group": "user_id",
        "derive": ("ratio = price / age", "dear = price > 30"),
        "split_by": "user_id",
        "split_seed": 4,
        "missing": ("city=city 0",),
    },
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=[*SPLITS])
def test_a_table_that_is_its_own_sample_is_prepared_as_in_memory(
    tmp_path: Path, split: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 500)
    folder = written(tmp_path / "log", log(), (900, 900, 1601))
    config = config_of(folder, tmp_path, **split)
    require_same(prepare_table(config), prepare(config))
    # And once more, from the store.
    require_same(prepare_table(config), prepare(config))


def test_tables_of_their_own_for_validation_and_test(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())
    pq.write_table(log(400, seed=1), tmp_path / "valid.parquet")
    log(300, seed=2).to_pandas().to_csv(tmp_path / "test.csv", index=False)
    own = {"valid": tmp_path / "valid.parquet", "test": tmp_path / "test.csv"}
    config = config_of(folder, tmp_path, **own)
    require_same(prepare_table(config), prepare(config))


@pytest.mark.parametrize("split", SPLITS.values(), ids=[*SPLITS])
def test_of_a_sample_vocabularies_counts_and_parts_are_those_of_all_rows(
    tmp_path: Path, split: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 256)
    folder = written(tmp_path / "log", log(), (1000,))
    config = config_of(folder, tmp_path, **split)
    scan = open_scan(folder)
    assert scan is not None
    on_disk = prepare_on_disk(config, scan, named={}, sample_rows=800)
    in_memory = prepare(config)
    mine, theirs = on_disk.inputs.by_name, in_memory.inputs.by_name
    assert mine["categorical"] == theirs["categorical"]
    assert on_disk.label_counts == in_memory.label_counts
    assert on_disk.stored is not None and len(on_disk.stored) == len(in_memory.train)
    # The sample is of all parts alike.
    parts = (in_memory.train, in_memory.valid, in_memory.test)
    share = len(in_memory.train) / sum(len(part) for part in parts if part is not None)
    assert abs(len(on_disk.train) - 800 * share) < 4 * (800 * share * (1.01 - share)) ** 0.5
    stored = on_disk.stored[0 : len(on_disk.stored)]
    for part, whole in ((stored, in_memory.train), (on_disk.valid, in_memory.valid)):
        assert (part is None) == (whole is None)
        if part is not None and whole is not None:
            ids = [batch.inputs["categorical"].tolist() for batch in (part, whole)]
            assert sorted(ids[0]) == sorted(ids[1])
    assert any("drawn at random" in note for note in on_disk.notes)
    scale, due = (each["numeric"].scales[0] for each in (mine, theirs))  # type: ignore[attr-defined]
    assert scale.mean == pytest.approx(due.mean, abs=4 * due.std / 800**0.5)


def test_a_fit_on_disk_trains_reports_and_predicts(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())
    options = {"on_disk": "always", "cache": tmp_path / "cache", "epochs": 2, "group": "user_id"}
    tasks = ["click:binary", "watch:regression"]
    run = polytask.fit(folder, tasks, out=tmp_path / "run", **options)  # type: ignore[arg-type]
    assert (tmp_path / "run" / "report.html").is_file()
    assert run.metrics.speed.train_rows == NUM_ROWS - 600
    assert run.metrics.data.rows == {"train": 2400, "valid": 300, "test": 300}
    assert len(run.predict(log(20))) == 20
    # The same command finds the encoded rows, and ends with the same weights.
    stores = sorted((tmp_path / "cache").iterdir())
    again = polytask.fit(folder, tasks, out=tmp_path / "again", **options)  # type: ignore[arg-type]
    assert sorted((tmp_path / "cache").iterdir()) == stores
    for mine, theirs in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_table_in_memory_goes_to_disk_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = polytask.fit(log(), ["click:binary"], on_disk="always", epochs=1, baseline="none")
    assert run.metrics.speed.train_rows == 2400
    del run
    import gc

    gc.collect()
    assert [*tmp_path.iterdir()] == []


def test_other_options_make_another_store_and_others_do_not(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())

    def stores() -> int:
        return len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()])

    prepare_table(config_of(folder, tmp_path))
    prepare_table(
        config_of(folder, tmp_path, trunk="ple", learning_rate=0.1, balancer="uncertainty")
    )
    assert stores() == 1
    prepare_table(config_of(folder, tmp_path, min_count=3))
    assert stores() == 2
    pq.write_table(log(50), folder / "part-1.parquet")
    assert prepare_table(config_of(folder, tmp_path)).num_train == 2440
    assert stores() == 3


def test_a_build_that_fails_leaves_nothing_and_the_next_one_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "log", log())
    config = config_of(folder, tmp_path)
    monkeypatch.setattr("polytask.fitting.storing.preparing.write_rows", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_table(config)
    assert [*(tmp_path / "cache").iterdir()] == []
    monkeypatch.undo()
    # A kill leaves the folder of a process that is gone.
    name = "store-" + "0" * 24
    left = tmp_path / "cache" / f"{name}.part-99999999-abc"
    left.mkdir()
    monkeypatch.setattr("polytask.fitting.storing.preparing.name_of", lambda *_: name)
    prepare_table(config)
    found = [each.name for each in (tmp_path / "cache").iterdir()]
    assert [each for each in found if not each.endswith(".alias")] == [name]


def test_what_needs_all_rows_in_memory_is_refused_in_words(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())
    history = {"history": ("user_id",), "time_column": "when", "test_from": "2026-01-02"}
    with pytest.raises(UserError, match=r"history.*on_disk='never'"):
        prepare_table(config_of(folder, tmp_path, **history))
    log().to_pandas().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(UserError, match="Convert it once"):
        prepare_table(config_of(tmp_path / "log.csv", tmp_path))


def test_bad_values_are_placed_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 1000)
    table = log()
    price = table["price"].to_numpy().copy()
    price[2500] = np.inf
    table = table.set_column(table.column_names.index("price"), "price", pa.array(price))
    folder = written(tmp_path / "log", table)
    scan = open_scan(folder)
    assert scan is not None
    with pytest.raises(UserError, match=r"infinite in .*\(counted from row 2,000 of the table\)"):
        prepare_on_disk(config_of(folder, tmp_path), scan, named={}, sample_rows=200)


def test_what_a_piece_cannot_derive_is_placed_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 10)
    table = pa.table({"length": ["1"] * 25 + ["long"] * 5})
    derivations = [parse_derivation("twice = length * 2")]
    reader = pieces.PieceReader(Scan.of_table(table), derivations, ReadOptions())
    with pytest.raises(UserError, match=r"(?s)takes numbers.*\(counted from row 20 of the table\)"):
        list(reader.tables(["twice"]))


def test_an_empty_part_and_a_full_disk_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "log", log())
    late = {"time_column": "when", "test_from": "2027-01-01"}
    with pytest.raises(UserError, match="no row for test"):
        prepare_table(config_of(folder, tmp_path, **late))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="cache clear"):
        prepare_table(config_of(folder, tmp_path))


def test_a_file_that_changes_while_it_is_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "log", log())

    def changing(*args: object, **options: object) -> None:
        write_sample(*args, **options)  # type: ignore[arg-type]
        pq.write_table(log(seed=5), folder / "part-0.parquet", row_group_size=700)

    monkeypatch.setattr("polytask.fitting.storing.preparing.write_sample", changing)
    with pytest.raises(UserError, match="changed while it was read"):
        prepare_table(config_of(folder, tmp_path))


@pytest.mark.parametrize("on_disk", ["always", "never"])
def test_a_broken_file_among_many_is_named_or_left_out(tmp_path: Path, on_disk: str) -> None:
    folder = written(tmp_path / "log", log(), (1000, 2000))
    (folder / "part-1.parquet").write_bytes((folder / "part-1.parquet").read_bytes()[:-200])
    with pytest.raises(UserError, match=r"part-1.parquet is cut short.*on_bad_file='skip'"):
        prepare_table(config_of(folder, tmp_path, on_disk=on_disk))
    prepared = prepare_table(config_of(folder, tmp_path, on_disk=on_disk, on_bad_file="skip"))
    assert prepared.num_train == 1600
    assert any("1 of 3 files left out" in note for note in prepared.notes)


def test_files_of_other_types_are_widened_and_an_empty_one_is_read(tmp_path: Path) -> None:
    """Integers of two widths, a column that a file lacks, one that is all missing, a file of no rows."""
    folder = tmp_path / "log"
    folder.mkdir()
    whole = log()
    narrow = whole.slice(0, 1000).set_column(
        0, "user_id", whole["user_id"].slice(0, 1000).cast(pa.int32())
    )
    lacking = whole.slice(1000, 1000).drop_columns(["price"])
    missing = whole.slice(2000, 1000).set_column(1, "city", pa.nulls(1000))
    for number, part in enumerate((narrow, lacking, whole.slice(0, 0), missing)):
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=300)
    config = config_of(folder, tmp_path)
    require_same(prepare_table(config), prepare(config))


def test_a_formula_that_no_row_meets_or_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())
    refused = {
        "price > 1e9": "no row of 3,000 rows meets it",
        "price + 1": "a comparison is due",
        "prise > 1": "did you mean 'price'",
    }
    for on_disk in ("always", "never"):
        for where, message in refused.items():
            with pytest.raises(UserError, match=message):
                prepare_table(config_of(folder, tmp_path, on_disk=on_disk, where=where))


def test_a_store_is_of_the_folders_that_its_files_are_in(tmp_path: Path) -> None:
    """A day's file that is moved to another day's folder, with its time, is another row's day."""
    day = tmp_path / "log" / "day=1"
    day.mkdir(parents=True)
    pq.write_table(log(), day / "part.parquet")
    scan = open_scan(tmp_path / "log")
    assert scan is not None
    before = scan.fingerprint()
    day.rename(tmp_path / "log" / "day=2")
    moved = open_scan(tmp_path / "log")
    assert moved is not None and moved.fingerprint() != before


def test_a_store_that_grows_is_of_the_run_that_it_grows_from(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", log())
    options = {"grow": True, "init_from": tmp_path / "run"}
    values = []
    for price in (1.0, 3.0):
        earlier = log().set_column(3, "price", pa.array(log()["price"].to_numpy() * price))
        polytask.fit(
            earlier,
            ["click", "like", "watch:regression"],
            epochs=1,
            baseline="none",
            out=tmp_path / "run",
            overwrite=True,
        )
        on_disk = prepare_table(config_of(folder, tmp_path, **options))
        values.append(on_disk.inputs.by_name["numeric"])
    assert values[0] != values[1]


def test_all_test_rows_are_scored_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics, gains and counts of a test that is larger than what is scored at once."""
    table = log()
    folder = written(tmp_path / "log", table)
    options = {"on_disk": "always", "cache": tmp_path / "cache", "epochs": 2}
    options |= {"split_by": "user_id", "test_fraction": 0.5, "group": "user_id"}
    tasks = [
        "click:binary",
        {"name": "like", "column": "like", "given": "click"},
        "watch:regression",
    ]
    whole = polytask.fit(folder, tasks, **options)  # type: ignore[arg-type]
    for module in ("fitting.comparing.spool", "fitting.storing.preparing"):
        monkeypatch.setattr(f"polytask.{module}.PART_ROWS", 400)
    monkeypatch.setattr("polytask.fitting.comparing.comparison.PREDICTED_ROWS", 300)
    parted = polytask.fit(folder, tasks, **options)  # type: ignore[arg-type]
    assert parted.metrics.data.rows == whole.metrics.data.rows
    for name, due in whole.metrics.tasks.items():
        mine = parted.metrics.tasks[name]
        assert mine.multi.test is not None and due.multi.test is not None
        counts = ("num_rows", "num_unlabelled", "num_positive", "num_groups")
        for each in counts:
            assert getattr(mine.multi.test, each) == getattr(due.multi.test, each)
        assert any("random parts" in note for note in mine.multi.test.notes) == (name == "watch")
        for found, expected in zip(mine.multi.test.all_metrics(), due.multi.test.all_metrics()):
            assert found.name == expected.name
            if found.name.endswith(("log_loss", "mae")):
                assert found.value == pytest.approx(expected.value, rel=1e-6)
            if found.name == "auc":
                assert found.value == pytest.approx(expected.value, abs=1e-9)
        assert {gain.name for gain in mine.gains} == {gain.name for gain in due.gains}


WHERE = {
    "user_id < 30": 1,
    "when >= '2026-01-03'": 0.5,
    "3000 > row and row >= 2500 and city == 'city 1'": 0.3,
    "row in [5, 1200]": 0.5,
    "row == 7 or row > 2900": 0.6,
    "row < 100 or age > 30": 1,
    "row + 0 < 100": 1,
}


@pytest.mark.parametrize("where", WHERE)
def test_a_formula_reads_the_row_groups_that_it_needs(tmp_path: Path, where: str) -> None:
    """The same rows as of the whole table, and of the file no more than a share of its rows is decoded."""
    table = log().append_column("row", pa.array(range(NUM_ROWS)))
    folder = written(tmp_path / "log", table, (1501,))
    scan = open_scan(folder)
    assert scan is not None and scan.narrowed is not None
    due = matching(table, where)
    narrow = matching_scan(scan, where, (), ReadOptions())
    found = pa.concat_tables(narrow.pieces(table.column_names))
    assert found["row"].to_pylist() == due["row"].to_pylist() and narrow.num_rows == due.num_rows
    condition = necessary(where, scan.schema, derived=())
    read = scan if condition is None else scan.narrowed(condition)
    num_read = sum(piece.num_rows for piece in read.pieces(["row"]))
    assert num_read <= WHERE[where] * NUM_ROWS
    assert (num_read == NUM_ROWS) == (WHERE[where] == 1)


def test_ids_of_the_table_that_look_like_one_a_row_in_the_sample_are_ids(tmp_path: Path) -> None:
    """Each session twice, far apart: a sample of a few rows sees hardly one of them again."""
    session = np.random.default_rng(0).permutation(np.arange(NUM_ROWS) // 2)
    table = log().append_column("session_id", pa.array([f"s{each}" for each in session]))
    table = table.append_column("request_id", pa.array([f"r{row}" for row in range(NUM_ROWS)]))
    config = config_of(written(tmp_path / "log", table), tmp_path)
    for _ in range(2):
        scan = open_scan(tmp_path / "log")
        assert scan is not None
        prepared = prepare_on_disk(config, scan, named={}, sample_rows=200)
        assert "session_id" in prepared.inputs.by_name["categorical"].columns
        assert prepared.config.categorical == ("session_id",)
        assert "request_id" in {column.name for column in prepared.schema.unused}
        assert any("session_id: ids" in note for note in prepared.notes)


def test_a_table_is_evaluated_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "log", log())
    run = polytask.fit(folder, ["click:binary", "watch:regression"], epochs=1, baseline="none")
    other = written(tmp_path / "other", log(2000, seed=3).drop_columns(["watch"]))
    due = evaluated_in_pieces(run, other)
    monkeypatch.setattr("polytask.fitting.comparing.spool.PART_ROWS", 700)
    monkeypatch.setattr("polytask.fitting.run_folder.predicting.PART_ROWS", 700)
    monkeypatch.setattr("polytask.fitting.run_folder.predicting._PIECE_ROWS", 300)
    found = evaluated_in_pieces(run, other)
    assert found["click"].num_rows == due["click"].num_rows == 2000
    assert not any("random parts" in note for note in found["click"].notes)
    log_loss = due["click"]["log_loss"].value
    assert found["click"]["log_loss"].value == pytest.approx(log_loss, rel=1e-6)
    assert found["click"]["auc"].value == pytest.approx(due["click"]["auc"].value, abs=1e-12)
    assert any("lacks column 'watch'" in note for note in found["watch"].notes)
