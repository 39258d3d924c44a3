"""What the studies on pictures share: one training a call, whose scores are kept in a file."""

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import torch

import polytask

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POLYTASK_DATA", ROOT.parent / "shared" / "data"))
# Student's t for 95 % by degrees of freedom.
_T = (math.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)


@dataclass(frozen=True)
class Parts:
    """Tables to train, validate and test on."""

    train: pa.Table
    valid: pa.Table | None
    test: pa.Table | None


@dataclass
class Scores:
    """Test scores by study, model, seed and task, kept in a file: what is there is not run again."""

    path: Path | None

    def __post_init__(self) -> None:
        lines = self.path.read_text().splitlines() if self.path and self.path.exists() else []
        self.known = {entry["key"]: entry["scores"] for entry in map(json.loads, lines)}

    def of(
        self, key: str, parts: Parts, options: Mapping[str, object], *, metric: str = "accuracy"
    ) -> dict[str, float]:
        """The test score of each task, of a new fit or of one that is known."""
        if key in self.known:
            return self.known[key]
        started = time.perf_counter()
        tasks = self.fit(parts, options).metrics.tasks.items()
        scores = {name: result.test[metric].value for name, result in tasks}
        mean, seconds = statistics.mean(scores.values()), time.perf_counter() - started
        print(f"{key}: {mean:.4f} ({seconds:.0f} s)", flush=True)
        self.put(key, scores)
        return scores

    def put(self, key: str, values: dict[str, float]) -> None:
        """Keep what was measured."""
        self.known[key] = values
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"key": key, "scores": values}) + "\n")

    def fit(self, parts: Parts, options: Mapping[str, object]) -> polytask.Run:
        """The model of one fit, without a baseline."""
        return polytask.fit(
            parts.train, valid=parts.valid, test=parts.test, baseline="none", **options
        )


def interval(values: Sequence[float], *, scale: float = 100) -> str:
    """The mean and half of its 95 % interval, in points."""
    mean = scale * statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.2f}"
    half = scale * _T[min(len(values), len(_T)) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.2f} +- {half:.2f}"


def one_thread() -> None:
    torch.set_num_threads(1)
