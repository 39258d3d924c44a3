"""Aligned trunks: the laws of trunks, the identity start, and inputs that are made to fit."""

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from polytask.balancing import Equal
from polytask.config import validate_config
from polytask.config.build import build_model
from polytask.inputs import SingleInput
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Settings, TrainingRun, train
from polytask.transfer.alignment import aligned
from polytask.transfer.similarity import covariance_similarity, second_moment
from polytask.trunks import CGC, MTAN, PLE, Aligned, CrossStitch, MMoE, SharedBottom
from polytask.trunks.testing import LAWS, NUM_FEATURES, TASKS
from wrapped_trunks import maker


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", [SharedBottom, MMoE, CrossStitch])
def test_an_aligned_trunk_obeys_every_law_of_trunks(kind, law) -> None:
    law(maker(Aligned, kind))


@pytest.mark.parametrize("kind", [SharedBottom, MMoE, CGC, PLE, CrossStitch, MTAN])
def test_at_the_identity_outputs_and_penalty_are_those_of_the_trunk(kind) -> None:
    trunk = kind(NUM_FEATURES, len(TASKS)).eval()
    x_BD = torch.randn(7, NUM_FEATURES)
    aligned = Aligned(trunk, in_features=NUM_FEATURES)
    for ours, theirs in zip(aligned(x_BD), trunk(x_BD)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def table(num_rows: int = 400) -> Batch:
    """Task b's rows went through a matrix that task a's did not."""
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.randn(num_rows, 4, generator=generator)
    turn_DD = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    yes_B = (x_BD[:, 0] > 0).float()
    is_a_B = torch.arange(num_rows) % 2 == 0
    labels = {"a": yes_B.where(is_a_B, torch.nan), "b": yes_B.where(~is_a_B, torch.nan)}
    return Batch({"x": torch.where(is_a_B[:, None], x_BD, x_BD @ turn_DD)}, labels)


def trained(model: MultiTaskModel, rows: Batch) -> MultiTaskModel:
    run = TrainingRun.start(model, Equal(2), settings=Settings(epochs=10, learning_rate=0.02))
    for _ in train(run, InMemoryStream(rows, batch_size=50)):
        pass
    return run.model


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("kind", [SharedBottom, CGC])
def test_the_second_phase_begins_where_the_first_ended_and_learns_on(kind, freeze) -> None:
    torch.manual_seed(0)
    rows = table()
    trunk = kind(4, 2, hidden=(8,)) if kind is SharedBottom else kind(4, 2)
    first = trained(
        MultiTaskModel(SingleInput("x"), trunk, [binary("a"), binary("b")]), rows
    ).eval()
    second = aligned(first, in_features=4, freeze_shared=freeze)
    before = [loss.item() for loss in first.losses(first(rows.inputs), rows)]
    assert [loss.item() for loss in second.losses(second(rows.inputs), rows)] == before
    trained(second, rows)
    after = [loss.item() for loss in second.losses(second(rows.inputs), rows)]
    assert sum(after) < sum(before)
    assert isinstance(second.trunk, Aligned)
    theirs = dict(first.trunk.named_parameters())
    for name, parameter in second.trunk.trunk.named_parameters():
        is_shared = first.trunk.owners()[name] is None
        assert torch.equal(parameter, theirs[name]) == (freeze and is_shared), name
    eye = torch.eye(4)
    assert all(not torch.equal(weight, eye) for weight in second.trunk.alignments.parameters())
    with pytest.raises(ValueError, match="aligned already"):
        aligned(second, in_features=4)


def test_the_option_of_a_fit_aligns_the_model_of_all_tasks_and_no_single_one() -> None:
    from polytask.inputs import FittedInputs

    inputs = FittedInputs.fit(
        pa.table({"x": [0.0, 1.0, 2.0], "z": [3.0, 1.0, 0.0]}), {"numeric": ["x", "z"]}
    )
    tasks = [binary("a"), binary("b")]
    plain, with_align = (validate_config({"align": choice}) for choice in (False, True))
    assert isinstance(build_model(with_align, tasks, inputs=inputs).trunk, Aligned)
    assert not isinstance(build_model(with_align, tasks[:1], inputs=inputs).trunk, Aligned)
    assert not isinstance(build_model(plain, tasks, inputs=inputs).trunk, Aligned)


def test_the_inverse_of_what_one_task_s_inputs_went_through_restores_their_similarity() -> None:
    """X2 = X1 T: R2 = T^-1 makes the covariances one again."""
    torch.manual_seed(1)
    x1_BD = torch.randn(400, 4).double() * torch.tensor([5.0, 1.0, 1.0, 0.2])
    turn_DD = torch.randn(4, 4).double()
    x2_BD = x1_BD @ turn_DD
    aligned = Aligned(SharedBottom(4, 2, hidden=()), in_features=4).double()
    with torch.no_grad():
        aligned.alignments[1].weight.copy_(torch.linalg.inv(turn_DD).T)

    def score(first: Tensor, second: Tensor) -> Tensor:
        return covariance_similarity(second_moment(first), second_moment(second))

    beside_itself = score(x1_BD, x1_BD)
    assert (score(x1_BD, x2_BD) - beside_itself).abs() > 0.01
    torch.testing.assert_close(score(x1_BD, aligned(x2_BD)[1]), beside_itself)
