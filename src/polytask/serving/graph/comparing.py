"""A graph's predictions beside the run's own."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.fitting import Run
from polytask.serving.contract import Answer, Contract
from polytask.serving.graph.feeding import Feeds, feeds_of

_ROWS_AT_ONCE = 2048
_TIE = 1e-6
"""Classes whose probabilities lie nearer may change places."""


class Distance(NamedTuple):
    """The largest difference, as a share of what is allowed there, and in the label's own unit; of which answer."""

    share: float
    difference: float
    answer: str
    num_rows: int

    def __str__(self) -> str:
        return f"{self.answer} by {self.difference:.1g}, {self.share:.0%} of what is allowed ({self.num_rows:,} rows)"


def compared(
    content: bytes, contract: Contract, run: Run, table: pa.Table
) -> tuple[Distance, Feeds, Feeds]:
    """How far the graph is from `Run.predict` on a table, its arrays and its answers; UserError if too far."""
    feeds = feeds_of(table, contract.columns)
    answers = _answers(content, contract, feeds)
    predicted = run.predict(table.select([column.name for column in contract.columns]))
    found = [_distance(answer, answers, predicted, contract) for answer in contract.answers]
    return max(found), feeds, answers


def _answers(content: bytes, contract: Contract, feeds: Feeds) -> Feeds:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [answer.name for answer in contract.answers]
    num_rows = len(next(iter(feeds.values())))
    pieces = [
        session.run(names, {name: values[k : k + _ROWS_AT_ONCE] for name, values in feeds.items()})
        for k in range(0, num_rows, _ROWS_AT_ONCE)
    ]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*pieces))}


def _distance(answer: Answer, answers: Feeds, predicted: pa.Table, contract: Contract) -> Distance:
    ours_B, theirs_B = answers[answer.name], predicted[answer.name].to_numpy()
    if answer.holds == "numbers":
        apart_B = np.abs(ours_B.astype(np.float64) - theirs_B)
        allowed_B = answer.absolute + answer.relative * np.abs(theirs_B)
    else:
        is_tie_B = _lead(answer, predicted, contract) < _TIE
        apart_B = ((ours_B != theirs_B) & ~is_tie_B).astype(np.float64)
        allowed_B = np.full(len(apart_B), 0.5)
    share_B = apart_B / allowed_B
    row = int(np.argmax(np.nan_to_num(share_B, nan=np.inf)))
    if not share_B[row] <= 1:
        raise UserError(
            f"the graph predicts otherwise than the run: {answer.name} is {ours_B[row]}, and "
            f"{theirs_B[row]} by the run, in {int((~(share_B <= 1)).sum())} of {len(share_B)} rows, among "
            f"them row {row} ({predicted.num_rows} rows were compared); nothing was written"
        )
    return Distance(float(share_B[row]), float(apart_B[row]), answer.name, len(share_B))


def _lead(answer: Answer, predicted: pa.Table, contract: Contract) -> NDArray[np.float64]:
    """By how much the likeliest class of each row is before the second one."""
    names = [a.name for a in contract.answers if a.task == answer.task and a.holds == "numbers"]
    chances_BC = np.sort(np.stack([predicted[name].to_numpy() for name in names], axis=1), axis=1)
    lead_B: NDArray[np.float64] = chances_BC[:, -1] - chances_BC[:, -2]
    return lead_B
