"""The network's first layer for a table."""

import pytest
import torch

from polytask.encoders import Feature, FusedEmbedding, TabularEncoder, embedding_dim_for


def test_a_fused_embedding_equals_one_embedding_a_column() -> None:
    fused = FusedEmbedding([3, 5, 2], 4)
    ids_BC = torch.tensor([[0, 4, 1], [2, 0, 0]])
    parts = [fused.rows_of(c)[ids_BC[:, c]] for c in range(3)]
    torch.testing.assert_close(fused(ids_BC), torch.cat(parts, dim=1))
    assert [len(fused.rows_of(c)) for c in range(3)] == [3, 5, 2]


def test_bins_hold_the_share_below_the_value_and_outliers_stay_bounded() -> None:
    encoder = TabularEncoder([], [[0.0, 1.0, 3.0]])
    x_BN = torch.tensor([[-9.0], [0.5], [2.0], [3.0], [1e9]])
    expected = torch.tensor([[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [1.0, 1.0], [1.0, 1.0]])
    torch.testing.assert_close(encoder({"numbers": x_BN})[:, :2], expected)


def test_a_missing_number_is_its_own_signal() -> None:
    encoder = TabularEncoder([], [[], []], has_missing=[True, False])
    x_BN = torch.tensor([[float("nan"), 2.0], [1.5, float("nan")]])
    expected = torch.tensor([[0.0, 2.0, 1.0], [1.5, 0.0, 0.0]])
    torch.testing.assert_close(encoder({"numbers": x_BN})[:, :3], expected)


def test_large_vocabularies_get_sparse_gradients() -> None:
    encoder = TabularEncoder([10, 2000, 20], [], embedding_dim=2, sparse_above=1000)
    ids_BC = torch.tensor([[1, 1999, 3], [1, 5, 19]])
    x_BD = encoder({"categories": ids_BC})
    x_BD.sum().backward()
    assert encoder.sparse is not None and encoder.sparse.weight.grad.is_sparse
    assert encoder.dense is not None and not encoder.dense.weight.grad.is_sparse
    for column in range(3):
        rows = encoder.embedding_rows(column)[ids_BC[:, column]]
        places = [
            i
            for i, f in enumerate(encoder.features())
            if f == Feature("embedding", column, f.index)
        ]
        torch.testing.assert_close(x_BD[:, places], rows)


def test_features_name_every_entry_of_x() -> None:
    encoder = TabularEncoder([4, 5], [[], [0.0, 1.0, 2.0]], has_missing=[False, True])
    # Two embeddings, a plain number, two bins and a flag; the rest of x is zeros.
    assert len(encoder.features()) == 2 * encoder.embedding_dim + 1 + 2 + 1
    assert encoder.features()[-1] == Feature("missing", 1)


@pytest.mark.parametrize("num_numbers", range(10))
def test_zeros_fill_x_up_to_a_multiple_of_eight(num_numbers: int) -> None:
    encoder = TabularEncoder([4], [[]] * num_numbers, embedding_dim=3)
    x_BD = encoder(
        {"numbers": torch.ones(2, num_numbers), "categories": torch.zeros(2, 1, dtype=torch.long)}
    )
    known = 3 + num_numbers
    assert x_BD.shape == (2, encoder.out_features) and encoder.out_features % 8 == 0
    assert encoder.out_features - known == encoder.num_zeros < 8
    assert (x_BD[:, :known] != 0).all() and (x_BD[:, known:] == 0).all()


def test_the_width_of_embeddings_grows_slowly() -> None:
    assert [embedding_dim_for([n]) for n in (2, 50, 5_000, 30_000, 10**7)] == [4, 8, 16, 32, 32]
