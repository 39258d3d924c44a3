"""Lists: their entries, tables and items, target attention against its formula, and what is wrong with them."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from polytask.errors import UserError
from polytask.inputs import Categories, Sequences
from polytask.inputs.sequence_attention import TargetAttention
from polytask.inputs.sequence_encoder import PaddedEmbedding
from polytask.inputs.sequence_lists import Bins, entries_of

TABLE = pa.table(
    {
        "seen": pa.array([[7, 8, 7], [], None, [None, 9, 7]], pa.list_(pa.int16())),
        "item": [7, 8, None, 7],
        "tags": [["x"], ["y", "x"], None, []],
        "spent": [[0.5, 1.5], None, [2.5], [3.5, 0.5]],
    }
)


@pytest.mark.parametrize(
    "dtype", [pa.list_(pa.int16()), pa.large_list(pa.int64()), pa.list_(pa.float32())]
)
def test_entries_of_lists_of_any_type(dtype: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([[1, None], None], dtype), pa.array([[], [2, 3]], dtype)])
    found = entries_of(column, "")
    assert found.values_N.to_pylist() == [1, 2, 3]
    assert pa.types.is_int64(found.values_N.type)
    assert found.lengths_B.tolist() == [1, 0, 0, 2]
    assert found.num_null == 1


def test_entries_of_a_slice_of_fixed_lists_and_of_plain_columns() -> None:
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))
    found = entries_of(pa.chunked_array([fixed.slice(1)]), "")
    assert (found.values_N.to_pylist(), found.lengths_B.tolist()) == ([3, 4], [0, 2])
    plain = entries_of(pa.chunked_array([[5.0, None, float("nan")]]), "")
    assert (plain.values_N.to_pylist(), plain.lengths_B.tolist()) == ([5], [1, 0, 0])
    with pytest.raises(UserError, match=r"column 'when' holds timestamp.*are read"):
        entries_of(pa.chunked_array([pa.array([0], pa.timestamp("s"))]), "column 'when'")


def test_lists_and_the_item_share_a_vocabulary() -> None:
    fitted = Sequences.fit(TABLE, ["seen", "item", "tags", "spent"], min_count=1)
    assert fitted.table_of == (0, 0, 1, 2) and fitted.item == 1
    assert fitted.tables[0].values == (7, 8, 9)
    assert fitted.tables[1].values == ("x", "y")
    assert fitted.encode(TABLE)[:, 0].tolist() == [[2, 3, 2], [0, 0, 0], [0, 0, 0], [4, 2, 0]]
    assert fitted.encode(TABLE)[:, 1, 0].tolist() == [2, 3, 0, 2]
    own = Sequences.fit(TABLE, ["seen", "item", "tags"], shared=False)
    some = Sequences.fit(TABLE, ["seen", "item", "tags"], shared=("seen", "item"))
    assert (own.table_of, some.table_of) == ((0, 1, 2), (0, 0, 1))


def test_of_a_long_list_the_last_entries_are_read_and_it_is_counted() -> None:
    fitted = Sequences.fit(TABLE, ["seen"], max_length=2, min_count=1)
    assert fitted.encode(TABLE)[0, 0].tolist() == [3, 2]
    assert fitted.notes(TABLE) == [
        "seen: 1 null in lists left out",
        "seen: of 1 list only the last 2 are read",
    ]
    later = pa.table({"seen": pa.array([[99, 8]], pa.list_(pa.int64()))})
    assert fitted.encode(later)[0, 0].tolist() == [1, 3]


def test_numbers_are_bins_with_as_many_values() -> None:
    values = pa.chunked_array([np.random.default_rng(0).exponential(size=1000)])
    bins = Bins.fit(values, "", num_bins=8)
    counts = np.bincount(bins.encode(values, ""), minlength=bins.num_ids)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2:].tolist() == [125] * 8
    assert Bins.fit(pa.chunked_array([[3.0, 3.0]]), "", num_bins=8).num_ids == 3
    assert Bins.fit(pa.chunked_array([pa.array([], pa.float64())]), "", num_bins=8).num_ids == 3
    as_numbers = Sequences.fit(TABLE, ["seen"], numbers=("seen",), num_bins=2)
    assert as_numbers.tables == (Bins((7.0,)),) or isinstance(as_numbers.tables[0], Bins)
    with pytest.raises(UserError, match="must rise"):
        Bins((2.0, 1.0))


def test_target_attention_is_a_weighted_sum() -> None:
    """Zhou et al. (2018), eq. 3, entry by entry."""
    torch.manual_seed(0)
    attention, lengths = TargetAttention(4, hidden=5), (3, 0, 1)
    x_BLK, item_BK = torch.randn(3, 3, 4), torch.randn(3, 4)
    is_entry_BL = torch.arange(3) < torch.tensor(lengths).unsqueeze(1)
    found_BK = attention(x_BLK, is_entry_BL, item_BK)
    for row, length in enumerate(lengths):
        expected_K = torch.zeros(4)
        for e_K in x_BLK[row, :length]:
            v_K = item_BK[row]
            weight = attention.unit(torch.cat([e_K, v_K, e_K - v_K, e_K * v_K]))
            expected_K = expected_K + weight * e_K
        torch.testing.assert_close(found_BK[row], expected_K)


def test_attention_reads_the_item_in_the_lists_of_its_table_alone() -> None:
    fitted = Sequences.fit(TABLE, ["seen", "item", "tags"], encoder="attention", min_count=1)
    assert [fitted.attends(c) for c in (0, 2)] == [True, False]
    module, ids = fitted.module(), fitted.encode(TABLE)
    dim = fitted.embedding_dim
    other = ids.clone()
    other[0, 1, 0] = 4
    change = (module(ids) - module(other)).abs()
    assert (change[0, : 2 * dim].reshape(2, dim) > 0).any(dim=1).all()
    assert (change[0, 2 * dim :] == 0).all() and (change[1:] == 0).all()
    names = [feature.what for feature in fitted.features()[::dim]]
    assert names == [f"embedding 1 of {dim}", f"attention 1 of {dim}", f"mean 1 of {dim}"]


def test_the_item_and_the_lists_train_one_table() -> None:
    fitted = Sequences.fit(TABLE, ["seen", "item"], encoder="mean", min_count=1)
    module = fitted.module()
    (table,) = (m for m in module.modules() if isinstance(m, nn.Embedding))
    module(fitted.encode(TABLE.slice(1, 1))).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [3]


def test_lengths_are_for_modules_whose_cost_goes_by_them() -> None:
    for encoder, columns, expected in (
        ("gru", ["seen"], [3, 0, 0, 2]),
        ("mean", ["seen"], None),
        (None, ["seen", "item"], [3, 1, 0, 2]),
    ):
        fitted = Sequences.fit(TABLE, columns, encoder=encoder)
        lengths = fitted.lengths(fitted.encode(TABLE))
        assert (None if lengths is None else lengths.tolist()) == expected


def test_a_warm_start_goes_by_value() -> None:
    """The same ids in another order, and one of them new: rows move with their values."""
    old = Sequences.fit(TABLE, ["seen", "item"], min_count=1)
    later = pa.table({"seen": [[9, 9, 5], [8]], "item": [9, 8]})
    new = Sequences.fit(later, ["seen", "item"], min_count=1, embedding_dim=old.embedding_dim)
    assert new.tables[0].values == (9, 8, 5)
    module, earlier = new.module(), old.module()
    with torch.no_grad():
        for parameter in earlier.parameters():
            parameter.normal_()
    fresh_5 = module.embeddings[0].weight[4].clone()
    assert new.carry(module, old, earlier) > 4
    mine, theirs = module.embeddings[0].weight, earlier.embeddings[0].weight
    assert torch.equal(mine[[0, 1, 2, 3]], theirs[[0, 1, 4, 3]])
    assert torch.equal(mine[4], fresh_5)
    assert torch.equal(module.poolings[0].unit[0].weight, earlier.poolings[0].unit[0].weight)
    assert isinstance(module.embeddings[0], PaddedEmbedding)
    other = Categories.fit(TABLE, ["item"])
    assert new.carry(module, other, other.module()) == 0


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (["item"], {}, "lists and at most one plain column"),
        (["seen", "item", "other"], {}, "lists and at most one plain column, .*item, other"),
        (["seen"], {"encoder": "attention"}, "name its column among them"),
        (["seen"], {"shared": ("sen",)}, "'sen' is no such column - did you mean 'seen'"),
        (["seen"], {"numbers": ("item",)}, "'item' is no such column"),
        (["tags"], {"numbers": ("tags",)}, "'tags'.*where numbers are due|numbers"),
        (["seen"], {"max_length": 0}, "must be positive"),
        (["seen"], {"encoder": "transformer", "width": 10}, "not a multiple of num_heads"),
    ],
)
def test_options_that_do_not_fit(
    columns: list[str], options: dict[str, object], message: str
) -> None:
    table = TABLE.append_column("other", TABLE["item"])
    with pytest.raises(UserError, match=message):
        Sequences.fit(table, columns, **options)


@pytest.mark.parametrize(
    "damage",
    [
        *({"longest": 0}, {"embedding_dim": 0}, {"table_of": [0]}, {"table_of": [0, 5]}),
        *({"item": 7}, {"tables": []}, {"tables": [{"edges": [2.0, 1.0]}]}),
    ],
)
def test_a_damaged_record_is_refused(damage: dict[str, object]) -> None:
    fitted = Sequences.fit(TABLE, ["seen", "item"])
    record = json.loads(json.dumps(fitted.to_record()))
    assert Sequences.from_record(record) == fitted
    with pytest.raises(UserError):
        Sequences.from_record({**record, **damage})
