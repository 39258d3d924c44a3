"""What is shared and what is private are not to say the same."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from polytask.auxiliary.auxiliary import Auxiliary, TrainingRows
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.auxiliary.weighing import Weight
from polytask.model.objective import Objective
from polytask.model.outputs import Outputs
from polytask.streams import Batch


@dataclass(frozen=True)
class Orthogonality(Auxiliary):
    """|S^T H_t|^2 (Frobenius) of the shared features S and the private ones H_t, the mean over tasks.

    For the trunk `shared_private` alone. Features are centred over the batch and each row has length 1, as in
    domain separation networks.

    Source: Liu, Qiu and Huang, ACL 2017, eq. 10; Bousmalis et al., NeurIPS 2016, section 3.1.
    DIFF: divided by the square of the number of rows, so that it lies between 0 and 1 in batches of any
    size; every row of a batch counts for every task, not only those of the task's own data set.

    Papers: https://aclanthology.org/P17-1001, https://arxiv.org/abs/1608.06019
    """

    name: ClassVar[str] = "orthogonality"
    reads: ClassVar = "both"

    @classmethod
    def fit(cls, rows: TrainingRows, *, weight: Weight = 0.1) -> Self:
        """It rests on no row."""
        return cls(weight)

    def objective(self, num_features: int, *, num_steps: int) -> Objective:
        return _Overlap(self, num_steps=num_steps)


class _Overlap(AuxiliaryLoss):
    """s_b^T (S^T H_t / B) h_tb of row b, whose mean over the rows is |S^T H_t / B|^2."""

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        num_shared = result.num_shared
        assert num_shared is not None
        losses = []
        for features_BH in result.features:
            shared_BS = _centred_and_normed(features_BH[:, :num_shared])
            private_BP = _centred_and_normed(features_BH[:, num_shared:])
            overlap_SP = shared_BS.T @ private_BP / len(features_BH)
            losses.append(((shared_BS @ overlap_SP) * private_BP).sum(dim=1))
        return torch.stack(losses).mean(dim=0)


def _centred_and_normed(features_BH: Tensor) -> Tensor:
    centred_BH = features_BH - features_BH.mean(dim=0)
    return torch.nn.functional.normalize(centred_BH, dim=1, eps=1e-6)
