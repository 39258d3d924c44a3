"""Each extra loss against its definition, on rows whose truth is known."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from polytask.auxiliary import (
    AUXILIARIES,
    Adversarial,
    Frequency,
    MaskedColumns,
    ReplacedValues,
    TrainingRows,
    mean_features,
    register,
    reversal_at,
)
from polytask.auxiliary.auxiliary import Auxiliary
from polytask.errors import UserError
from polytask.inputs import FittedInputs
from polytask.model.outputs import Outputs
from polytask.streams import Batch, InMemoryStream

NUM_ROWS = 600
OF_TEXTS = ("replaced_tokens", "swapped_order")
COLUMNS = {
    "categorical": ["city", "shop"],
    "numeric": ["age", "paid"],
    "frequent_values": ["paid"],
}


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    random = np.random.default_rng(0)
    paid = random.choice([0.0, 10.0, 500.0], NUM_ROWS)
    table = pa.table(
        {
            "city": random.choice(["a", "b", "c"], NUM_ROWS, p=[0.9, 0.08, 0.02]).tolist(),
            "shop": random.integers(0, 40, NUM_ROWS),
            "age": pa.array(random.normal(size=NUM_ROWS), mask=random.random(NUM_ROWS) < 0.2),
            "paid": paid,
            "domain": pa.array(["web", "app", None] * (NUM_ROWS // 3)),
        }
    )
    inputs = FittedInputs.fit(table, COLUMNS)
    return TrainingRows(table, inputs, inputs.encode(table))


def stream_of(
    rows: TrainingRows, auxiliary: Auxiliary, batch_size: int = 200
) -> tuple[Batch, Batch]:
    """A batch as it was, and with what the loss adds to it."""
    table = Batch(rows.encoded, {"click": torch.arange(NUM_ROWS).float()})
    plain = InMemoryStream(table, batch_size)
    return plain.batch(0, 1, 2), auxiliary.extend(plain).batch(0, 1, 2)


def outputs_of(features_BH: torch.Tensor, num_tasks: int = 2) -> Outputs:
    return Outputs([], [], [features_BH] * num_tasks, (), features_BH)


@pytest.mark.parametrize("kind", [ReplacedValues, MaskedColumns])
def test_the_rows_of_the_batch_stay_as_they_are(rows: TrainingRows, kind: type[Auxiliary]) -> None:
    plain, more = stream_of(rows, kind.fit(rows))
    assert len(more) == 250
    for name, value in plain.inputs.items():
        torch.testing.assert_close(more.inputs[name][:200], value, equal_nan=True)
    assert torch.equal(more.labels["click"][:200], plain.labels["click"])
    assert more.labels["click"][200:].isnan().all()
    assert more.labels[kind.name][:200].isnan().all()
    again = stream_of(rows, kind.fit(rows))[1]
    torch.testing.assert_close(again.labels[kind.name], more.labels[kind.name], equal_nan=True)


@pytest.mark.parametrize("kind", [ReplacedValues, MaskedColumns])
def test_parts_of_several_processes_make_the_whole(
    rows: TrainingRows, kind: type[Auxiliary]
) -> None:
    stream = kind.fit(rows).extend(InMemoryStream(Batch(rows.encoded), 100))
    whole = stream.batch(3, 0, 1)
    parts = [stream.batch(3, 0, 1, (place, 3)) for place in range(3)]
    for name in whole.inputs:
        joined = torch.cat([part.inputs[name] for part in parts])
        torch.testing.assert_close(joined, whole.inputs[name], equal_nan=True)
    assert stream.num_rows(3, 0, 1) == len(whole) == sum(map(len, parts))


def test_a_value_is_labelled_as_replaced_where_it_is_another(rows: TrainingRows) -> None:
    auxiliary = ReplacedValues.fit(rows, rate=0.5, share=1.0)
    plain, more = stream_of(rows, auxiliary)
    changed = {name: value[200:] for name, value in more.inputs.items()}
    own = {name: value[: len(plain)] for name, value in more.inputs.items()}
    # Which row each added one was made of is told by its number.
    order = [plain.rows.tolist().index(row) for row in more.rows[200:].tolist()]
    labels = more.labels["replaced_values"][200:]
    names = [column.name for column in auxiliary.columns]
    assert names == ["city", "shop", "age", "paid"]
    for c, (name, place) in enumerate(
        [("categorical", 0), ("categorical", 1), ("numeric", 0), ("numeric", 1)]
    ):
        before, after = own[name][order, place], changed[name][:, place]
        same = (before == after) | (before.isnan() & after.isnan())
        assert torch.equal(labels[:, c], (~same).float())
        assert 0.02 < labels[:, c].mean() < 0.52
    # A column that two inputs read is exchanged in both, or the one would tell on the other.
    of_value = dict(
        zip(rows.encoded["numeric"][:, 1].tolist(), rows.encoded["frequent_values"].tolist())
    )
    for value, ids in zip(changed["numeric"][:, 1].tolist(), changed["frequent_values"].tolist()):
        assert of_value[value] == ids


def test_hidden_columns_are_missing_everywhere_and_are_what_is_asked(rows: TrainingRows) -> None:
    auxiliary = MaskedColumns.fit(rows, columns=["city", "paid"], share=1.0)
    assert [column.name for column in auxiliary.targets] == ["city", "paid", "shop", "age"]
    plain, more = stream_of(rows, auxiliary)
    order = [plain.rows.tolist().index(row) for row in more.rows[200:].tolist()]
    labels = more.labels["masked_columns"][200:]
    hides_first = (more.inputs["categorical"][200:, 0] == 0).tolist()
    assert 0.3 < np.mean(hides_first) < 0.7
    for row, (source, is_first) in enumerate(zip(order, hides_first)):
        city, shop = more.inputs["categorical"][200 + row].tolist()
        age, paid = more.inputs["numeric"][200 + row].tolist()
        own_city, own_shop = plain.inputs["categorical"][source].tolist()
        own_age, own_paid = plain.inputs["numeric"][source].tolist()
        asked = labels[row].tolist()
        if is_first:
            assert city == 0 and math.isnan(paid) and more.inputs["frequent_values"][200 + row] == 0
            assert shop == own_shop and asked[:2] == pytest.approx([own_city, own_paid])
            assert all(map(math.isnan, asked[2:]))
        else:
            assert shop == 0 and math.isnan(age) and city == own_city and paid == own_paid
            assert asked[2] == own_shop and all(map(math.isnan, asked[:2]))
            assert asked[3] == own_age or (math.isnan(asked[3]) and math.isnan(own_age))


def test_the_losses_are_those_of_the_formulas(rows: TrainingRows) -> None:
    torch.manual_seed(0)
    replaced = ReplacedValues.fit(rows, weight=0.5)
    _, batch = stream_of(rows, replaced)
    features_BH = torch.randn(len(batch), 6)
    loss = replaced.objective(6, num_steps=1)
    expected = functional.binary_cross_entropy_with_logits(
        loss.head(features_BH[200:]), batch.labels["replaced_values"][200:]
    )
    found_B, rows_B = loss(outputs_of(features_BH), batch), loss.row_weights(batch)
    torch.testing.assert_close((found_B * rows_B).sum() / rows_B.sum(), expected)
    assert loss.weight_now() == 0.5

    masked = MaskedColumns.fit(rows, weight="balanced")
    _, batch = stream_of(rows, masked)
    loss = masked.objective(6, num_steps=1)
    assert loss.is_weighed and not replaced.objective(6, num_steps=1).is_weighed
    found_B = loss(outputs_of(features_BH), batch)
    for row in (200, 201, 249):
        terms = []
        for head, column, label in zip(
            loss.heads, masked.targets, batch.labels["masked_columns"][row]
        ):
            if not label.isnan():
                output_O = head(features_BH[row])
                clipped = label.clamp(-3, 3)
                terms.append(
                    functional.cross_entropy(output_O, label.long())
                    if column.num_ids
                    else (output_O[0] - clipped).square()
                )
        torch.testing.assert_close(found_B[row], torch.stack(terms).mean())


def test_frequency_bins_are_logarithms_of_counts(rows: TrainingRows) -> None:
    frequency = Frequency.fit(rows, column="city", weight=1.0)
    vocabulary = rows.inputs.by_name["categorical"].vocabularies[0].values
    counts = {value: rows.table["city"].to_pylist().count(value) for value in vocabulary}
    assert frequency.bins[2:] == tuple(int(math.log(counts[value])) for value in vocabulary)
    loss = frequency.objective(6, num_steps=1)
    batch, features_BH = Batch(rows.encoded), torch.randn(NUM_ROWS, 6)
    bins = [frequency.bins[code] for code in rows.encoded["categorical"][:, 0].tolist()]
    expected = functional.cross_entropy(
        loss.head(features_BH), torch.tensor(bins), reduction="none"
    )
    torch.testing.assert_close(loss(outputs_of(features_BH), batch), expected)


def test_the_reversal_scales_the_trunk_s_gradient_alone(rows: TrainingRows) -> None:
    auxiliary = Adversarial.fit(rows, column="domain", reversal=0.7, weight=2.0)
    assert auxiliary.domains == ("web", "app")
    labels = auxiliary.labels(rows)["adversarial"]
    assert labels[:2].tolist() == [0, 1] and labels[2].isnan()
    batch = Batch(rows.encoded, {"adversarial": labels})
    loss = auxiliary.objective(6, num_steps=4)
    features_BH = torch.randn(NUM_ROWS, 6, requires_grad=True)
    known_B = loss.row_weights(batch)
    for step in range(4):
        plain_BH = features_BH.detach().requires_grad_()
        plain = functional.cross_entropy(
            loss.layers(plain_BH), labels.nan_to_num().long(), reduction="none"
        )
        (plain * known_B).sum().backward()
        expected = [parameter.grad.clone() for parameter in loss.parameters()]
        loss.zero_grad()
        features_BH.grad = None
        (loss(outputs_of(features_BH, 1), batch) * known_B).sum().backward()
        for parameter, gradient in zip(loss.parameters(), expected):
            torch.testing.assert_close(parameter.grad, gradient)
        scale = -0.7 * reversal_at(step / 4)
        torch.testing.assert_close(features_BH.grad, scale * plain_BH.grad)
        loss.zero_grad()
        loss.advance()
    assert loss.state_dict()["step"] == 4


def test_the_mean_of_the_tasks_features_is_read() -> None:
    first, second = torch.randn(3, 2), torch.randn(3, 2)
    result = Outputs([], [], [first, second], (), first)
    torch.testing.assert_close(mean_features(result), (first + second) / 2)


@pytest.mark.parametrize("name", [n for n in AUXILIARIES if n not in OF_TEXTS])
def test_a_batch_without_its_labels_counts_in_no_such_loss(rows: TrainingRows, name: str) -> None:
    options = {
        "frequency": {"column": "city"},
        "adversarial": {"column": "domain"},
        "histogram": {"key": "city", "column": "domain"},
    }
    auxiliary = AUXILIARIES[name].fit(rows, **options.get(name, {}))
    weights_B = auxiliary.objective(6, num_steps=1).row_weights(Batch(rows.encoded))
    assert name in {"frequency", "orthogonality"} or (weights_B is not None and not weights_B.any())


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("replaced_values", {"rate": 0.0}, "rate must be above 0"),
        ("replaced_values", {"share": 1.5}, "share must be above 0"),
        ("replaced_values", {"columns": ["ctiy"]}, r"'ctiy'.*did you mean 'city'"),
        ("masked_columns", {"columns": ["city", "shop", "age", "paid"]}, "either side"),
        ("masked_columns", {"share": 0.0}, "share must be above 0"),
        ("frequency", {}, "needs a column"),
        ("frequency", {"column": "age"}, "categorical makes it one"),
        ("frequency", {"column": "nobody"}, "nobody"),
        ("adversarial", {}, "needs a column"),
        ("adversarial", {"column": "nobody"}, "nobody"),
        ("adversarial", {"column": "age"}, "different values, where domains are"),
        ("adversarial", {"column": "domain", "reversal": -1.0}, "reversal"),
    ],
)
def test_what_makes_no_loss(
    rows: TrainingRows, name: str, options: dict[str, object], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        AUXILIARIES[name].fit(rows, **options)


def test_one_of_one_s_own_is_known_by_name() -> None:
    register("own_loss")(ReplacedValues)
    assert AUXILIARIES.pop("own_loss") is ReplacedValues
    with pytest.raises(ValueError, match="frequency"):
        register("frequency")(ReplacedValues)
