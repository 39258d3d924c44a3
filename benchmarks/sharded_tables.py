"""An embedding table that no machine holds alone: TorchRec's, as an encoder of one's own under polytask's balancing.

    pip install --no-deps torchrec==1.8.0 fbgemm-gpu-cpu==1.8.0 tensordict torchmetrics==1.0.3 pyre-extensions typing-inspect
    torchrun --nproc-per-node 2 benchmarks/sharded_tables.py --ids 20000000 --steps 20 --save runs/table
    torchrun --nproc-per-node 3 benchmarks/sharded_tables.py --ids 20000000 --steps 20 --load runs/table
    python benchmarks/sharded_tables.py --ids 1000 --plain      # one process, torch's own embedding

Each rank holds rows / ranks of the table and of its optimizer's state. TorchRec's optimizer steps the rows inside the backward pass,
so there must be exactly one pass through the table: that is so at a seam, where the rule measures above it. Printed by
the first rank, as JSON: losses by step, and the most memory of a rank beyond that of its start.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint

from polytask.balancing import Balancer, Ranks, UPGrad, balanced_backward
from polytask.model import MultiTaskModel
from polytask.streams import Batch
from polytask.task import binary
from polytask.trunks import SharedBottom

TABLE, FEATURE, RATE, EPSILON = "ids", "id", 0.1, 1e-8


class ShardedRows(nn.Module):
    """One id a row -> its embedding, from a table whose rows lie in equal parts on the ranks.

    **Shape** {"id": (B,)} -> (B, out_features).
    """

    def __init__(self, num_ids: int, width: int) -> None:
        super().__init__()
        from torchrec.distributed.embedding import EmbeddingCollectionSharder
        from torchrec.distributed.model_parallel import DistributedModelParallel
        from torchrec.distributed.planner import EmbeddingShardingPlanner
        from torchrec.distributed.planner.types import ParameterConstraints, Topology
        from torchrec.modules.embedding_configs import EmbeddingConfig
        from torchrec.modules.embedding_modules import EmbeddingCollection
        from torchrec.optim import RowWiseAdagrad
        from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward

        config = EmbeddingConfig(
            name=TABLE, embedding_dim=width, num_embeddings=num_ids, feature_names=[FEATURE]
        )
        whole = EmbeddingCollection(tables=[config], device=torch.device("meta"))
        apply_optimizer_in_backward(
            RowWiseAdagrad, whole.parameters(), {"lr": RATE, "eps": EPSILON}
        )
        sharders = [EmbeddingCollectionSharder()]
        planner = EmbeddingShardingPlanner(
            topology=Topology(world_size=distributed.get_world_size(), compute_device="cpu"),
            constraints={TABLE: ParameterConstraints(sharding_types=["row_wise"])},
        )
        plan = planner.collective_plan(whole, sharders, distributed.GroupMember.WORLD)
        self.table = DistributedModelParallel(
            whole,
            device=torch.device("cpu"),
            plan=plan,
            sharders=sharders,
            init_data_parallel=False,
        )
        self.out_features = width

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

        ids_B = inputs[FEATURE]
        lengths_B = torch.ones(len(ids_B), dtype=torch.int32)
        found = self.table(KeyedJaggedTensor(keys=[FEATURE], values=ids_B, lengths=lengths_B))
        return found[FEATURE].values()

    def state(self) -> dict[str, object]:
        """The table and its optimizer's state, a shard a rank, for torch.distributed.checkpoint."""
        return {
            "table": self.table.state_dict(),
            "optimizer": self.table.fused_optimizer.state_dict(),
        }

    def parts(self) -> Iterator[tuple[int, Tensor]]:
        """This rank's rows, with the number of the first."""
        for sharded in self.table.state_dict().values():
            for shard in sharded.local_shards():
                yield shard.metadata.shard_offsets[0], shard.tensor


class PlainRows(nn.Module):
    """The same by torch's own embedding, in one process."""

    def __init__(self, num_ids: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_ids, width)
        self.register_buffer("squares", torch.zeros(num_ids))
        self.out_features = width

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.table(inputs[FEATURE])

    @torch.no_grad()
    def step(self) -> None:
        """Row-wise Adagrad (Mudigere et al., ISCA 2022, section 4.1.2): a row has one sum of mean squares."""
        gradient_VD = self.table.weight.grad
        self.squares += gradient_VD.square().mean(dim=1)
        self.table.weight -= RATE * gradient_VD / (self.squares.sqrt() + EPSILON)[:, None]
        self.table.weight.grad = None

    def parts(self) -> Iterator[tuple[int, Tensor]]:
        yield 0, self.table.weight.data


def begin(encoder: ShardedRows | PlainRows) -> None:
    """The same numbers, however the rows lie: of row and column."""
    for first, rows_RD in encoder.parts():
        number_R = torch.arange(first, first + len(rows_RD), dtype=torch.float32)
        for column in range(rows_RD.shape[1]):
            rows_RD[:, column] = torch.sin(number_R * (column + 1)) / 10


def batch_of(step: int, size: int, num_ids: int) -> Batch:
    """The whole batch: ids with many small ones, two labels that follow from them."""
    generator = torch.Generator().manual_seed(step)
    id_B = (num_ids * torch.rand(size, generator=generator) ** 3).long()
    labels = {name: ((id_B * prime) % 7 < 3).float() for name, prime in (("click", 3), ("like", 5))}
    return Batch({FEATURE: id_B}, labels)


def take_step(
    model: MultiTaskModel, rows: Batch, balancer: Balancer, ranks: Ranks | None
) -> Tensor:
    """One balanced step on this rank's rows; the losses (T,) of the whole batch."""
    counts = model.counts(rows)
    if ranks is not None:
        means = ranks.mean(torch.tensor(counts.totals, dtype=torch.float64))
        counts = replace(counts, totals=tuple(means.tolist()))
    result = model(rows.inputs)
    losses = model.losses(result, rows, counts)
    return balanced_backward(losses, balancer, seam=model.seam(result), ranks=ranks).losses_T


def run(options: argparse.Namespace, ranks: Ranks | None) -> dict[str, object]:
    """Train, from where `load` was saved if it is said."""
    before = memory()
    rank, world = (0, 1) if ranks is None else (ranks.rank, ranks.world)
    encoder = (PlainRows if options.plain else ShardedRows)(options.ids, options.width)
    begin(encoder)
    torch.manual_seed(0)
    trunk = SharedBottom(options.width, 2, hidden=(32,))
    model = MultiTaskModel(encoder, trunk, [binary("click"), binary("like")])
    dense = nn.ModuleList([trunk, model.towers, model.heads])
    optimizer, balancer = torch.optim.SGD(dense.parameters(), lr=RATE), UPGrad(2)
    # A rule whose update is brought to another length after the pass would find the table stepped already.
    assert not balancer.rescales_at_seam
    state = {"dense": dense.state_dict(), "balancer": balancer.state_dict()}
    state |= encoder.state() if isinstance(encoder, ShardedRows) else {}
    if options.load:
        checkpoint.load(state, checkpoint_id=options.load)
    first, losses, started = int(balancer.num_steps), [], time.perf_counter()
    for step in range(first, first + options.steps):
        whole = batch_of(step, options.batch_size, options.ids)
        edges = [options.batch_size * place // world for place in (rank, rank + 1)]
        optimizer.zero_grad()
        losses.append(take_step(model, whole[slice(*edges)], balancer, ranks).tolist())
        optimizer.step()
        if isinstance(encoder, PlainRows):
            encoder.step()
    seconds = time.perf_counter() - started
    if options.save:
        checkpoint.save(state, checkpoint_id=options.save)
    if options.table:
        write_table(encoder, options.table, ranks)
    used = memory() - before
    return {
        "ranks": world,
        "losses": losses,
        "milliseconds a step": 1000 * seconds / max(options.steps, 1),
        "MB of a rank": max([used] if ranks is None else ranks.gather(used)) / 1e6,
        "MB of the table": 4 * options.ids * options.width / 1e6,
    }


def write_table(encoder: ShardedRows | PlainRows, path: Path, ranks: Ranks | None) -> None:
    """The whole table in one file, for small ones."""
    mine = [(first, rows_RD.clone()) for first, rows_RD in encoder.parts()]
    parts = [mine] if ranks is None else ranks.collect(mine)
    if parts is not None:
        in_order = sorted((each for part in parts for each in part), key=lambda each: each[0])
        save_file({"table": torch.cat([rows_RD for _, rows_RD in in_order])}, path)


def memory() -> int:
    """The most bytes that this process has had resident."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ids", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--save", type=Path, help="folder of a checkpoint, a shard a rank")
    parser.add_argument("--load", type=Path, help="such a folder, by any number of ranks")
    parser.add_argument("--table", type=Path, help="write the whole table, .safetensors")
    options = parser.parse_args()
    ranks = None
    if not options.plain:
        import torchrec.distributed  # noqa: F401 - its memory is not the table's

        distributed.init_process_group("gloo")
        ranks = Ranks()
    found = run(options, ranks)
    if ranks is None or ranks.rank == 0:
        print(json.dumps(found))
    if ranks is not None:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
