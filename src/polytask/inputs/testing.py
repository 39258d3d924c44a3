"""The laws that every input obeys, as assertions for an input of your own.

>>> from polytask.inputs import Numbers
>>> check_input(Numbers.fit, pa.table({"age": [20.0, None, 40.0]}))
"""

import json
from collections.abc import Callable, Sequence

import pyarrow as pa
import torch
from torch import Tensor

from polytask.inputs.input import Input


def check_input(
    fit: Callable[[pa.Table, Sequence[str]], Input],
    train_table: pa.Table,
    later_table: pa.Table | None = None,
) -> None:
    """Raise AssertionError, with the reason, if an input of all columns breaks one of its laws.

    `later_table` holds other rows of the same columns: values never seen, and missing ones.
    """
    later = train_table if later_table is None else later_table
    fitted = fit(train_table, train_table.column_names)
    assert fitted.columns == tuple(train_table.column_names), f"{fitted.columns=}"
    _check_record(fitted, train_table)
    _check_features(fitted, later)
    _check_rows(fitted, later)
    _check_export(fitted, later)
    _check_carry(fitted, later)
    record = fitted.to_record()
    fitted.encode(later)
    assert fitted.to_record() == record, "encoding other rows changed what was fitted"


def _check_record(fitted: Input, table: pa.Table) -> None:
    """JSON and back is the same input."""
    again = type(fitted).from_record(json.loads(json.dumps(fitted.to_record(), allow_nan=False)))
    assert again == fitted, f"{again} was {fitted} before it was written"
    torch.testing.assert_close(again.encode(table), fitted.encode(table), equal_nan=True)


def _check_features(fitted: Input, table: pa.Table) -> None:
    """One finite output a feature, each of one of the columns, no two alike."""
    features = fitted.features()
    assert len(set(features)) == len(features), f"two features are alike: {features}"
    assert {feature.column for feature in features} <= set(fitted.columns), f"{features=}"
    x_BF = _outputs(fitted, table)
    num_words_B = fitted.num_words(fitted.encode(table))
    num_rows = table.num_rows if num_words_B is None else int(num_words_B.sum())
    assert x_BF.shape == (num_rows, len(features)), f"{x_BF.shape=}, {len(features)=}"
    assert x_BF.isfinite().all(), "an output is not finite: where is the place of missing values?"
    missing = pa.table([pa.nulls(2, field.type) for field in table.schema], schema=table.schema)
    assert _outputs(fitted, missing).isfinite().all(), "missing values have no finite output"


def _check_rows(fitted: Input, table: pa.Table) -> None:
    """A row's tensor and output do not depend on the rows beside it."""
    last = table.slice(table.num_rows - 1)
    encoded = fitted.encode(last)
    num_words_B, number = fitted.num_words(encoded), 1
    if num_words_B is None:
        torch.testing.assert_close(encoded, fitted.encode(table)[-1:], equal_nan=True)
    else:
        number = int(num_words_B)
    whole_BF = _outputs(fitted, table)
    torch.testing.assert_close(_outputs(fitted, last), whole_BF[len(whole_BF) - number :])


def _check_export(fitted: Input, table: pa.Table) -> None:
    """The module exports with a free batch size; how many words there are is no matter of shapes."""
    module, values = fitted.module().eval(), fitted.encode(table)
    if fitted.num_words(values) is not None:
        return
    free = {0: torch.export.Dim("batch", min=1)}
    exported = torch.export.export(module, (values,), dynamic_shapes=(free,)).module()
    for rows in (values[:1], torch.cat([values] * 3)):
        # Not to the bit: an exported model computes also what a batch of short rows leaves out.
        torch.testing.assert_close(exported(rows), module(rows))


def _check_carry(fitted: Input, table: pa.Table) -> None:
    """A fresh module that takes what another learned is that other one."""
    module, other = fitted.module().eval(), fitted.module().eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter))
    fitted.carry(module, fitted, other)
    values = fitted.encode(table)
    torch.testing.assert_close(module(values), other(values), rtol=0, atol=0)


def _outputs(fitted: Input, table: pa.Table) -> Tensor:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        x_BF: Tensor = fitted.module().eval()(fitted.encode(table)).detach()
    return x_BF
