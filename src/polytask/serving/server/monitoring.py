"""What a server counts, as Prometheus reads it."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from polytask.serving.server.model import Predicted

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper ends of the bins of how long requests take."""


@dataclass(slots=True)
class Tally:
    """All since the process began."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    bins: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    seconds: float = 0.0
    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    reloads: dict[str, int] = field(default_factory=lambda: {"done": 0, "failed": 0})
    _lock: Lock = field(default_factory=Lock)

    def add_request(self, path: str, code: int, seconds: float) -> None:
        with self._lock:
            self.requests[path, code] = self.requests.get((path, code), 0) + 1
            self.bins[bisect_left(_SECONDS, seconds)] += 1
            self.seconds += seconds

    def add_predictions(self, predicted: Predicted) -> None:
        """Rows, what of them was missing and unseen, and the sums of numbers: with the rows, their means."""
        sums = {
            name: float(values.sum(dtype=np.float64))
            for name, values in predicted.answers.items()
            if values.dtype.kind == "f"
        }
        num_rows = len(next(iter(predicted.answers.values())))
        with self._lock:
            self.rows += num_rows
            for ours, theirs in (
                (self.missing, predicted.missing),
                (self.unseen, predicted.unseen),
                (self.sums, sums),
            ):
                _add(ours, theirs)  # type: ignore[arg-type]

    def text(self) -> str:
        """The text format of Prometheus, version 0.0.4."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# TYPE polytask_requests_total counter"
        for (path, code), number in sorted(self.requests.items()):
            yield f"polytask_requests_total{_labels(path=path, code=str(code))} {number}"
        yield "# TYPE polytask_request_seconds histogram"
        total = 0
        for end, number in zip((*map(str, _SECONDS), "+Inf"), self.bins):
            total += number
            yield f"polytask_request_seconds_bucket{_labels(le=end)} {total}"
        yield f"polytask_request_seconds_sum {self.seconds}"
        yield f"polytask_request_seconds_count {total}"
        yield "# TYPE polytask_rows_total counter"
        yield f"polytask_rows_total {self.rows}"
        for word, counts in (("missing", self.missing), ("unseen", self.unseen)):
            yield f"# TYPE polytask_{word}_total counter"
            for column, number in counts.items():
                yield f"polytask_{word}_total{_labels(column=column)} {number}"
        yield "# TYPE polytask_prediction_sum gauge"
        for answer, value in self.sums.items():
            yield f"polytask_prediction_sum{_labels(prediction=answer)} {value}"
        yield "# TYPE polytask_reloads_total counter"
        for result, number in self.reloads.items():
            yield f"polytask_reloads_total{_labels(result=result)} {number}"


def _add(ours: dict[str, float], theirs: Mapping[str, float]) -> None:
    for name, number in theirs.items():
        ours[name] = ours.get(name, 0) + number


def _labels(**values: str) -> str:
    told = (
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in values.items()
    )
    return "{" + ",".join(told) + "}"
