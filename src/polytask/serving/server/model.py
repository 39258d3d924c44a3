"""A graph in memory: predictions of arrays, and the test by its own rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from polytask.errors import UserError
from polytask.records.layout import GRAPH
from polytask.serving.contract import IDS, Contract, Value

Arrays = Mapping[str, NDArray[np.generic]]
_ROWS_AT_ONCE = 4096
_DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}


@dataclass(frozen=True, slots=True)
class Predicted:
    """Answers by name, and of each looked-up column how many rows are missing, and how many unseen."""

    answers: Arrays
    missing: Mapping[str, int]
    unseen: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Graph:
    """A loaded file."""

    name: str
    contract: Contract
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, path: Path, *, threads: int) -> "Graph":
        """UserError where the file is none of polytask's, or answers its own rows otherwise than when it was written."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            content = path.read_bytes()
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        except Exception as error:  # onnxruntime's errors have no class in common.
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{path}: this is no whole ONNX graph: {first}") from error
        contract = Contract.from_metadata(
            session.get_modelmeta().custom_metadata_map, where=str(path)
        )
        graph = cls(path.parent.name if path.name == GRAPH else path.stem, contract, session)
        graph.test(str(path))
        return graph

    def predict(self, arrays: Arrays) -> Predicted:
        """The answers for arrays (B,) of all columns, as the contract says that they are."""
        contract = self.contract
        names = [answer.name for answer in contract.answers]
        asked = [*names, IDS] if contract.lookups else names
        num_rows = len(next(iter(arrays.values())))
        pieces = [
            self.session.run(
                asked, {name: array[k : k + _ROWS_AT_ONCE] for name, array in arrays.items()}
            )
            for k in range(0, num_rows, _ROWS_AT_ONCE)
        ]
        found = pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces)]
        ids_BC = found.pop() if contract.lookups else np.zeros((num_rows, 0))
        missing, unseen = (
            dict(zip(contract.lookups, (ids_BC == which).sum(axis=0).tolist())) for which in (0, 1)
        )
        return Predicted(dict(zip(names, found)), missing, unseen)

    @property
    def datatypes(self) -> Mapping[str, str]:
        """The protocol's word for the type of each answer."""
        return {output.name: _DATATYPES[output.type] for output in self.session.get_outputs()}

    def test(self, where: str) -> None:
        """UserError where the rows of the contract have other answers here."""
        contract = self.contract
        arrays = {
            column.name: np.array(
                [column.missing if v is None else v for v in contract.rows[column.name]],
                dtype=object
                if column.is_string
                else np.float64
                if column.holds == "numbers"
                else np.int64,
            )
            for column in contract.columns
        }
        answers = self.predict(arrays).answers
        for answer in contract.answers:
            due = contract.answered[answer.name]
            for row, (ours, theirs) in enumerate(zip(answers[answer.name].tolist(), due)):
                if answer.differs(ours, theirs):
                    raise UserError(
                        f"{where}: on this machine the graph answers its own test rows otherwise: "
                        f"{answer.name} is {ours!r} in row {row}, and was {theirs!r} when it was written. "
                        "Export the run anew, or install the onnxruntime that it was exported with"
                    )


def as_json(values: NDArray[np.generic]) -> list[Value]:
    """An answer as JSON has it."""
    found: list[Value] = values.tolist()
    return found
