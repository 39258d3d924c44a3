"""Rows on disk: what goes in comes out, in random order, and a stream over them equals one in memory."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import UserError
from polytask.streams import Batch, LaneStream, RowsWriter, StoredRows
from polytask.streams.order import epoch_order


def table(num_rows: int) -> Batch:
    rows = torch.arange(num_rows)
    labels = {"click": rows.float() % 2, "like": torch.where(rows % 3 == 0, torch.nan, 1.0)}
    return Batch(
        {"numeric": rows[:, None].float() * torch.tensor([1.0, -1.0]), "ids": rows[:, None] * 7},
        labels,
        {"click": rows.float()},
        groups=rows // 4,
        rows=rows,
    )


def stored(folder: Path, rows: Batch, sizes: list[int], lane_bytes: int = 200) -> StoredRows:
    writer = RowsWriter(folder, num_rows=len(rows), seed=3, lane_bytes=lane_bytes)
    start = 0
    for size in sizes:
        writer.add(rows[start : start + size])
        start += size
    writer.add(rows[start:])
    return writer.finish()


@settings(max_examples=25, deadline=None)
@given(
    num_rows=st.integers(1, 300),
    sizes=st.lists(st.integers(0, 60), max_size=6),
    lane_bytes=st.sampled_from([8, 100, 1 << 20]),
)
def test_every_row_comes_out_once_with_all_that_belongs_to_it(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, sizes: list[int], lane_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("store") / "train"
    whole = table(num_rows)
    found = stored(folder, whole, sizes, lane_bytes)[0:num_rows]
    assert found.rows is not None
    back = found[found.rows.argsort()]
    for mine, theirs in zip(back.storages(), whole.storages(), strict=True):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, equal_nan=True, rtol=0, atol=0)


def test_any_run_is_a_sample_of_a_sorted_table(tmp_path: Path) -> None:
    """A run of a sorted table has rows of one part of it; a run of the stored rows of all parts."""
    rows = stored(tmp_path / "train", table(8000), [500] * 15, lane_bytes=8000)
    found = rows[1000:1400].rows
    assert found is not None
    counts = np.bincount(found.numpy() * 8 // 8000, minlength=8)
    # 400 draws over 8 equal parts: 50 each, with a deviation of 6.6.
    assert counts.min() > 50 - 4 * 6.6 and counts.max() < 50 + 4 * 6.6


def test_a_stream_over_stored_rows_equals_one_over_the_same_rows_in_memory(tmp_path: Path) -> None:
    on_disk = stored(tmp_path / "train", table(500), [90, 130])
    there = LaneStream(on_disk, 32, window_rows=96)
    here = LaneStream(on_disk[0:500], 32, window_rows=96)
    for index in (0, 7, 3, 15, 14):
        mine, theirs = there.batch(1, 2, index), here.batch(1, 2, index)
        for left, right in zip(mine.storages(), theirs.storages(), strict=True):
            torch.testing.assert_close(left, right, equal_nan=True, rtol=0, atol=0)


def test_rows_meet_others_in_every_epoch() -> None:
    """Which 64 rows share a window changes: the cuts between blocks move, not their order alone."""
    stream = LaneStream(table(1024), 16, window_rows=64)
    together: Counter[tuple[int, int]] = Counter()
    for epoch in range(8):
        for window in range(16):
            found = [stream.batch(0, epoch, 4 * window + k).rows for k in range(4)]
            near = {row for rows in found if rows is not None for row in rows.tolist()}
            together.update((row, row + 1) for row in near if row + 1 in near)
    # Blocks of 4 rows of a lane: neighbours are parted by a cut in every fourth epoch.
    assert sum(count == 8 for count in together.values()) < 0.25 * len(together)
    firsts = [tuple(stream.batch(0, epoch, 0).rows.tolist()) for epoch in range(4)]  # type: ignore[union-attr]
    assert len(set(firsts)) == 4


def test_an_epoch_is_as_mixed_as_a_permutation_of_all_rows(tmp_path: Path) -> None:
    """Each batch of a table sorted by its label has as many of each half as by a full shuffle."""

    def spread(batches: list[torch.Tensor]) -> float:
        return float(np.std([(rows < 2048).float().mean().item() for rows in batches]))

    on_disk = stored(tmp_path / "train", table(4096), [512] * 8, lane_bytes=4096)
    stream = LaneStream(on_disk, 64, window_rows=512)
    mine = [stream.batch(0, 0, index).rows for index in range(64)]
    whole = list(torch.split(epoch_order(4096, seed=0, epoch=0), 64))
    sorted_rows = list(torch.split(torch.arange(4096), 64))
    assert spread(sorted_rows) > 0.4
    assert spread([rows for rows in mine if rows is not None]) < 1.5 * spread(whole)


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_rank_reads_its_share_alone(tmp_path: Path, ranks: int) -> None:
    stored(tmp_path / "train", table(20_000), [5000] * 3)
    bytes_read = []
    for rank in range(ranks):
        rows = StoredRows.open(tmp_path / "train")
        stream = LaneStream(rows, 128, window_rows=2048)
        for index in range(stream.num_batches(0)):
            stream.batch(0, 0, index, part=(rank, ranks))
        bytes_read.append(rows.bytes_read)
    whole = 20_000 * rows.listing.row_bytes
    assert max(bytes_read) < whole * (1 / ranks + 0.05)


@pytest.mark.parametrize("batch_size", [96, 100])
def test_a_batch_across_two_windows_reads_neither_again(tmp_path: Path, batch_size: int) -> None:
    rows = stored(tmp_path / "train", table(5000), [5000])
    stream = LaneStream(rows, batch_size, window_rows=256)
    for index in range(stream.num_batches(0)):
        stream.batch(0, 0, index)
    assert rows.bytes_read == 5000 * rows.listing.row_bytes


def test_half_a_store_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no rows"):
        StoredRows.open(tmp_path)
    rows = stored(tmp_path / "train", table(50), [20])
    path = rows.folder / "labels.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cut short"):
        StoredRows.open(rows.folder)


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    rows = stored(tmp_path / "train", table(50), [20])
    assert len(rows[0:50]) == 50
    with (rows.folder / "labels.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(UserError, match="shorter"):
        rows[0:50]


def test_files_are_numpys_own(tmp_path: Path) -> None:
    rows = stored(tmp_path / "train", table(50), [20])
    ids = np.load(rows.folder / "input-ids.npy", allow_pickle=False)
    assert ids.shape == (50, 1) and ids.dtype == np.int32
