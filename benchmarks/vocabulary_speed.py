"""A step's time against the number of ids: a log whose one column has 1e3 to 1e7 of them.

    python benchmarks/vocabulary_speed.py [--sizes 1000 10000 ...] [--rows 4000000] [--steps 200]

MMoE (8 experts 64-32, towers 16), two binary labels, batches of 1,024; embeddings of 16 numbers: the id
(frequencies fall as those of words do), seven columns of 50 values. Beside it the same network by hand with torch's
`nn.Embedding(sparse=True)` and SparseAdam for the id, and as polytask steps it where every table is dense.
Steps of all are interleaved in slices; one thread; medians of processor time a step.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from polytask.balancing import Equal
from polytask.inputs import SingleInput
from polytask.inputs.embeddings import Embeddings
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.task import binary
from polytask.training import Settings, TrainingRun, train
from polytask.training.memory import freed_memory_kept
from polytask.trunks import MMoE

BATCH_SIZE, WIDTH, NUM_COLUMNS, NUM_VALUES = 1024, 16, 8, 50
_DENSE_UP_TO = 1_000_000
_SLICE = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| ids | {' | '.join(f'{name}, ms' for name in STEPS)} | rows/s |\n|--:|{'--:|' * 4}")
    for size in options.sizes:
        table = log(options.rows, size)
        takes = {
            name: make(table, size)
            for name, make in STEPS.items()
            if not (name == DENSE and size > _DENSE_UP_TO)
        }
        medians = timed(takes, options.steps)
        cells = [f"{medians[name] * 1e3:.2f}" if name in medians else "" for name in STEPS]
        rate = BATCH_SIZE / medians[OURS]
        print(f"| {size:,} | {' | '.join(cells)} | {rate:,.0f} |", flush=True)


def timed(takes: dict[str, Callable[[], object]], num_steps: int) -> dict[str, float]:
    """The median over slices of each one's seconds a step, after as many steps to warm up as are taken."""
    found: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(2 * num_steps // _SLICE):
        for name, take in takes.items():
            started = time.thread_time()
            for _ in range(_SLICE):
                take()
            found[name].append((time.thread_time() - started) / _SLICE)
    return {name: statistics.median(each[len(each) // 2 :]) for name, each in found.items()}


def log(num_rows: int, num_ids: int) -> Batch:
    """Rows with an id each, of which few are frequent, and labels that hang on the id."""
    generator = torch.Generator().manual_seed(0)
    ids_B = (num_ids ** torch.rand(num_rows, generator=generator, dtype=torch.float64)).long() - 1
    mixed_B = (ids_B * 2_654_435_761) % num_ids
    others = torch.randint(0, NUM_VALUES, (num_rows, NUM_COLUMNS - 1), generator=generator)
    labels = {name: ((mixed_B * prime) % 7 < 2).float() for name, prime in (("a", 3), ("b", 5))}
    return Batch({"categorical": torch.cat([mixed_B[:, None], others], dim=1)}, labels)


def stepped(table: Batch, num_ids: int, *, sparse_above: int) -> Callable[[], object]:
    torch.manual_seed(0)
    sizes = [num_ids, *[NUM_VALUES] * (NUM_COLUMNS - 1)]
    encoder = SingleInput("categorical", Embeddings(sizes, WIDTH, sparse_above=sparse_above))
    trunk = MMoE(WIDTH * NUM_COLUMNS, 2)
    model = MultiTaskModel(encoder, trunk, [binary("a"), binary("b")], tower_hidden=(16,))
    run = TrainingRun.start(model, Equal(2), settings=Settings(epochs=10))
    steps = train(run, InMemoryStream(table, BATCH_SIZE))
    return lambda: next(steps)


def ours(table: Batch, num_ids: int) -> Callable[[], object]:
    from polytask.inputs.embeddings import SPARSE_ABOVE

    return stepped(table, num_ids, sparse_above=SPARSE_ABOVE)


def dense(table: Batch, num_ids: int) -> Callable[[], object]:
    return stepped(table, num_ids, sparse_above=1 << 40)


class ByHand(nn.Module):
    """The same network as a person writes it."""

    def __init__(self, num_ids: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(num_ids, WIDTH, sparse=True)
        self.others = nn.ModuleList(nn.Embedding(NUM_VALUES, WIDTH) for _ in range(NUM_COLUMNS - 1))
        width = WIDTH * NUM_COLUMNS
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
            for _ in range(8)
        )
        self.gates = nn.ModuleList(nn.Linear(width, 8, bias=False) for _ in range(2))
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(2)
        )

    def forward(self, ids_BC: Tensor) -> list[Tensor]:
        columns = [table(ids_BC[:, c + 1]) for c, table in enumerate(self.others)]
        x_BD = torch.cat([self.ids(ids_BC[:, 0]), *columns], dim=1)
        experts_BEH = torch.stack([expert(x_BD) for expert in self.experts], dim=1)
        mixed = [(g(x_BD).softmax(-1).unsqueeze(-1) * experts_BEH).sum(1) for g in self.gates]
        return [tower(h_BH)[:, 0] for tower, h_BH in zip(self.towers, mixed)]


def by_hand(table: Batch, num_ids: int) -> Callable[[], object]:
    torch.manual_seed(0)
    model = ByHand(num_ids)
    rest = [p for name, p in model.named_parameters() if name != "ids.weight"]
    optimizers = [
        torch.optim.AdamW(rest, lr=1e-3, fused=True),
        torch.optim.SparseAdam([model.ids.weight], lr=1e-3),
    ]
    stream = InMemoryStream(table, BATCH_SIZE)
    places = iter(range(stream.num_batches(0)))
    loss = nn.BCEWithLogitsLoss()

    def take() -> None:
        batch = stream.batch(0, 0, next(places))
        outputs = model(batch.inputs["categorical"])
        total = sum(loss(output, batch.labels[name]) for output, name in zip(outputs, "ab"))
        for optimizer in optimizers:
            optimizer.zero_grad()
        total.backward()
        for optimizer in optimizers:
            optimizer.step()

    return take


OURS, DENSE, BY_HAND = "polytask", "all tables dense", "by hand, SparseAdam"
STEPS = {OURS: ours, DENSE: dense, BY_HAND: by_hand}


if __name__ == "__main__":
    with freed_memory_kept():
        main()
