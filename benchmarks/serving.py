"""What a prediction costs: the exported graph beside `Run.predict`, and the server's part of a request.

Both predict the same rows in one process, in turns, with one thread; the least of the times counts, since other
programs run. The server's time is that of its process on the processor, of requests one after another.

    python benchmarks/serving.py
    python benchmarks/serving.py census        # needs POLYTASK_DATA
    python benchmarks/serving.py ids           # a column of a million whole numbers; texts: of texts
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from main_job import DATA, JOBS

import polytask
from polytask.data.generate import short_video_log
from polytask.data.readers import read_table
from polytask.serving.graph.exporting import export_run, write_graph
from polytask.serving.graph.feeding import feeds_of
from polytask.serving.server.model import Graph

ROWS = (1, 200)
REQUESTS = 400
LABELS = ["click", "like", "follow", "watch_seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?", default="video", choices=TABLES)
    parser.add_argument("--preset", default="default", help="that of the fit")
    parser.add_argument("--repeats", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        run, rows = TABLES[chosen.table](path, chosen.preset)
        began = time.process_time()
        exported = export_run(run)
        print(f"export: {time.process_time() - began:.1f} s of the processor, {exported.distance}")
        write_graph(exported, path / "model.onnx")
        print(f"{len(exported.contract.columns)} columns, {len(exported.contract.answers)} answers")
        print(f"file: {len(exported.content) / 1e6:.2f} MB, weights {weights(path):.2f} MB")
        beside_each_other(run, path, rows, chosen.repeats)
        of_the_server(path, rows)


def video(path: Path, preset: str) -> tuple[polytask.Run, pa.Table]:
    """Click, like and watch time of the demo's log: 12 columns."""
    log = short_video_log(100_000)
    run = polytask.fit(
        log,
        ["click:binary", "like:binary", "watch=watch_seconds:regression"],
        transform={"watch": "log1p"},
        ignore=["follow"],
        out=path,
        **options(preset),
    )
    return run, log.drop_columns(LABELS)


def census(path: Path, preset: str) -> tuple[polytask.Run, pa.Table]:
    """Income and never married of Census-Income: 36 columns."""
    file, arguments, _ = JOBS["census"]
    chosen = (
        "--preset",
        preset,
        "--epochs",
        "1",
        "--baseline",
        "none",
        "--no-intervals",
        "--threads",
        "1",
    )
    command = [sys.executable, "-m", "polytask", "fit", str(DATA / file), *arguments, *chosen]
    subprocess.run([*command, "--out", str(path)], check=True, stdout=subprocess.DEVNULL)
    run = polytask.load(path)
    return run, read_table(DATA / file, columns=[*dict.fromkeys(run.inputs.columns)]).slice(
        0, max(ROWS)
    )


def ids(path: Path, preset: str, *, is_text: bool = False) -> tuple[polytask.Run, pa.Table]:
    """A million ids, each in two rows, and a small network."""
    random = np.random.default_rng(0)
    values = np.arange(1_000_000) * 7 + 3
    user = pa.array([f"u{value}" for value in values]) if is_text else pa.array(values)
    table = pa.table(
        {
            "user": pa.concat_arrays([user, user]),
            "score": random.normal(size=2 * len(values)),
            "click": (random.random(2 * len(values)) < 0.3).astype(int),
        }
    )
    small = {"trunk": "shared_bottom", "hidden": (4,), "ensemble": 1, "cross_layers": 0}
    more = {"categorical": ["user"], "embedding_dim": 2, "batch_size": 1 << 16}
    held_out = {"valid_fraction": 0.01, "test_fraction": 0.01}
    run = polytask.fit(
        table, ["click:binary"], out=path, **small, **more, **held_out, **options(preset)
    )
    return run, table.drop_columns(["click"]).slice(0, max(ROWS))


def texts(path: Path, preset: str) -> tuple[polytask.Run, pa.Table]:
    """The same of texts."""
    return ids(path, preset, is_text=True)


def options(preset: str) -> dict[str, object]:
    return {"preset": preset, "epochs": 1, "baseline": "none", "intervals": False, "threads": 1}


def weights(path: Path) -> float:
    return sum((path / name).stat().st_size for name in ("model.safetensors", "encoder.json")) / 1e6


def beside_each_other(run: polytask.Run, path: Path, rows: pa.Table, repeats: int) -> None:
    began = time.process_time()
    graph = Graph.load(path / "model.onnx", threads=1)
    print(f"load: {time.process_time() - began:.2f} s of the processor")
    names = [column.name for column in graph.contract.columns]
    rows = rows.select(names)
    print("\nms, least of", repeats, "| Run.predict | graph | as fast")
    for number in ROWS:
        table = rows.slice(0, number).combine_chunks()
        feeds = feeds_of(table, graph.contract.columns)
        ours, theirs = in_turns(partial(run.predict, table), partial(graph.predict, feeds), repeats)
        print(f"{number} rows | {ours:.2f} | {theirs:.3f} | {ours / theirs:.1f} times")


def in_turns(
    first: Callable[[], object], second: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """The least milliseconds of each."""
    best = [float("inf")] * 2
    for _ in range(repeats):
        for place, call in enumerate((first, second)):
            began = time.perf_counter()
            call()
            best[place] = min(best[place], 1000 * (time.perf_counter() - began))
    return best[0], best[1]


def of_the_server(path: Path, rows: pa.Table) -> None:
    began = time.monotonic()
    command = [sys.executable, "-m", "polytask", "serve", str(path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        port = int(told.split("http://127.0.0.1:")[1].split(",")[0])
        names = [column["name"] for column in columns_of(port, path.name)]
        print(
            f"\nserver: ready after {time.monotonic() - began:.1f} s, {memory(process.pid):.0f} MB"
        )
        for number in ROWS:
            bodies = rows.select(names).slice(0, number).to_pydict()
            spent, least = asked(port, process.pid, json.dumps(bodies))
            print(f"{number} rows: {spent:.2f} ms of the processor a request, least {least:.2f} ms")
        print(f"then {memory(process.pid):.0f} MB")
    finally:
        process.terminate()
        process.wait()


def columns_of(port: int, name: str) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/v2/models/{name}")
    found: list[dict[str, str]] = json.loads(connection.getresponse().read())["inputs"]
    return found


def asked(port: int, process: int, body: str) -> tuple[float, float]:
    """The processor's milliseconds a request, and the least of the client's."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    least = float("inf")
    for number in range(REQUESTS + 20):
        if number == 20:
            before = processor_seconds(process)
        began = time.perf_counter()
        connection.request("POST", "/predict", body)
        reply = connection.getresponse()
        text = reply.read()
        assert reply.status == 200, text
        least = min(least, 1000 * (time.perf_counter() - began))
    return 1000 * (processor_seconds(process) - before) / REQUESTS, least


def processor_seconds(process: int) -> float:
    """Of all threads, in steps of a hundredth."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory(process: int) -> float:
    """The process's own part, in MB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    return float("nan")


TABLES = {"video": video, "census": census, "ids": ids, "texts": texts}

if __name__ == "__main__":
    main()
