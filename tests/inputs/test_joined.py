"""All inputs side by side: what each entry of x is, zeros at its end, export, inputs of one's own."""

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from polytask.inputs import FittedInputs, JoinedEncoder


def fitted(num_numbers: int) -> tuple[FittedInputs, dict[str, Tensor]]:
    table = pa.table(
        {"city": ["a", "b", "a"], **{f"n{i}": [1.0 + i, 2.0, 5.0] for i in range(num_numbers)}}
    )
    columns = {"numeric": table.column_names[1:], "categorical": ["city"]}
    found = FittedInputs.fit(table, columns)
    return found, found.encode(table)


@pytest.mark.parametrize("num_numbers", range(6))
def test_zeros_fill_x_up_to_a_multiple_of_eight(num_numbers: int) -> None:
    inputs, batch = fitted(num_numbers)
    encoder = inputs.encoder()
    with torch.no_grad():
        encoder.parts["categorical"].dense.weight.fill_(7)
    x_BD = encoder(batch)
    known = len(inputs.features())
    assert x_BD.shape == (3, encoder.out_features) and encoder.out_features % 8 == 0
    assert encoder.out_features - known == encoder.num_zeros < 8
    assert (x_BD[:, :4] == 7).all() and (x_BD[:, known:] == 0).all()


def test_embeddings_come_first_then_numbers() -> None:
    inputs, batch = fitted(2)
    encoder = inputs.encoder()
    parts = [encoder.parts[name](batch[name]) for name in ("categorical", "numeric")]
    joined_BF = torch.cat(parts, dim=1)
    assert torch.equal(encoder(batch)[:, : joined_BF.shape[1]], joined_BF)
    assert [f.column for f in inputs.features()[:4]] == ["city"] * 4
    assert encoder.features == inputs.features()


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one input"):
        JoinedEncoder({})
