"""Which tasks belong together: measured gains, what predicts them, groups, capacity, alignment.

    record = measure("log.parquet", ["click", "like", "watch:regression"], out="runs/transfer")

is `polytask transfer`. The mathematics stands in files of its own, which know torch and numpy alone:
`similarity`, `linear`, `grouping`, `gains`; `affinity` rests on `polytask.training`.
"""

from polytask.balancing.svd_reweighting import label_directions, standardised, svd_weights
from polytask.records.transfer import TransferOptions, TransferRecord
from polytask.transfer.affinity import AffinityMeter, Lookahead, lookahead, trained_with_affinity
from polytask.transfer.alignment import aligned
from polytask.transfer.gains import rank_correlation
from polytask.transfer.grouping import best_partition, mean_incoming
from polytask.transfer.label_correlation import label_correlations
from polytask.transfer.measuring import measure, transfer_events
from polytask.transfer.similarity import (
    covariance_cosine,
    covariance_similarity,
    second_moment,
    similarity_matrices,
)

__all__ = [
    "AffinityMeter",
    "Lookahead",
    "TransferOptions",
    "TransferRecord",
    "aligned",
    "best_partition",
    "covariance_cosine",
    "covariance_similarity",
    "label_correlations",
    "label_directions",
    "lookahead",
    "mean_incoming",
    "measure",
    "rank_correlation",
    "second_moment",
    "similarity_matrices",
    "standardised",
    "svd_weights",
    "trained_with_affinity",
    "transfer_events",
]
