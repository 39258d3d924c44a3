"""Aligned trunks: the laws of trunks, the identity start, and inputs that are made to fit."""

import pytest
import torch
from torch import Tensor

from polytask.transfer.similarity import covariance_similarity, second_moment
from polytask.trunks import CGC, MTAN, PLE, Aligned, CrossStitch, MMoE, SharedBottom, Trunk
from polytask.trunks.testing import LAWS, NUM_FEATURES, TASKS, Make


def maker(kind: type[Trunk]) -> Make:
    def make(tasks) -> Trunk:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            trunk = Aligned(kind(NUM_FEATURES, len(tasks)), in_features=NUM_FEATURES)
            with torch.no_grad():
                for parameter in trunk.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return trunk.double().eval()

    return make


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", [SharedBottom, MMoE, CrossStitch])
def test_an_aligned_trunk_obeys_every_law_of_trunks(kind, law) -> None:
    law(maker(kind))


@pytest.mark.parametrize("kind", [SharedBottom, MMoE, CGC, PLE, CrossStitch, MTAN])
def test_at_the_identity_outputs_and_penalty_are_those_of_the_trunk(kind) -> None:
    trunk = kind(NUM_FEATURES, len(TASKS)).eval()
    x_BD = torch.randn(7, NUM_FEATURES)
    aligned = Aligned(trunk, in_features=NUM_FEATURES)
    for ours, theirs in zip(aligned(x_BD), trunk(x_BD)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_frozen_trunk_stays_and_the_matrices_learn() -> None:
    aligned = Aligned(SharedBottom(3, 2), in_features=3)
    aligned.freeze_shared()
    sum(output.sum() for output in aligned(torch.randn(5, 3))).backward()
    learns = {name for name, each in aligned.named_parameters() if each.grad is not None}
    assert learns == {"alignments.0.weight", "alignments.1.weight"}


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
