"""Requests: what is answered, what is refused and in which words, counts, a file that is replaced."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from polytask.errors import UserError
from polytask.serving.contract import KEY, RawColumn
from polytask.serving.server.reading import BadRequestError, array_of
from polytask.serving.server.running import run_server
from serving_graphs import Made, Serving, served

Row = dict[str, object]


def ask(
    port: int, path: str, body: object = None, *, raw: bytes | None = None
) -> tuple[int, object]:
    """The status and the reply; a GET without a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    has_body = body is not None or raw is not None
    content = raw if raw is not None else json.dumps(body).encode()
    connection.request("POST" if has_body else "GET", path, content if has_body else None)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    is_json = reply.headers.get("content-type") == "application/json"
    return reply.status, json.loads(text) if is_json else text.decode()


@pytest.fixture(scope="module")
def rows(log: pa.Table) -> list[Row]:
    """Rows of the log as a JSON client has them: times as texts."""
    inputs = log.drop_columns(["click", "like", "topic", "watch"]).slice(0, 20).to_pylist()
    texts = ("there", "day")
    return [
        {
            k: v.isoformat() if k in texts and v is not None else None if v != v else v
            for k, v in row.items()
        }
        for row in inputs
    ]


def infer_body(rows: list[Row], **changes: Mapping[str, object]) -> dict[str, object]:
    """The rows as the Open Inference Protocol has them."""
    types = {"score": "FP64", "hourmin": "FP64", "flag": "BOOL", "big": "BYTES", "there": "BYTES"}
    types |= {"user": "BYTES", "code": "BYTES", "day": "BYTES"}
    inputs = []
    for name in rows[0]:
        tensor: dict[str, object] = {
            "name": name,
            "shape": [len(rows)],
            "datatype": types.get(name, "INT64"),
            "data": [row[name] for row in rows],
        }
        inputs.append(tensor | dict(changes.get(name, {})))
    return {"id": "7", "inputs": inputs}


def test_rows_columns_and_one_row_are_answered_as_the_run_predicts(
    serving: Serving, made: Made, log: pa.Table, rows: list[Row]
) -> None:
    due = made.run.predict(log[:20]).to_pylist()
    status, found = ask(serving.port, "/predict", rows)
    assert status == 200
    assert [*found[0]] == [*due[0]]
    for ours, theirs in zip(found, due):
        for name, value in theirs.items():
            assert ours[name] == (
                value if isinstance(value, str) else pytest.approx(value, rel=1e-5)
            )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert ask(serving.port, "/predict", columns) == (
        200,
        {n: [r[n] for r in found] for n in found[0]},
    )
    status, one = ask(serving.port, "/predict", rows[3])
    assert status == 200 and one["click"] == pytest.approx(found[3]["click"], abs=1e-6)


def test_the_open_inference_protocol(serving: Serving, made: Made, rows: list[Row]) -> None:
    path = f"/v2/models/{serving.current.graph.name}"
    assert ask(serving.port, "/v2/health/live") == (200, {"live": True})
    assert ask(serving.port, "/v2/health/ready") == (200, {"ready": True})
    assert ask(serving.port, f"{path}/ready")[0] == 200
    status, about = ask(serving.port, path)
    assert status == 200 and {"name": "user", "datatype": "BYTES", "shape": [-1]} in about["inputs"]
    assert {"name": "like", "kind": "binary", "unit": None, "given": "click"} in about["tasks"]
    status, reply = ask(serving.port, f"{path}/infer", infer_body(rows))
    assert status == 200 and reply["id"] == "7"
    outputs = {output["name"]: output for output in reply["outputs"]}
    assert outputs["click"]["datatype"] == "FP32" and outputs["click"]["shape"] == [20]
    assert outputs["topic"]["datatype"] == "BYTES"
    plain = ask(serving.port, "/predict", rows)[1]
    assert outputs["like"]["data"] == [row["like"] for row in plain]
    # What is the same for all rows, such as the user, may be sent once.
    once = [{**row, "user": "u1"} for row in rows]
    repeated = infer_body(once, user={"shape": [1], "data": ["u1"]})
    repeated["outputs"] = [{"name": "like"}]
    status, reply = ask(serving.port, f"{path}/infer", repeated)
    assert [output["name"] for output in reply["outputs"]] == ["like"]
    assert reply["outputs"][0]["data"] == [
        row["like"] for row in ask(serving.port, "/predict", once)[1]
    ]


def test_integers_may_come_as_whole_floats_and_digits(serving: Serving, rows: list[Row]) -> None:
    same = [{**rows[0], "few": 3}, {**rows[0], "few": 3.0}, {**rows[0], "few": "3"}]
    first, *others = ask(serving.port, "/predict", same)[1]
    assert others == [first, first]


def test_texts_that_stand_for_missing_are_missing(serving: Serving, rows: list[Row]) -> None:
    same = [{**rows[0], "user": word} for word in (None, "", "NA", " null ", "nobody")]
    first, *others, unseen = ask(serving.port, "/predict", same)[1]
    assert others == [first] * 3 and unseen != first


BAD: list[tuple[str, Mapping[str, object], str]] = [
    ("text for int", {"few": "abc"}, "'few' takes whole numbers"),
    ("a fraction for int", {"few": 7.5}, "'few' takes whole numbers"),
    ("true for int", {"few": True}, "'few' takes whole numbers"),
    ("beyond 64 bits", {"few": 2**70}, "'few' takes whole numbers"),
    ("number for text", {"user": 7}, "'user' takes texts"),
    ("text for number", {"score": "abc"}, "'score' takes numbers"),
    ("digits for number", {"score": "1.5"}, "'score' takes numbers"),
    ("a list for number", {"score": {"a": 1}}, "'score' takes numbers"),
    ("a word for a flag", {"flag": "perhaps"}, "'flag' takes true, false"),
    ("no time", {"day": "yesterday"}, "'day' takes times"),
    (
        "a time without its zone",
        {"there": "2022-01-01T00:00:00"},
        "'there' takes times with their zone",
    ),
    ("a time with a zone", {"day": "2022-01-01T00:00:00Z"}, "'day' takes times without a zone"),
]


@pytest.mark.parametrize(
    ("change", "words"), [each[1:] for each in BAD], ids=[each[0] for each in BAD]
)
def test_a_value_that_does_not_fit_is_named(
    serving: Serving, rows: list[Row], change: Mapping[str, object], words: str
) -> None:
    status, reply = ask(serving.port, "/predict", [rows[0], {**rows[1], **change}])
    assert status == 400
    assert words in reply["error"] and "row 1" in reply["error"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"score": NaN}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"7", "no JSON object"),
        (b"[]", "no rows"),
        (b"[7]", "a row is no JSON object"),
        (b"{}", "is lacking"),
        (b'{"score": [1], "few": 3}', "column 'few' is no list"),
        (b'{"scor": 1}', "did you mean 'scor'"),
    ],
)
def test_a_body_that_is_no_request_is_told(serving: Serving, raw: bytes, words: str) -> None:
    status, reply = ask(serving.port, "/predict", raw=raw)
    assert status == 400 and words in reply["error"]


def test_a_number_beyond_the_largest_and_ragged_columns(serving: Serving, rows: list[Row]) -> None:
    columns = json.dumps({name: [row[name] for row in rows[:2]] for name in rows[0]})
    huge = columns.replace(f'"hourmin": [{rows[0]["hourmin"]}', '"hourmin": [1e999')
    assert huge != columns
    status, reply = ask(serving.port, "/predict", raw=huge.encode())
    assert status == 400 and (
        "'hourmin' is infinite" in reply["error"] or "no JSON" in reply["error"]
    )
    ragged = {**json.loads(columns), "few": [1, 2, 3]}
    status, reply = ask(serving.port, "/predict", ragged)
    assert status == 400 and "has 2 values, but others have 3" in reply["error"]
    status, reply = ask(serving.port, "/predict", {**json.loads(columns), "few": []})
    assert status == 400 and "'few'" in reply["error"]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("few", {"name": "fw"}, "no column 'fw' - did you mean 'few'?"),
        ("few", {"name": "user"}, "'user' stands twice"),
        ("few", {"datatype": "FP64"}, "'few' has datatype INT64"),
        ("few", {"datatype": None}, "'few' has datatype INT64"),
        ("few", {"shape": [3]}, "'few' has the shape [3], but 20 values"),
        ("few", {"shape": [2, 10]}, "'few' has the shape [rows]"),
        ("few", {"data": 7}, "the data of column 'few' is no list"),
        ("few", {"data": [[1, 2]] * 20}, "'few' has one value a row"),
        ("few", {"data": [], "shape": [0]}, "'few'"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    serving: Serving, rows: list[Row], name: str, change: Mapping[str, object], words: str
) -> None:
    path = f"/v2/models/{serving.current.graph.name}/infer"
    status, reply = ask(serving.port, path, infer_body(rows, **{name: change}))
    assert status == 400 and words in reply["error"]


def test_other_mistakes_of_a_request(serving: Serving, rows: list[Row]) -> None:
    path = f"/v2/models/{serving.current.graph.name}/infer"
    body = infer_body(rows)
    assert ask(serving.port, path, {})[0] == 400
    status, reply = ask(serving.port, path, {**body, "outputs": [{"name": "clik"}]})
    assert status == 400 and "did you mean 'click'" in reply["error"]
    status, reply = ask(serving.port, path, {"inputs": body["inputs"][1:]})
    assert status == 400 and "'user' is lacking" in reply["error"]
    assert ask(serving.port, "/v2/models/other/infer", body)[0] == 404
    status, reply = ask(serving.port, "/nowhere")
    assert status == 404 and "POST /predict" in reply["error"]
    assert ask(serving.port, "/predict")[0] == 405


def test_a_body_above_the_limit_is_413(made: Made, rows: list[Row]) -> None:
    with served(made.path, most_bytes=1000) as small:
        status, reply = ask(small.port, "/predict", rows)
        assert status == 413 and "1,000 bytes" in reply["error"]
        # Without a length in front, as a stream of chunks.
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=30)
        connection.request(
            "POST",
            "/predict",
            iter([b" " * 600, b" " * 600]),
            encode_chunked=True,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert connection.getresponse().status == 413


def test_counts_are_those_of_the_requests(made: Made, rows: list[Row]) -> None:
    with served(made.path) as fresh:
        ask(fresh.port, "/predict", [{**rows[0], "user": None}, {**rows[0], "user": "nobody"}])
        ask(fresh.port, "/predict", raw=b"{")
        text = ask(fresh.port, "/metrics")[1]
    assert 'polytask_requests_total{path="/predict",code="200"} 1' in text
    assert 'polytask_requests_total{path="/predict",code="400"} 1' in text
    assert "polytask_rows_total 2" in text
    assert 'polytask_missing_total{column="user"} 1' in text
    assert 'polytask_unseen_total{column="user"} 1' in text
    assert 'polytask_request_seconds_bucket{le="+Inf"} 2' in text
    assert 'polytask_prediction_sum{prediction="click"} ' in text


def test_a_replaced_file_is_served_without_a_failed_request(
    made: Made, rows: list[Row], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(made.path, path)
    other = onnx.load(path)
    contract = json.loads(next(p.value for p in other.metadata_props if p.key == KEY))
    contract["polytask"] = "another"
    next(p for p in other.metadata_props if p.key == KEY).value = json.dumps(contract)
    statuses: list[int] = []
    stop = threading.Event()

    def asking() -> None:
        while not stop.is_set():
            statuses.append(ask(server.port, "/predict", rows[0])[0])

    with served(path) as server:
        thread = threading.Thread(target=asking)
        thread.start()
        beside = tmp_path / "beside.onnx"
        beside.write_bytes(other.SerializeToString())
        beside.replace(path)
        wait_for(lambda: server.current.graph.contract.polytask == "another")
        # Damage is told, and what was there before is served on.
        path.write_bytes(made.exported.content[:5000])
        wait_for(lambda: server.current.counts.reloads["failed"] == 1)
        assert server.current.graph.contract.polytask == "another"
        stop.set()
        thread.join()
    assert len(statuses) > 10 and set(statuses) == {200}
    assert server.current.counts.reloads == {"done": 1, "failed": 1}


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_serves_without_torch_and_stops_in_order(
    made: Made, rows: list[Row], workers: str
) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('slow:', *(m for m in ('torch', 'pyarrow', 'pandas') if m in sys.modules)))\n"
        "from polytask.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "serve", str(made.path.parent)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--workers", workers],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or is_ready(port), 60)
        assert ask(port, "/predict", rows[0])[0] == 200
    finally:
        process.terminate()
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"is served at http://127.0.0.1:{port}" in printed
    assert printed.splitlines()[-1].strip() == "slow:"


def is_ready(port: int) -> bool:
    try:
        return ask(port, "/v2/health/ready")[0] == 200
    except OSError:
        return False


def test_words_for_a_server_that_cannot_begin(made: Made, tmp_path: Path) -> None:
    def said(path: Path, port: int = 0) -> str:
        with pytest.raises(UserError) as refused:
            run_server(path, host="127.0.0.1", port=port, workers=1, threads=1, tell=print)
        return refused.value.message

    assert f"polytask export {tmp_path} makes it" in said(tmp_path)
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no graph")
    assert "this is no whole ONNX graph" in said(path)
    foreign = onnx.load(made.path)
    del foreign.metadata_props[:]
    path.write_bytes(foreign.SerializeToString())
    assert "was not written by polytask export" in said(path)
    otherwise = onnx.load(made.path)
    next(node for node in otherwise.graph.node if node.op_type == "Exp").op_type = "Abs"
    path.write_bytes(otherwise.SerializeToString())
    assert "answers its own test rows otherwise" in said(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "choose another --port" in said(made.path, taken.getsockname()[1])


@pytest.mark.parametrize(
    ("holds", "value", "due"),
    [
        ("texts", "a", "a"),
        ("texts", None, ""),
        ("integers", 2**62, 2**62),
        ("integers", None, -(2**63)),
        ("large integers", 2**63 + 1, str(2**63 + 1)),
        ("large integers", str(2**64 - 1), str(2**64 - 1)),
        ("booleans", "TRUE", 1),
        ("booleans", False, 0),
        ("times", "1970-01-01T00:00:01.5Z", 1_500_000),
        ("times", "1969-12-31", -86_400_000_000),
        ("times", 7, 7),
        ("numbers", 7, 7.0),
    ],
)
def test_values_of_json(holds: str, value: object, due: object) -> None:
    column = RawColumn("x", holds, words=("",))  # type: ignore[arg-type]
    assert array_of(column, [value]).tolist() == [due]


def test_a_missing_number_is_nan_and_long_values_are_cut_in_messages() -> None:
    assert np.isnan(array_of(RawColumn("x", "numbers"), [None, 1.0])[0])
    with pytest.raises(BadRequestError, match=r"it is 'a{39}\.\.\.$"):
        array_of(RawColumn("x", "integers"), ["a" * 1000])
