"""The tables and the arms of reproductions/auxiliary.py."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA, Parts

LISTS = ("shown", "liked", "watched_long")
RATES, WEIGHTS, FIRST_EPOCHS = (0.001, 0.003, 0.01), (0.1, 0.3, 1.0), (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """What is added: losses or the related task, on labelled rows or on all, and before the rest or with it."""

    title: str
    losses: tuple[str, ...] = ()
    is_related: bool = False
    on_all_rows: bool = True
    is_first: bool = False

    @property
    def candidates(self) -> tuple[float, ...]:
        """Learning rates of nothing, epochs of what comes first, weights of the others."""
        if not self.losses and not self.is_related:
            return RATES
        return FIRST_EPOCHS if self.is_first else WEIGHTS


@dataclass(frozen=True, slots=True)
class Table:
    """Options of a fit, the arms, and by the share of labels (epochs over the labelled rows, rows a batch)."""

    options: Mapping[str, object]
    arms: tuple[Arm, ...]
    steps: Mapping[float, tuple[int, int]]
    parts: Parts | None = None


NOTHING = Arm("nothing", on_all_rows=False)
_COLUMNS = (
    NOTHING,
    Arm("replaced values", ("replaced_values",)),
    Arm("masked columns", ("masked_columns",)),
    Arm("frequency of a category", ("frequency",)),
    Arm("related label, known where the goals are", is_related=True, on_all_rows=False),
    Arm("related label, known everywhere", is_related=True),
    Arm("both losses alone, then the goals", ("replaced_values", "masked_columns"), is_first=True),
)
_TEXTS = (
    NOTHING,
    Arm("replaced words", ("replaced_tokens",)),
    Arm("swapped order", ("swapped_order",)),
    Arm("both losses alone, then the goals", ("replaced_tokens", "swapped_order"), is_first=True),
)
_CLICKS = (
    NOTHING,
    Arm("replaced items of lists", ("replaced_tokens",)),
    Arm("the user's past by tag", ("histogram",)),
)
_LARGE = {0.01: (30, 128), 0.1: (6, 256), 1.0: (2, 1024)}
_COMMON: Mapping[str, object] = {
    "trunk": {"name": "shared_bottom", "hidden": [128, 64]},
    "embedding_dim": 8,
    "cross_layers": 0,
    "ensemble": 1,
    "threads": 1,
    "patience": 0,
}


def table_of(name: str) -> Table:
    """One of census, kuairand, cola and clicks."""
    return {"census": _census, "kuairand": _kuairand, "cola": _cola, "clicks": _clicks}[name]()


def _census() -> Table:
    losses = ["replaced_values", "masked_columns", _frequency("occupation_code")]
    options = {
        "table": str(DATA / "census_income_train.parquet"),
        "test": str(DATA / "census_income_test.parquet"),
        "tasks": [
            "income:binary:50000+",
            "never_married=marital_status:binary:Never married",
            _related("weeks_worked", "regression"),
        ],
        "ignore": "education,marital_status,instance_weight",
        "auxiliary": losses,
    }
    return Table({**_COMMON, **options}, _COLUMNS, _LARGE)


def _kuairand() -> Table:
    losses = ["replaced_values", "masked_columns", _frequency("video_id")]
    options = {
        "table": str(DATA / "kuairand_pure.parquet"),
        "derive": ("play_seconds = play_time_ms / 1000", "hour = hourmin // 100"),
        "tasks": [
            "click=is_click",
            "like=is_like",
            _related("play_seconds", {"name": "regression", "transform": "log1p"}),
        ],
        "after": "is_follow,is_comment,is_forward,is_hate,is_profile_enter,long_view",
        "categorical": "hour",
        "time_column": "time_ms",
        "valid_from": 1651593600000,
        "test_from": 1651680000000,
        "auxiliary": losses,
    }
    return Table({**_COMMON, **options}, _COLUMNS, _LARGE)


def _clicks() -> Table:
    """KuaiRand-Pure with the lists of what each user was shown, liked and watched before the log begins."""
    plain = _kuairand()
    log = pq.read_table(DATA / "kuairand_pure.parquet")
    history = pq.read_table(DATA / "kuairand_history.parquet")
    place = {user: row for row, user in enumerate(history["user_id"].to_pylist())}
    rows = pa.array([place.get(user) for user in log["user_id"].to_pylist()], pa.int64())
    for name in LISTS:
        log = log.append_column(name, history[name].combine_chunks().take(rows))
    first = [None if tag is None else str(tag).split(",")[0] for tag in log["tag"].to_pylist()]
    log = log.append_column("first_tag", pa.array(first))
    past = {"name": "histogram", "key": "user_id", "column": "first_tag", "time": "time_ms"}
    options = {
        **{key: value for key, value in plain.options.items() if key != "table"},
        "tasks": ["click=is_click", "like=is_like"],
        "after": f"{plain.options['after']},play_time_ms",
        "derive": ("hour = hourmin // 100",),
        "ignore": "first_tag",
        "columns": {"sequence": ["video_id", *LISTS]},
        "input_options": {"sequence": {"encoder": "mean", "max_length": 20}},
        "auxiliary": ["replaced_tokens", past],
    }
    return Table(options, _CLICKS, _LARGE, Parts(log, None, None))


def _cola() -> Table:
    whole = pq.read_table(DATA / "glue_pairs.parquet", columns=["task", "split", "label", "text_a"])
    rows = whole.filter(pc.equal(whole["task"], "cola"))
    parts = [
        rows.filter(pc.equal(rows["split"], part)).select(["label", "text_a"])
        for part in ("train", "valid", "test")
    ]
    text = {"encoder": "cnn", "vectors": str(DATA / "glove_50d.npz"), "max_length": 30}
    options = {
        "tasks": ["acceptable=label:binary"],
        "columns": {"text": ["text_a"]},
        "input_options": {"text": text},
        "auxiliary": ["replaced_tokens", "swapped_order"],
        "batch_by": "chance",
    }
    shared = {key: value for key, value in _COMMON.items() if key != "embedding_dim"}
    steps = {0.01: (30, 8), 0.1: (15, 32), 1.0: (6, 64)}
    return Table({**shared, **options}, _TEXTS, steps, Parts(*parts))


def _related(column: str, kind: object) -> dict[str, object]:
    return {"name": "related", "column": column, "kind": kind, "auxiliary": True}


def _frequency(column: str) -> dict[str, object]:
    return {"name": "frequency", "column": column}
