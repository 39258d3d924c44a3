"""Every input obeys the same laws: one table of members, one set of laws."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch

from polytask.inputs import (
    INPUTS,
    Categories,
    Feature,
    FittedInputs,
    FrequentValues,
    Image,
    Input,
    KeyHistory,
    Numbers,
    Sequences,
    Text,
    Time,
)
from polytask.inputs.testing import check_input

START = datetime(2024, 2, 27)
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 18, 20, 3)).tolist()
TABLES: dict[str, tuple[pa.Table, pa.Table]] = {
    "categorical": (
        pa.table({"city": ["a", "b", "a", None], "id": [1, 2**60, 1, 7]}),
        pa.table({"city": ["never", None, "b"], "id": [3, None, 7]}),
    ),
    "numeric": (
        pa.table({"age": [1.0, 2.0, 5.0, 9.0], "paid": [0, 0, None, 1], "same": [4, 4, 4, 4]}),
        pa.table({"age": [1e9, None, -3.0], "paid": [None, 5, 0], "same": [None, 4, 7]}),
    ),
    "sequence": (
        pa.table(
            {
                "seen": [[7, 8, 7], [], None, [9, None, 7], [8]],
                "item": [8, 7, 9, None, 7],
                "spent": [[0.5], [1.5, 2.5], [], [None, 9.25], None],
                "tags": [["a", "b"], ["a"], None, [], ["c"]],
            }
        ),
        pa.table(
            {
                "seen": [[1, 2, 3, 4, 5, 6], None, [7]],
                "item": [None, 5, 8],
                "spent": [[-1.0], None, [1e9, 0.5]],
                "tags": [["x"], [None], ["a"]],
            }
        ),
    ),
    "text": (
        pa.table(
            {
                "title": ["the cat sat on a mat", "the dog", None, "", "a cat sat"],
                "body": ["Don't!", "it's 3.5", "cat the", "dog, the dog", "a"],
            }
        ),
        pa.table(
            {
                "title": ["never seen, and much longer than any other text of the two", "cat", None],
                "body": ["?", None, "a dog"],
            }
        ),
    ),
    "time": (
        pa.table(
            {
                "when": [START + timedelta(hours=31 * n) for n in range(4)],
                "day": [date(2023, 12, 30), None, date(2024, 1, 3), date(2025, 1, 1)],
                "clock": [time(1), time(23, 59), time(4), time(5)],
                "ticks": pa.array([START, None, START + timedelta(days=1), START], pa.timestamp("ns", "UTC")),
            }
        ),
        pa.table(
            {
                "when": [START - timedelta(days=900), None, START],
                "day": [None, date(1950, 1, 1), date(2100, 1, 1)],
                "clock": [None, time(0), time(12)],
                "ticks": pa.array([None, START, START], pa.timestamp("ns", "UTC")),
            }
        ),
    ),
    "frequent_values": (
        pa.table({"dose": [1.0, 1.0, 5.0, 5.0], "fee": [0, None, 3, 3]}),
        pa.table({"dose": [1e9, None, 5.0], "fee": [None, 3, 7]}),
    ),
    "history": (
        pa.table({"user": ["a", "b", "a", None], "at": [1.0, 2.0, 3.0, None]}),
        pa.table({"user": ["b", None, "c", "a"], "at": [9.0, None, 2.5, 2.5]}),
    ),
    "image": (
        pa.table({"photo": PICTURES[:4], "side": PICTURES[4:]}),
        pa.table({"photo": [None, PICTURES[1]], "side": [PICTURES[0], PICTURES[4]]}),
    ),
}  # fmt: skip
CLICKS = {"click": np.array([1.0, 0.0, np.nan, 1.0])}
MEMBERS: dict[str, tuple[str, Callable[..., Input]]] = {
    **{n: (n, kind.fit) for n, kind in INPUTS.items() if n in TABLES and n != "history"},
    "history": ("history", partial(KeyHistory.fit, time="at", targets=CLICKS)),
    "frequent values": ("frequent_values", partial(FrequentValues.fit, value_count=2)),
    "sparse": ("categorical", partial(Categories.fit, min_count=1, sparse_above=4)),
    "standard": ("numeric", partial(Numbers.fit, numeric_encoding="standard")),
    "quantile": ("numeric", partial(Numbers.fit, numeric_encoding="quantile")),
    "lenet": ("image", partial(Image.fit, network="lenet", width=3, shared=True, flip=True)),
    **{
        f"text, {encoder}": ("text", partial(Text.fit, encoder=encoder, min_count=1, width=12))
        for encoder in ("mean", "lstm", "gru", "transformer")
    },
    **{
        f"sequence, {encoder}": ("sequence", partial(Sequences.fit, encoder=encoder, width=12))
        for encoder in ("mean", "gru", "lstm", "transformer")
    },
    "tables apart": ("sequence", partial(Sequences.fit, shared=False, min_count=1)),
    "characters": ("text", partial(Text.fit, unit="characters", width=12)),
    "a pair": ("text", partial(Text.fit, pair=("body", "title"), width=12)),
    "in Tokyo": ("time", partial(Time.fit, time_zone="Asia/Tokyo")),
}


def test_every_registered_input_is_a_member() -> None:
    # A pretrained encoder needs a checkpoint on disk: test_pretrained.py; words have test_words.py.
    assert {name for name, _ in MEMBERS.values()} | {"pretrained", "words"} == set(INPUTS)


@pytest.mark.parametrize("member", MEMBERS)
def test_laws(member: str) -> None:
    name, fit = MEMBERS[member]
    check_input(fit, *TABLES[name])


def test_all_inputs_together_export_with_a_free_batch_size() -> None:
    train = pa.table({c: t[c][:4] for t, _ in TABLES.values() for c in t.column_names})
    columns = {name: table.column_names for name, (table, _) in TABLES.items()}
    fitted = FittedInputs.fit(train, columns, fits={"history": MEMBERS["history"][1]})
    encoder, batch = fitted.encoder(cross_layers=2).eval(), fitted.encode(train)
    free = {name: {0: torch.export.Dim("batch", min=1)} for name in batch}
    exported = torch.export.export(encoder, (batch,), dynamic_shapes=(free,)).module()
    for rows in (
        {k: v[:1] for k, v in batch.items()},
        {k: torch.cat([v] * 5) for k, v in batch.items()},
    ):
        torch.testing.assert_close(exported(rows), encoder(rows))


class _Wrong(Numbers):
    """Says that it has one feature more than it has."""

    def features(self) -> list[Feature]:
        return [*super().features(), Feature(self.columns[0], "nothing")]


def test_a_broken_law_is_found_and_named() -> None:
    with pytest.raises(AssertionError, match="features"):
        check_input(_Wrong.fit, TABLES["numeric"][0])
    wrong = FittedInputs({"numeric": _Wrong.fit(TABLES["numeric"][0], ["age"])})
    with pytest.raises(ValueError, match="the module of input 'numeric' has"):
        wrong.encoder()(wrong.encode(TABLES["numeric"][0]))
