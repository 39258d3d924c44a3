"""A model that starts from another with the same columns and tasks in another order is that model."""

import inspect
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
import pytest
import torch

from polytask.errors import UserError
from polytask.fitting.warm_start import Carried, warm_start
from polytask.inputs import FittedInputs, FrequentValues
from polytask.model import MultiTaskModel
from polytask.task import binary
from polytask.trunks import TRUNKS, WithShortcuts

START = datetime(2024, 1, 1)
TRAIN = pa.table(
    {
        "city": ["a", "b", "c", None] * 10,
        "shop": [1, 2, 3, 4, 5] * 8,
        "age": [float(n % 13) for n in range(40)],
        "paid": [None, *(float(n * n) for n in range(39))],
        "when": [START + timedelta(hours=31 * n) for n in range(40)],
        "day": [(START + timedelta(days=9 * n)).date() for n in range(40)],
    }
)
# A value that was never seen, and a missing one, in every column that may have them.
LATER = pa.concat_tables(
    [
        TRAIN.slice(0, 10),
        pa.table(
            {
                "city": ["never", None],
                "shop": [77, None],
                "age": [99.0, None],
                "paid": [-1.0, None],
                "when": [START - timedelta(days=1), None],
                "day": [START.date(), None],
            }
        ).cast(TRAIN.schema),
    ]
)
COLUMNS = {
    "categorical": ["city", "shop"],
    "numeric": ["age", "paid"],
    "time": ["when", "day"],
    "frequent_values": ["age", "shop"],
}
CROSSED = "mmoe, crossed"
SHORTCUTS = ("mmoe, shortcuts", "shared_bottom, shortcuts")
TASKS, OTHER_ORDER = ("click", "like", "follow"), ("follow", "click", "like")
# As many levels or layers as tasks, so that the one may be taken for the other.
MEMBERS: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, {}) for name, kind in TRUNKS.items() if not kind.reads_maps},
    "x itself": ("shared_bottom", {"hidden": ()}),
    "cgc, uneven": ("cgc", {"num_task_experts": [1, 2, 3]}),
    "ple, three levels": ("ple", {"num_levels": 3, "num_task_experts": [2, 1, 3]}),
    "mtan, three layers": ("mtan", {"hidden": (16, 16, 16)}),
    CROSSED: ("mmoe", {}),
    **{member: (member.partition(",")[0], {}) for member in SHORTCUTS},
}


def fitted(columns: dict[str, list[str]]) -> FittedInputs:
    often = partial(FrequentValues.fit, value_count=2)
    return FittedInputs.fit(TRAIN, columns, fits={"frequent_values": often})


def model_for(
    inputs: FittedInputs, member: str, tasks: Sequence[str], *, seed: int
) -> MultiTaskModel:
    """A model without two equal parameters, whose trunk and towers are as wide as x."""
    torch.manual_seed(seed)
    name, options = MEMBERS[member]
    encoder = inputs.encoder(cross_layers=2 if member == CROSSED else 0, cross_rank=3)
    width, kind = encoder.out_features, TRUNKS[name]
    widths = {"expert_hidden": (16, width), "hidden": (width, width)}
    known = inspect.signature(kind).parameters
    options = {k: v for k, v in widths.items() if k in known} | options
    places = [TASKS.index(task) for task in tasks]
    trunk = kind(width, len(tasks), **kind.options_for(options, places))
    if member in SHORTCUTS:
        trunk = WithShortcuts(trunk, in_features=width)
    model = MultiTaskModel(encoder, trunk, [binary(task) for task in tasks], tower_hidden=(width,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.double().eval()


def logits(model: MultiTaskModel, inputs: FittedInputs) -> dict[str, torch.Tensor]:
    encoded = inputs.encode(LATER)
    encoded = {k: v.double() if v.is_floating_point() else v for k, v in encoded.items()}
    return {task.name: out for task, out in zip(model.tasks, model(encoded).outputs)}


def started(model: MultiTaskModel, inputs: FittedInputs, source: MultiTaskModel) -> Carried:
    return warm_start(model, inputs, source, fitted(COLUMNS))


@pytest.mark.parametrize("member", MEMBERS)
def test_columns_and_tasks_in_another_order_give_the_same_predictions(member: str) -> None:
    old_inputs = fitted(COLUMNS)
    new_inputs = fitted({name: names[::-1] for name, names in COLUMNS.items()})
    assert old_inputs.features() != new_inputs.features()
    old = model_for(old_inputs, member, TASKS, seed=0)
    new = model_for(new_inputs, member, OTHER_ORDER, seed=1)
    carried = started(new, new_inputs, old)
    assert carried.skipped == ()
    expected, found = logits(old, old_inputs), logits(new, new_inputs)
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-9, atol=1e-9)
    assert (expected["click"] - expected["like"]).abs().max() > 1e-3
    assert (expected["click"][-1] - expected["click"][-2]).abs() > 1e-3


@pytest.mark.parametrize("member", MEMBERS)
def test_a_new_task_is_fresh_and_the_others_know_their_own(member: str) -> None:
    inputs = fitted(COLUMNS)
    old = model_for(inputs, member, ("click", "like"), seed=0)
    new = model_for(inputs, member, ("follow", "like", "click"), seed=1)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    carried = started(new, inputs, old)
    after = new.state_dict()
    assert torch.equal(after["heads.2.weight"], old.heads[0].weight)
    # What reads the zeros at the end of x is nobody's.
    known = slice(None, len(inputs.features()) if member == "x itself" else None)
    assert torch.equal(after["towers.1.0.weight"][:, known], old.towers[1][0].weight[:, known])
    assert {"heads.0.weight", "towers.0.0.weight"} <= set(carried.skipped)
    for name in carried.skipped:
        assert torch.equal(after[name], before[name])


@pytest.mark.parametrize("newer", [True, False])
def test_where_one_of_two_has_shortcuts_the_trunk_within_is_carried(newer: bool) -> None:
    """A run of one task, or of few rows, has none; what starts from it may have them."""
    inputs, members = fitted(COLUMNS), ("mmoe", "mmoe, shortcuts")
    old = model_for(inputs, members[not newer], TASKS, seed=0)
    new = model_for(inputs, members[newer], TASKS, seed=1)
    for weight in (new if newer else old).trunk.shortcuts.parameters():
        torch.nn.init.zeros_(weight)
    skipped = started(new, inputs, old).skipped
    assert skipped == (tuple(f"trunk.shortcuts.{t}.weight" for t in range(3)) if newer else ())
    expected, found = logits(old, inputs), logits(new, inputs)
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-9, atol=1e-9)


def test_a_new_column_leaves_the_weights_of_the_others_where_they_are() -> None:
    inputs = fitted({"categorical": ["shop", "city"], "numeric": ["age"]})
    known = fitted({"categorical": ["city"], "numeric": ["age"]})
    old = model_for(known, "mmoe", TASKS, seed=0)
    new = model_for(inputs, "mmoe", TASKS, seed=1)
    fresh = new.trunk.gates[0].linear.weight.detach().clone()
    warm_start(new, inputs, old, known)
    weight, theirs = new.trunk.gates[0].linear.weight, old.trunk.gates[0].linear.weight
    dim = 4
    assert torch.equal(weight[:, :dim], fresh[:, :dim])
    assert torch.equal(weight[:, dim : 2 * dim], theirs[:, :dim])
    num_numbers = len(known.features()) - dim
    assert torch.equal(
        weight[:, 2 * dim : 2 * dim + num_numbers], theirs[:, dim : dim + num_numbers]
    )


def test_an_encoder_of_one_s_own_is_refused() -> None:
    inputs = fitted(COLUMNS)
    model = model_for(inputs, "mmoe", TASKS, seed=0)
    model.encoder = torch.nn.Identity()
    with pytest.raises(UserError, match="own table encoder"):
        started(model, inputs, model)
