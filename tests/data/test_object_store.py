"""An object store of the test's own: hive-partitioned Parquet is fitted and predicted from, and refusals are told."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from polytask import fit
from polytask.data.readers import read_table

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something"}


def address(port: int) -> str:
    return f"s3://bucket/log?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def log(day: int) -> pa.Table:
    drawn = np.random.default_rng(day)
    item = drawn.integers(0, 30, 600)
    click = (drawn.random(600) < 0.2 + 0.6 * (item % 2)).astype(int)
    return pa.table({"item_id": item, "price": drawn.normal(size=600), "click": click})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of moto's server, with two days in a bucket."""
    server = shutil.which("moto_server")
    if server is None:
        pytest.skip("moto's server is not installed: pip install 'moto[server]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([server, "-p", str(port)], env=environment, **quiet)  # type: ignore[call-overload]
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        s3 = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        s3.create_dir("bucket")
        for day in (1, 2):
            pq.write_table(log(day), f"bucket/log/day={day}/part.parquet", filesystem=s3)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("on_disk", ["never", "always"])
def test_days_in_a_store_are_fitted_and_predicted(store: int, tmp_path: Path, on_disk: str) -> None:
    run = fit(
        address(store),
        ["click"],
        on_disk=on_disk,
        cache=tmp_path / "cache",
        epochs=2,
        baseline="none",
        out=tmp_path / "run",
    )
    assert run.metrics.data.rows["train"] == 960
    if on_disk == "always":
        (seen,) = run.metrics.data.seen
        assert seen.files == ("day=1/part.parquet", "day=2/part.parquet")
    local = pa.concat_tables([log(1), log(2)])
    assert read_table(address(store)).select(local.column_names) == read_table(local)
    days = pa.array(np.repeat([1, 2], 600))
    due = run.predict(local.append_column("day", days))["click"].to_numpy()
    np.testing.assert_allclose(run.predict(address(store))["click"].to_numpy(), due, atol=1e-6)
    predicted = tmp_path / "scores.parquet"
    command = [sys.executable, "-m", "polytask", "predict", str(tmp_path / "run"), address(store)]
    subprocess.run([*command, "--out", str(predicted)], check=True)
    np.testing.assert_allclose(pq.read_table(predicted)["click"].to_numpy(), due, atol=1e-6)


class _Refusing(BaseHTTPRequestHandler):
    """A store that knows nobody."""

    def do_GET(self) -> None:
        text = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_HEAD = do_PUT = do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_credentials_that_are_refused_are_one_message(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        command = [sys.executable, "-m", "polytask", "fit", address(server.server_port)]
        command += ["--task", "click", "--out", str(tmp_path / "run")]
        ended = subprocess.run(command, env=os.environ | KEYS, capture_output=True, text=True)
    finally:
        server.shutdown()
    assert ended.returncode == 2, ended.stderr
    assert "s3://bucket/log" in ended.stderr and "Traceback" not in ended.stderr
    assert "ACCESS_DENIED" in ended.stderr.upper().replace(" ", "_")
    assert not (tmp_path / "run").exists()
