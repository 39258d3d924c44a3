"""Data parallel: processes with one model, and a part of every batch each, act as one process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from polytask.balancing.gradients import Rows
from polytask.balancing.measurement import Losses, read_scalars

Shared = TypeVar("Shared")


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Processes that hold the same model and, of every batch, a part each.

    `group` is an initialised process group; the default one if None. The model is not wrapped in
    DistributedDataParallel, which averages the first gradient of a step and no other.

    A task's loss on one rank is the sum over its labelled rows there, divided by the *mean over the
    ranks* of the number of labelled rows: `ranks.mean(counts_T)`. The mean of these losses over the
    ranks is then the mean over all rows, however the labels are spread. Where a rank has no label of
    a task the sum is a zero that still depends on the outputs; a task without a label anywhere is
    None on all ranks.

    >>> from torch import distributed
    >>> from polytask.balancing import Ranks
    >>> store = distributed.HashStore()
    >>> distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> Ranks().mean(torch.tensor([4.0, 2.0]))
    tensor([4., 2.])
    >>> distributed.destroy_process_group()
    """

    group: ProcessGroup | None = None

    @property
    def rank(self) -> int:
        return distributed.get_rank(self.group)

    @property
    def world(self) -> int:
        return distributed.get_world_size(self.group)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the ranks; 16-bit numbers are summed, and returned, in float32."""
        return self._sum_in_place(values.clone())

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the ranks, as `sum`."""
        return self.sum(values).div_(self.world)

    def mean_losses(self, losses: Losses) -> list[Tensor | None]:
        """The losses of the whole batch: float64 on the host, detached.

        Raises ValueError, on every rank, for a task that is None on some ranks only.
        """
        present_T = torch.tensor([loss is not None for loss in losses]).double()
        values_T = torch.tensor(read_scalars(losses), dtype=torch.float64)
        values_T = values_T.where(present_T > 0, 0.0)
        means_T, shares_T = self.mean(torch.stack([values_T, present_T]))
        for task, share in enumerate(shares_T.tolist()):
            if share not in (0.0, 1.0):
                raise ValueError(
                    f"the loss of task {task} is None on some ranks only; where a rank has no label "
                    "of a task that others have, pass the empty sum, a zero that depends on the "
                    "outputs: (losses_B * is_labelled_B).sum() / ranks.mean(count)"
                )
        return [mean if share else None for mean, share in zip(means_T, shares_T.tolist())]

    def mean_each(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The mean of each over the ranks; all dense ones of a kind travel as one flat tensor.

        Sparse ones stay sparse: their indices and values are gathered. Raises ValueError, on every
        rank, unless the ranks hold tensors of the same kinds and shapes.
        """
        self._require_alike(tensors)
        means: list[Tensor | None] = [None] * len(tensors)
        alike: dict[tuple[torch.dtype, torch.device], list[tuple[int, Tensor]]] = {}
        for place, tensor in enumerate(tensors):
            if tensor is None:
                continue
            if tensor.is_sparse:
                means[place] = self._mean_sparse(tensor)
            else:
                alike.setdefault((tensor.dtype, tensor.device), []).append((place, tensor))
        for members in alike.values():
            flat = self._sum_in_place(torch.cat([tensor.reshape(-1) for _, tensor in members]))
            parts = torch.split(flat.div_(self.world), [tensor.numel() for _, tensor in members])
            for (place, tensor), part in zip(members, parts):
                means[place] = part.view(tensor.shape).to(tensor.dtype)
        return means

    def average_rows(self, rows: Sequence[Rows]) -> None:
        """Put the mean over the ranks in the place of each gradient at a leaf: one flat all_reduce."""
        at_leaves = [row for row in rows if row.place.leaf is not None]
        means = iter(self.mean_each([gradient for row in at_leaves for gradient in row.by_task]))
        for row in at_leaves:
            row.by_task[:] = [next(means) for _ in row.by_task]

    def share(self, value: Shared | None) -> Shared:
        """The first rank's value, on all ranks; the others hand over None."""
        box = [value]
        distributed.broadcast_object_list(box, group=self.group, group_src=0)
        (shared,) = box
        assert shared is not None
        return shared

    def gather(self, value: Shared) -> list[Shared]:
        """Every rank's value, on all ranks."""
        values = [value] * self.world
        distributed.all_gather_object(values, value, group=self.group)
        return values

    def collect(self, value: Shared) -> list[Shared] | None:
        """Every rank's value on the first one; None on the others, which do not hold them."""
        values = [value] * self.world if self.rank == 0 else None
        distributed.gather_object(value, values, group=self.group, group_dst=0)
        return values

    def columns(self, sizes: Sequence[int]) -> tuple[Tensor, int]:
        """Where this rank's parts of K flattened tensors lie in the whole ones, and how long these are.

        The whole tensors are the ranks' parts one after another, joined at the first dimension.
        """
        sizes_WK = torch.stack(self._gather(torch.tensor(sizes, dtype=torch.int64)))
        totals_K = sizes_WK.sum(0)
        starts_K = totals_K.cumsum(0) - totals_K + sizes_WK[: self.rank].sum(0)
        parts = [torch.arange(start, start + size) for start, size in zip(starts_K.tolist(), sizes)]
        return torch.cat(parts), int(totals_K.sum())

    def _require_alike(self, tensors: Sequence[Tensor | None]) -> None:
        kinds = [None if t is None else (t.shape, t.dtype, t.layout) for t in tensors]
        mark = crc32(repr(kinds).encode())
        marks = self._reduce(torch.tensor([mark, -mark]), distributed.ReduceOp.MAX)
        if int(marks.sum()) != 0:
            raise ValueError(
                "the ranks found other gradients than each other, so they cannot be averaged: every "
                "rank must compute all losses by the same operations, on no row if it has none"
            )

    def _mean_sparse(self, tensor: Tensor) -> Tensor:
        mine = tensor.coalesce()
        indices_DN = torch.cat(self._gather_rows(mine.indices().T)).T
        values_N = torch.cat(self._gather_rows(mine.values()))
        joined = torch.sparse_coo_tensor(
            indices_DN, values_N / self.world, mine.shape, check_invariants=False
        )
        return joined.coalesce()

    def _gather_rows(self, rows: Tensor) -> list[Tensor]:
        """The ranks' rows. All must send tensors of one length: padding is added, and cut off again."""
        counts = [int(count) for count in self._gather(torch.tensor(len(rows)))]
        padding = rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])
        parts = self._gather(torch.cat([rows, padding]))
        return [part[:count] for part, count in zip(parts, counts)]

    def _sum_in_place(self, values: Tensor) -> Tensor:
        wide = values.float() if values.element_size() < 4 else values
        return self._reduce(wide, distributed.ReduceOp.SUM)

    def _reduce(self, values: Tensor, operation: distributed.ReduceOp.RedOpType) -> Tensor:
        """In place, where the group can send from the device of the values."""
        sent = values.to(self._device(values))
        distributed.all_reduce(sent, operation, group=self.group)
        return sent.to(values.device)

    def _gather(self, values: Tensor) -> list[Tensor]:
        sent = values.to(self._device(values)).contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.world)]
        distributed.all_gather(parts, sent, group=self.group)
        return [part.to(values.device) for part in parts]

    def _device(self, values: Tensor) -> torch.device:
        """Where the group can send from: NCCL alone cannot send what lies on the host."""
        if values.device.type in distributed.get_backend_config(self.group):
            return values.device
        return torch.device("cuda", torch.cuda.current_device())
