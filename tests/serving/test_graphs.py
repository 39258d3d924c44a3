"""The graph of a run predicts what the run predicts: for every trunk, kind, encoding and type of column."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch
from onnx import helper
from scipy.special import ndtri

import polytask
from polytask.data.generate import short_video_log
from polytask.errors import UserError
from polytask.serving.contract import IDS, MISSING_INTEGER
from polytask.serving.graph.calendar import date_of, on_the_clock_of
from polytask.serving.graph.comparing import compared
from polytask.serving.graph.exporting import check_on, export_run, write_graph
from polytask.serving.graph.feeding import feeds_of
from polytask.serving.graph.normal import inverse_normal
from polytask.serving.graph.values import Nodes, Value
from polytask.serving.server.model import Graph
from polytask.trunks import TRUNKS
from serving_graphs import Made

KINDS: dict[str, dict[str, object]] = {
    "given": {"tasks": ["click:binary", "like:binary"], "given": {"like": "click"}},
    "multiclass": {"tasks": ["age=age_group:multiclass", "click:binary"]},
    "regression": {
        "tasks": [
            {
                "name": "watch",
                "column": "watch_seconds",
                "kind": {"name": "regression", "noise": "learned"},
            },
            "click:binary",
        ]
    },
    "log1p": {
        "tasks": ["watch=watch_seconds:regression", "click:binary"],
        "transform": {"watch": "log1p"},
    },
    "count": {"tasks": [{"name": "old", "column": "hours_since_upload", "kind": "count"}, "click"]},
    "quantile": {"tasks": ["watch=watch_seconds:quantile", "click:binary"]},
    "noise": {
        "tasks": [
            {"name": "click", "column": "click", "kind": {"name": "binary", "noise": "learned"}},
            {
                "name": "age",
                "column": "age_group",
                "kind": {"name": "multiclass", "noise": "learned"},
            },
        ]
    },
}
MODELS: dict[str, dict[str, object]] = {
    "plain": {"ensemble": 1, "cross_layers": 0, "shortcuts": False, "linear": False},
    "rich": {"ensemble": 2, "cross_layers": 1, "shortcuts": True, "linear": True},
    "bag": {"bag": 2, "ensemble": 1, "cross_layers": 0, "shortcuts": False},
    "aligned": {"align": True, "ensemble": 1, "cross_layers": 0},
}
TABLE_TRUNKS = [name for name, kind in TRUNKS.items() if not kind.reads_maps]
ENCODINGS = ("piecewise", "quantile", "standard")
# Every trunk, every kind, encoding and model once at least; trunks times kinds are slow. What torch takes
# longest to export stands beside the quickest trunks.
FEW = [
    ("single_task", "noise", "quantile", "plain"),
    ("shared_bottom", "multiclass", "standard", "bag"),
    ("shared_private", "regression", "piecewise", "plain"),
    ("soft_sharing", "log1p", "quantile", "rich"),
    ("cross_stitch", "count", "standard", "aligned"),
    ("sluice", "quantile", "piecewise", "plain"),
    ("mtan", "given", "standard", "plain"),
    ("omoe", "regression", "quantile", "rich"),
    ("mmoe", "given", "piecewise", "plain"),
    ("attention_moe", "log1p", "standard", "plain"),
    ("cgc", "count", "piecewise", "plain"),
    ("ple", "multiclass", "standard", "plain"),
]
SMALL = {
    "shared_bottom": {"hidden": (4,)},
    "mmoe": {"trunk": {"name": "mmoe", "top_k": 2}},
    "ple": {"trunk": {"name": "ple", "num_shared_experts": 1}},
}


@pytest.fixture(scope="module")
def videos() -> pa.Table:
    return short_video_log(1200)


def fitted(
    videos: pa.Table, trunk: str, kind: str, encoding: str, model: str, **more: object
) -> polytask.Run:
    options: dict[str, object] = {
        "inputs": ["author_id", "device", "duration_seconds", "followed_authors"],
        "trunk": trunk,
        "numeric_encoding": encoding,
        "num_bins": 3 if encoding == "piecewise" else None,
        "epochs": 1,
        "batch_size": 512,
        "tower_hidden": (4,) if model == "rich" else (),
        "baseline": "none",
        "intervals": False,
        "threads": 1,
        **MODELS[model],
        **SMALL.get(trunk, {}),
        **KINDS[kind],
        **more,
    }
    return polytask.fit(videos, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("trunk", "kind", "encoding", "model"), FEW)
def test_every_trunk_and_kind(
    videos: pa.Table, trunk: str, kind: str, encoding: str, model: str
) -> None:
    run = fitted(videos, trunk, kind, encoding, model)
    halved = replace(run, config=run.config.model_copy(update={"precision": "bf16"}))
    exported = export_run(halved if model == "aligned" else run)
    # Written means compared; the same again on rows of the table.
    distance, _, answers = compared(exported.content, exported.contract, run, videos)
    assert distance.share <= 1
    assert list(answers) == run.predict(videos[:2]).column_names


@pytest.mark.slow
@pytest.mark.parametrize(("place", "kind"), [*enumerate(KINDS)])
@pytest.mark.parametrize("trunk", TABLE_TRUNKS)
def test_every_trunk_with_every_kind(videos: pa.Table, trunk: str, place: int, kind: str) -> None:
    at = TABLE_TRUNKS.index(trunk) + place
    encoding, model = ENCODINGS[at % len(ENCODINGS)], [*MODELS][at % len(MODELS)]
    run = fitted(videos, trunk, kind, encoding, model)
    exported = export_run(run)
    assert compared(exported.content, exported.contract, run, videos)[0].share <= 1


def test_columns_of_every_type_and_derived_ones_on_the_rows_of_the_table(
    made: Made, log: pa.Table
) -> None:
    assert check_on(made.exported, log).share <= 1
    held = {column.name: column.holds for column in made.exported.contract.columns}
    assert held == {
        "user": "texts",
        "code": "texts",
        "item": "integers",
        "big": "large integers",
        "flag": "booleans",
        "few": "integers",
        "ms": "integers",
        "hourmin": "numbers",
        "score": "numbers",
        "there": "times",
        "day": "times",
    }


def test_the_number_of_rows_is_free_and_rows_do_not_mind_each_other(
    made: Made, log: pa.Table
) -> None:
    model = onnx.load_from_string(made.exported.content)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input} == {
        "rows"
    }
    graph = Graph.load(made.path, threads=1)
    feeds = feeds_of(log, graph.contract.columns)
    whole = graph.predict(feeds).answers["click"]
    for rows in (1, 2, 200):
        part = graph.predict({name: values[:rows] for name, values in feeds.items()})
        np.testing.assert_allclose(part.answers["click"], whole[:rows], atol=1e-6)


def test_what_is_missing_and_unseen_is_counted(made: Made) -> None:
    graph = Graph.load(made.path, threads=1)
    rows = {column.name: [column.missing] * 3 for column in graph.contract.columns}
    rows["user"] = ["u1", "nobody", ""]
    rows["code"] = ["007", "NA", "\u00fc"]
    arrays = {
        c.name: np.array(
            rows[c.name],
            dtype=object if c.is_string else np.float64 if c.holds == "numbers" else np.int64,
        )
        for c in graph.contract.columns
    }
    predicted = graph.predict(arrays)
    assert (predicted.missing["user"], predicted.unseen["user"]) == (1, 1)
    assert (predicted.missing["code"], predicted.unseen["code"]) == (1, 0)
    assert (predicted.missing["item"], predicted.unseen["item"]) == (3, 0)
    assert IDS not in predicted.answers and graph.contract.lookups[0] == "user"


@pytest.mark.parametrize("time", [pytest.param("ms", marks=pytest.mark.slow), "there"])
def test_histories_of_numbers_and_of_times(log: pa.Table, time: str) -> None:
    cuts = {"ms": ("1664582400000", "1667260800000"), "there": ("2022-10-01", "2022-11-01")}
    run = polytask.fit(
        log,
        ["click:binary"],
        inputs=["user", "item", time],
        history=["user", "item", "user * item"],
        time_column=time,
        valid_from=cuts[time][0],
        test_from=cuts[time][1],
        trunk="shared_bottom",
        hidden=(4,),
        epochs=1,
        baseline="none",
        intervals=False,
        threads=1,
    )
    assert "history" in run.inputs.by_name
    assert check_on(export_run(run), log).share <= 1


def test_derived_columns_may_be_inputs_of_the_graph(videos: pa.Table) -> None:
    run = fitted(
        videos,
        *("shared_bottom", "given", "standard", "plain"),
        derive=[
            "minutes = duration_seconds / 60",
            "is_long = minutes > 0.5",
            "day = date(time_ms, 'ms')",
        ],
        inputs=["minutes", "is_long", "device"],
    )
    exported = export_run(run, derived_as_inputs=True)
    assert [*sorted(column.name for column in exported.contract.columns)] == [
        *("device", "is_long", "minutes")
    ]
    assert check_on(exported, videos).share <= 1


def test_numbers_that_were_named_as_missing_are_missing(videos: pa.Table, tmp_path: Path) -> None:
    run = fitted(
        videos,
        *("shared_bottom", "given", "standard", "plain"),
        inputs=["hour", "duration_seconds"],
        missing=["hour=3", "duration_seconds=5.8"],
        categorical=["hour"],
    )
    path = tmp_path / "graph.onnx"
    write_graph(export_run(run), path)
    graph = Graph.load(path, threads=1)
    rows = {"hour": [3, MISSING_INTEGER, 4], "duration_seconds": [5.8, np.nan, 5.8]}
    named, missing, hour = graph.predict({k: np.array(v) for k, v in rows.items()}).answers["click"]
    assert named == missing != hour


def test_probabilities_of_very_rare_events_keep_their_digits(
    videos: pa.Table, tmp_path: Path
) -> None:
    run = fitted(videos, "shared_bottom", "given", "standard", "plain", inputs=["device"])
    with torch.no_grad():
        for head in run.model.heads:
            head.bias -= 40
    path = tmp_path / "graph.onnx"
    write_graph(export_run(run), path)
    graph = Graph.load(path, threads=1)
    found = graph.predict(feeds_of(videos[:50], graph.contract.columns)).answers
    due = run.predict(videos[:50])
    assert 0 < found["like"].max() < 1e-30 and found["click"].min() > 1e-22
    for name in ("click", "like", "like_given_click"):
        np.testing.assert_allclose(found[name], due[name].to_numpy(), rtol=1e-4)


def test_what_no_graph_has_is_refused_in_words(videos: pa.Table) -> None:
    options = {"inputs": ["device", "author_id"], "numeric_values": "none"}
    hashed = fitted(
        videos, "shared_bottom", "given", "standard", "plain", hash_buckets=5, min_count=9
    )
    with pytest.raises(UserError, match="column 'author_id' has hash_buckets"):
        export_run(hashed)
    texts = videos.append_column("title", pa.array([f"word {i % 7}" for i in range(len(videos))]))
    text = fitted(
        texts,
        *("shared_bottom", "given", "standard", "plain"),
        **{**options, "columns": {"text": ["title"]}, "inputs": ["title"]},
    )
    with pytest.raises(UserError, match="column 'title' is read as text, which no graph has"):
        export_run(text)
    dated = fitted(
        videos,
        *("shared_bottom", "given", "standard", "plain"),
        derive=["day = date(time_ms, 'ms')"],
        columns={"time": ["day"]},
        inputs=["day", "device"],
    )
    with pytest.raises(UserError, match="derived column 'day'"):
        export_run(dated)
    renamed = fitted(
        videos,
        *("shared_bottom", "given", "standard", "plain"),
        tasks=["device=click:binary"],
        given={},
    )
    with pytest.raises(UserError, match="'device' is a column of the table and of the predictions"):
        export_run(renamed)


def test_a_graph_that_predicts_otherwise_is_refused(made: Made, log: pa.Table) -> None:
    model = onnx.load_from_string(made.exported.content)
    link = next(node for node in model.graph.node if node.op_type == "Exp")
    link.op_type = "Abs"
    run = made.exported.run
    with pytest.raises(
        UserError,
        match=r"the graph predicts otherwise than the run: [a-z_]+ is .*; nothing was written",
    ):
        compared(model.SerializeToString(), made.exported.contract, run, log)


def test_a_trunk_that_freezes_the_number_of_rows_is_refused(videos: pa.Table) -> None:
    class Frozen(polytask.trunks.Trunk):
        def __init__(self, in_features: int, num_tasks: int) -> None:
            super().__init__()
            self.num_tasks, self.out_features = num_tasks, 4
            self.stem = torch.nn.Linear(in_features, 4)

        def share(self, x_BD: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.stem(x_BD) + torch.zeros(len(x_BD), 4),)

        def split(self, seam: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
            return [seam[0]] * self.num_tasks

        def input_weights(self) -> list[torch.Tensor]:
            return [self.stem.weight]

    options = {**MODELS["plain"], **KINDS["given"]}
    run = polytask.fit(
        videos, trunk=Frozen, inputs=["device"], epochs=1, baseline="none", threads=1, **options
    )
    with pytest.raises(UserError, match=r"write x\.shape\[0\]"):
        export_run(run)


def test_normal_scores_are_those_of_scipy(videos: pa.Table) -> None:
    shares = np.linspace(1 / 512, 1 - 1 / 512, 2001)
    nodes = Nodes()
    found = inverse_normal(Value(nodes, "x", "float64"))
    np.testing.assert_allclose(
        evaluated(nodes, found.name, x=shares), ndtri(shares), rtol=1e-14, atol=1e-15
    )


def evaluated(nodes: Nodes, name: str, **feeds: np.ndarray) -> np.ndarray:
    """What a graph of nodes makes of arrays."""
    kinds = {"float64": 11, "int64": 7}
    inputs = [
        helper.make_tensor_value_info(key, kinds[value.dtype.name], ["rows"])
        for key, value in feeds.items()
    ]
    output = onnx.ValueInfoProto(name=name)
    graph = helper.make_graph(
        nodes.nodes, "test", inputs, [output], initializer=[*nodes.constants.values()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, feeds)[0]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "Asia/Kolkata", "+05:30"])
def test_the_calendar_is_that_of_python(zone: str | None) -> None:
    zones = {None: UTC, "+05:30": timezone(timedelta(hours=5, minutes=30))}
    clock = zones.get(zone) or ZoneInfo(str(zone))
    rng = np.random.default_rng(0)
    # Around changes of the clocks too: the last Sundays of March and October at one in UTC.
    edges = [datetime(2021, 3, 28, 1, tzinfo=UTC), datetime(2021, 10, 31, 1, tzinfo=UTC)]
    near = [
        int((e - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) + s
        for e in edges
        for s in (-1, 0)
    ]
    seconds = np.concatenate([rng.integers(0, 4_000_000_000, 300), near]).astype(np.int64)
    nodes = Nodes()
    local = on_the_clock_of(zone, Value(nodes, "x", "int64"))
    parts = [evaluated(nodes, part.name, x=seconds * 1_000_000) for part in date_of(local)]
    hours = evaluated(nodes, (local % 86_400_000_000 // 3_600_000_000).name, x=seconds * 1_000_000)
    due = [datetime.fromtimestamp(int(s), tz=UTC).astimezone(clock) for s in seconds]
    assert [*zip(*parts, hours)] == [(d.year, d.month, d.day, d.hour) for d in due]
