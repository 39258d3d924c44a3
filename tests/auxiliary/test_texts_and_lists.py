"""Exchanged words and items, and turned texts: against their definitions, and in whole fits."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

import polytask
from polytask.auxiliary import ReplacedTokens, SwappedOrder, TrainingRows
from polytask.auxiliary.auxiliary import Auxiliary
from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.model.outputs import Outputs
from polytask.streams import Batch, InMemoryStream

NUM_ROWS = 400
COLUMNS = {"text": ["title", "body"], "sequence": ["seen", "item"]}
QUICK = {
    "batch_size": 100,
    "learning_rate": 0.01,
    "baseline": "none",
    "threads": 1,
    "ensemble": 1,
    "intervals": False,
    "trunk": {"name": "shared_bottom", "hidden": [16]},
    "log_every": 1,
}


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    random = np.random.default_rng(0)

    def texts(longest: int) -> list[str]:
        lengths = random.integers(0, longest + 1, NUM_ROWS)
        return [" ".join(random.choice([*"abcdefgh"], n)) for n in lengths]

    seen = [random.integers(0, 30, random.integers(0, 9)).tolist() for _ in range(NUM_ROWS)]
    table = pa.table(
        {
            "title": texts(6),
            "body": texts(12),
            "seen": seen,
            "item": random.integers(0, 30, NUM_ROWS),
        }
    )
    inputs = FittedInputs.fit(table, COLUMNS)
    return TrainingRows(table, inputs, inputs.encode(table))


def extended(rows: TrainingRows, auxiliary: Auxiliary) -> tuple[Batch, Batch, list[int]]:
    """A batch of 200, the rows that were added, and of which row each was made."""
    batch = auxiliary.extend(InMemoryStream(Batch(rows.encoded), 200)).batch(0, 1, 1)
    own, added = batch[:200], batch[200:]
    return own, added, [own.rows.tolist().index(row) for row in added.rows.tolist()]


@pytest.mark.parametrize("kind", [ReplacedTokens, SwappedOrder])
def test_rows_are_added_and_the_others_stay(rows: TrainingRows, kind: type[Auxiliary]) -> None:
    own, added, _ = extended(rows, kind.fit(rows))
    plain = InMemoryStream(Batch(rows.encoded), 200).batch(0, 1, 1)
    assert len(added) == 50
    for name, value in plain.inputs.items():
        assert torch.equal(own.inputs[name], value)
    assert own.labels[kind.name].isnan().all()
    loss = kind.fit(rows).objective(6, num_steps=1)
    assert not loss.row_weights(Batch(rows.encoded)).any()
    again = extended(rows, kind.fit(rows))[1]
    torch.testing.assert_close(again.labels[kind.name], added.labels[kind.name], equal_nan=True)


def test_an_entry_is_labelled_where_it_is_another(rows: TrainingRows) -> None:
    auxiliary = ReplacedTokens.fit(rows, rate=0.5, share=1.0)
    assert [column.name for column in auxiliary.columns] == ["title", "body", "seen"]
    own, added, order = extended(rows, auxiliary)
    start = 0
    for column in auxiliary.columns:
        before_BL, after_BL = column.ids(own.inputs)[order], column.ids(added.inputs)
        label_BL = added.labels["replaced_tokens"][:, start : start + before_BL.shape[1]]
        start += before_BL.shape[1]
        is_there_BL = before_BL != 0
        assert torch.equal(label_BL.isnan(), ~is_there_BL)
        assert torch.equal(after_BL != 0, is_there_BL)
        assert torch.equal(label_BL[is_there_BL] == 1, (before_BL != after_BL)[is_there_BL])
        assert 0.3 < label_BL[is_there_BL].mean() < 0.5
    assert start == added.labels["replaced_tokens"].shape[1]
    assert torch.equal(added.inputs["sequence"][:, 1], own.inputs["sequence"][order, 1])


def test_belonging_is_the_mean_of_its_entries(rows: TrainingRows) -> None:
    torch.manual_seed(0)
    auxiliary = ReplacedTokens.fit(rows, columns=["seen"], width=3)
    batch = auxiliary.extend(InMemoryStream(Batch(rows.encoded), 200)).batch(0, 0, 0)
    loss = auxiliary.objective(5, num_steps=1)
    features_BH = torch.randn(len(batch), 5)
    found_B = loss(Outputs([], [], [features_BH], (), features_BH), batch)
    assert not found_B[:200].any() and not loss.row_weights(batch)[:200].any()
    for row in range(200, 220):
        terms = []
        for token, label in zip(
            batch.inputs["sequence"][row, 0].tolist(), batch.labels["replaced_tokens"][row]
        ):
            if not label.isnan():
                vector = loss.entries[0].weight[token]
                logit = vector @ loss.heads[0](features_BH[row]) + loss.rates[0].weight[token, 0]
                terms.append(functional.binary_cross_entropy_with_logits(logit, label))
        expected = torch.stack(terms).mean() if terms else torch.tensor(0.0)
        torch.testing.assert_close(found_B[row], expected)


def test_parts_of_a_text_are_turned_round(rows: TrainingRows) -> None:
    auxiliary = SwappedOrder.fit(rows, columns=["body"], share=1.0)
    own, added, order = extended(rows, auxiliary)
    (column,) = auxiliary.columns
    labels = added.labels["swapped_order"].tolist()
    before = column.ids(own.inputs)[order].tolist()
    after = column.ids(added.inputs).tolist()
    cuts = set()
    for was, now, label in zip(before, after, labels):
        words = [token for token in was if token]
        turns = [words[k:] + words[:k] for k in range(1, len(words))]
        found = [token for token in now if token]
        assert now[len(words) :] == [0] * (len(was) - len(words))
        if label == 1:
            assert found in turns
            cuts.add(turns.index(found))
        else:
            assert found == words
        assert len(words) > 1 or np.isnan(label)
    assert len(cuts) > 5 and 0.3 < np.nanmean(labels) < 0.7
    assert torch.equal(added.inputs["sequence"], own.inputs["sequence"][order])


def test_what_belongs_and_what_is_in_order_is_learned() -> None:
    """Texts of one alphabet or the other, in order: a b c d ... from some letter on."""
    random = np.random.default_rng(1)
    alphabets = ["abcdefghij", "klmnopqrst"]
    which = random.integers(0, 2, 800)
    texts = []
    for each in which:
        start = random.integers(0, 4)
        texts.append(" ".join(alphabets[each][start : start + 6]))
    table = pa.table({"text": texts, "yes": random.integers(0, 2, 800)})
    specs = [
        {"name": "replaced_tokens", "weight": 1.0, "rate": 0.3},
        {"name": "swapped_order", "weight": 1.0},
    ]
    text = {
        "columns": {"text": ["text"]},
        "input_options": {"text": {"encoder": "cnn", "width": 24}},
    }
    run = polytask.fit(table, ["yes"], auxiliary=specs, epochs=14, **text, **QUICK)
    losses = [step.losses["replaced_tokens"] for step in run.history if hasattr(step, "weights")]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    _, order = run.metrics.auxiliary.losses
    assert order.chance == 0.5 and order.accuracy > 0.8


def test_all_of_one_kind_and_texts_without_words() -> None:
    """Nothing to exchange and nothing to turn: no example, and no error."""
    texts = ["a", None] * 60
    table = pa.table({"text": texts, "yes": [0, 1, 1, 0] * 30})
    specs = ["replaced_tokens", "swapped_order"]
    run = polytask.fit(
        table, ["yes"], auxiliary=specs, epochs=1, columns={"text": ["text"]}, **QUICK
    )
    assert run.metrics.auxiliary is not None


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        *itertools.product(
            [ReplacedTokens, SwappedOrder], [{"columns": ["titel"]}], ["mean 'title'"]
        ),
        *itertools.product([ReplacedTokens, SwappedOrder], [{"columns": ["item"]}], ["is no text"]),
        *itertools.product([ReplacedTokens, SwappedOrder], [{"share": 0.0}], ["share must be"]),
        (ReplacedTokens, {"rate": 1.5}, "rate must be"),
    ],
)
def test_bad_options(
    rows: TrainingRows, kind: type[Auxiliary], options: dict[str, object], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        kind.fit(rows, **options)


def test_a_table_without_texts() -> None:
    table = pa.table({"x": np.arange(100.0), "yes": [0, 1] * 50})
    with pytest.raises(UserError, match="no text and no list"):
        polytask.fit(table, ["yes"], auxiliary="swapped_order", epochs=1, **QUICK)
