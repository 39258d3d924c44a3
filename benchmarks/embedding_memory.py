"""Memory and time of embedding tables by what steps them: Adam of rows, or row-wise Adagrad.

    python benchmarks/embedding_memory.py [--ids 5000000] [--width 16] [--steps 400]

A table of ids, Shared-Bottom and two binary tasks, batches of 1,024 ids at random, an epoch of so many steps with a
validation and a checkpoint in the middle and at the end, in a process of its own. The peak of the resident set, less
that of the same with a thousand ids, is divided by the table's own bytes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROWS = 1024


def measure(num_ids: int, width: int, steps: int, optimizer: str, validations: int) -> None:
    """Train in this process, and print what it took."""
    from polytask.balancing import Equal
    from polytask.inputs import SingleInput
    from polytask.inputs.embeddings import FusedEmbedding
    from polytask.model import MultiTaskModel
    from polytask.streams import Batch, InMemoryStream
    from polytask.task import binary
    from polytask.training import Checkpoints, Settings, TrainingRun, train
    from polytask.trunks import SharedBottom

    torch.set_num_threads(1)
    drawn = torch.Generator().manual_seed(0)
    ids_B1 = torch.randint(0, num_ids, (ROWS * steps, 1), generator=drawn)
    table = Batch(
        {"ids": ids_B1}, {n: (ids_B1[:, 0] % k == 0).float() for n, k in (("a", 2), ("b", 3))}
    )
    embedding = FusedEmbedding([num_ids], width, sparse=True)
    trunk = SharedBottom(width, 2, hidden=(32,))
    model = MultiTaskModel(SingleInput("ids", embedding), trunk, [binary("a"), binary("b")])
    settings = Settings(
        epochs=1,
        embedding_optimizer=optimizer,
        validations_per_epoch=validations,  # type: ignore[arg-type]
    )
    run = TrainingRun.start(model, Equal(2), settings=settings)
    stream = InMemoryStream(table, batch_size=ROWS)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), every=steps // 2)
        started = time.process_time()
        for step in train(run, stream, valid=table[:ROWS]):
            if checkpoints.is_due(run, step):
                checkpoints.save(run)
    found = {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "table": embedding.weight.numel() * 4,
        "ms": 1e3 * run.progress.train_seconds / steps,
        "processor": time.process_time() - started,
    }
    print(json.dumps(found))


def main() -> None:
    """Each optimizer, once with the best weights so far kept beside, once not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ids", type=int, default=5_000_000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        num_ids, width, steps, optimizer, validations = arguments.worker
        measure(int(num_ids), int(width), int(steps), optimizer, int(validations))
        return
    print(
        f"{arguments.ids:,} ids x {arguments.width}, {4 * arguments.ids * arguments.width / 1e6:,.0f} MB"
    )
    for validations in (1, 2):
        for optimizer in ("adam", "rowwise_adagrad"):
            peaks = []
            for num_ids in (1000, arguments.ids):
                numbers = (num_ids, arguments.width, arguments.steps, optimizer, validations)
                command = [sys.executable, __file__, "--worker", *map(str, numbers)]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                found = json.loads(printed)
                peaks.append(found["peak"])
            share = (peaks[1] - peaks[0]) / found["table"]
            print(
                f"  {optimizer:16} validations an epoch: {validations}   {share:.2f} times the table, "
                f"{found['ms']:.2f} ms a step",
                flush=True,
            )


if __name__ == "__main__":
    main()
