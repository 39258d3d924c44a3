"""Batches: named tensors of some rows, and streams that are a function of (seed, epoch, index)."""

from polytask.streams.augmented import Augmentation, row_draws, with_augmented
from polytask.streams.batch import Batch
from polytask.streams.extended import with_rows
from polytask.streams.generated import with_generated
from polytask.streams.in_memory import InMemoryStream
from polytask.streams.lanes import LaneStream
from polytask.streams.mixture import Mixture, batches_in_shares
from polytask.streams.named import NamedTensors
from polytask.streams.order import epoch_order, order_by_length
from polytask.streams.stored import StoredRows
from polytask.streams.storing import RowsWriter
from polytask.streams.stream import Stream

__all__ = [
    "Augmentation",
    "Batch",
    "InMemoryStream",
    "LaneStream",
    "Mixture",
    "NamedTensors",
    "RowsWriter",
    "StoredRows",
    "Stream",
    "batches_in_shares",
    "epoch_order",
    "order_by_length",
    "row_draws",
    "with_augmented",
    "with_generated",
    "with_rows",
]
