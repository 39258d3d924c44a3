"""Tables at addresses: files, folders, hive partitions and patterns, in memory's file system and on disk."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polytask.data.readers import open_scan, read_table
from polytask.errors import UserError


@pytest.fixture(params=["memory", "file"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a folder with two days, a hidden file, and a file that is no table."""
    address = "memory://bucket/log" if request.param == "memory" else f"file://{tmp_path}/log"
    filesystem, root = fsspec.core.url_to_fs(address)
    for day, rows in (("2026-01-01", [1, 2]), ("2026-01-02", [3])):
        folder = f"{root}/day={day}"
        filesystem.makedirs(folder, exist_ok=True)
        with filesystem.open(f"{folder}/part.parquet", "wb") as file:
            pq.write_table(pa.table({"x": rows, "name": ["a"] * len(rows)}), file)
    for name in ("_SUCCESS.parquet", "notes.txt"):
        filesystem.pipe_file(f"{root}/{name}", b"nothing")
    yield address
    if request.param == "memory":
        filesystem.rm(root, recursive=True)


def test_a_folder_is_its_files_with_the_folders_as_columns(base: str) -> None:
    for address in (base, f"{base}/", Path(base)):
        table = read_table(address)
        assert table["x"].to_pylist() == [1, 2, 3]
        assert [str(day) for day in table["day"].to_pylist()] == ["2026-01-01"] * 2 + ["2026-01-02"]


def test_a_file_and_a_pattern(base: str) -> None:
    assert read_table(f"{base}/day=2026-01-02/part.parquet")["x"].to_pylist() == [3]
    assert read_table(f"{base}/day=*/part.parquet")["x"].to_pylist() == [1, 2, 3]
    several = [f"{base}/day=2026-01-0{n}/part.parquet" for n in (2, 1)]
    assert read_table(several)["x"].to_pylist() == [3, 1, 2]


def test_in_pieces_and_as_a_whole_it_is_the_same(base: str) -> None:
    scan = open_scan(base)
    assert scan is not None and scan.num_rows == 3
    pieces = [read_table(piece) for piece in scan.batches(scan.names, 2)]
    assert pa.concat_tables(pieces, promote_options="permissive") == read_table(base)
    before = scan.fingerprint()
    filesystem, root = fsspec.core.url_to_fs(base)
    with filesystem.open(f"{root}/day=2026-01-02/part.parquet", "wb") as file:
        pq.write_table(pa.table({"x": [3, 4], "name": ["a", "b"]}), file)
    assert scan.fingerprint() != before


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow, since Arrow asks again for some seconds."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "wrong")
    # Nobody listens there.
    refused = "s3://bucket/log?endpoint_override=127.0.0.1:1&scheme=http&region=x"
    with pytest.raises(UserError, match="s3://bucket/log"):
        read_table(refused)


def test_dates_of_folders_are_read_as_written(base: str) -> None:
    found = read_table(base)["day"].to_pylist()[0]
    assert found == "2026-01-01" or found == datetime.date(2026, 1, 1)
