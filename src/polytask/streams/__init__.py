"""Batches: named tensors of some rows, and streams that are a function of (seed, epoch, index)."""

from polytask.streams.batch import Batch
from polytask.streams.generated import with_generated
from polytask.streams.in_memory import InMemoryStream
from polytask.streams.mixture import Mixture
from polytask.streams.named import NamedTensors
from polytask.streams.order import epoch_order, order_by_length
from polytask.streams.stream import Stream

__all__ = [
    "Batch",
    "InMemoryStream",
    "Mixture",
    "NamedTensors",
    "Stream",
    "epoch_order",
    "order_by_length",
    "with_generated",
]
