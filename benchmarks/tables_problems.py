"""The tables of the suite: what each task is, which rows train and which test."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn import datasets
from tables_generated import campaign, clinic, counts, heavy_tails, robot_arm

from polytask.data.generate import short_video_log

DATA = Path(os.environ.get("POLYTASK_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Problem:
    """A table and its tasks, COLUMN:KIND. The other columns are inputs.

    `test`: rows to test on; else random rows, in as many splits as there are `repeats`; `gap`: the
    last fifth, so many rows after the rest. `options` are what a user of `polytask fit` adds.
    """

    frame: pd.DataFrame
    tasks: tuple[str, ...]
    test: pd.DataFrame | None = None
    gap: int | None = None
    repeats: int = 3
    options: dict[str, object] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each label column."""
        return dict(task.split(":") for task in self.tasks)

    @property
    def inputs(self) -> list[str]:
        return [name for name in self.frame if name not in self.kinds]

    def splits(self) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """Training and test rows: a fifth for the test, more where that would be a handful."""
        rows = len(self.frame)
        if self.test is not None:
            yield self.frame, self.test
            return
        if self.gap is not None:
            cut = int(0.8 * rows)
            yield self.frame.iloc[: cut - self.gap], self.frame.iloc[cut:]
            return
        share = 0.2 if rows >= 100 else 0.4
        for seed in range(self.repeats):
            order = np.random.default_rng(seed).permutation(rows)
            cut = int(share * rows)
            yield self.frame.iloc[order[cut:]], self.frame.iloc[order[:cut]]


def _bunch(loader: Callable[..., object]) -> pd.DataFrame:
    return loader(as_frame=True).frame.copy()  # type: ignore[attr-defined]


def _parquet(name: str) -> pd.DataFrame:
    return pq.read_table(DATA / f"{name}.parquet").to_pandas()


def digits() -> Problem:
    frame = _bunch(datasets.load_digits).rename(columns={"target": "digit"})
    frame["even"] = (frame["digit"] % 2 == 0).astype(int)
    frame["large"] = (frame["digit"] >= 5).astype(int)
    return Problem(frame, ("digit:multiclass", "even:binary", "large:binary"))


def breast_cancer() -> Problem:
    whole = _bunch(datasets.load_breast_cancer)
    frame = whole.drop(columns=[name for name in whole if str(name).startswith("worst")])
    frame["worst_smoothness"] = whole["worst smoothness"]
    frame["worst_texture"] = whole["worst texture"]
    tasks = ("target:binary", "worst_smoothness:regression", "worst_texture:regression")
    return Problem(frame, tasks, repeats=5)


def wine() -> Problem:
    frame = _bunch(datasets.load_wine).rename(columns={"target": "cultivar"})
    frame["strong"] = (frame.pop("alcohol") > 13).astype(int)
    return Problem(frame, ("cultivar:multiclass", "strong:binary"), repeats=5)


def diabetes() -> Problem:
    frame = _bunch(datasets.load_diabetes).rename(columns={"target": "progression"})
    frame["high"] = (frame["progression"] > 140).astype(int)
    return Problem(frame, ("progression:regression", "high:binary"), repeats=5)


def linnerud() -> Problem:
    frame = _bunch(datasets.load_linnerud)
    return Problem(frame, ("Weight:regression", "Waist:regression", "Pulse:regression"), repeats=5)


def rf1() -> Problem:
    frame = _parquet("rf1")
    return Problem(frame, tuple(f"{name}:regression" for name in frame.columns[-8:]), gap=48)


def many_labels(name: str) -> Problem:
    """Class 14 of yeast, with 34 positives in all, is left out: its AUC is chance."""
    frame = _parquet(name)
    is_test = frame.pop("split") == "test"
    labels = [column for column in frame if column.startswith("label_")]
    frame = frame.drop(columns=[c for c in labels if frame[c].sum() < 50])
    tasks = tuple(f"{c}:binary" for c in labels if c in frame)
    return Problem(frame[~is_test], tasks, test=frame[is_test])


def bibtex() -> Problem:
    """The 300 most frequent words, the ten most frequent tags."""
    with np.load(DATA / "bibtex.npz", allow_pickle=False) as file:
        words = np.unpackbits(file["words"], axis=1)[:, : int(file["num_words"])]
        labels = np.unpackbits(file["labels"], axis=1)[:, : int(file["num_labels"])]
        is_test = file["split"] == 2
    words = words[:, np.sort(np.argsort(-words[~is_test].sum(0), kind="stable")[:300])]
    labels = labels[:, np.argsort(-labels[~is_test].sum(0), kind="stable")[:10]]
    frame = pd.DataFrame(words, columns=[f"word_{i}" for i in range(words.shape[1])])
    tags = pd.DataFrame(labels, columns=[f"tag_{i}" for i in range(labels.shape[1])])
    frame = pd.concat([frame, tags], axis=1)
    return Problem(frame[~is_test], tuple(f"{t}:binary" for t in tags), test=frame[is_test])


def _census(second: Callable[[pd.DataFrame], pd.Series]) -> Callable[[], Problem]:
    def made() -> Problem:
        parts = []
        for part in ("train", "test"):
            frame = _parquet(f"census_income_{part}")
            rich = frame.pop("income").str.contains("50000+", regex=False).astype(int)
            other = second(frame).astype(int)
            frame = frame.drop(columns=["education", "marital_status", "instance_weight"])
            parts.append(frame.assign(income=rich, second=other))
        return Problem(parts[0], ("income:binary", "second:binary"), test=parts[1])

    return made


_DEGREES = ("Bachelors", "Masters", "Doctorate", "Prof school", "Associates")


def _college(frame: pd.DataFrame) -> pd.Series:
    return frame["education"].str.strip().str.startswith(_DEGREES)


def kuairand() -> Problem:
    """Split by time; the feedback columns that are no task are left out."""
    frame = _parquet("kuairand_pure").sort_values("time_ms", kind="stable")
    frame["hour"] = frame.pop("hourmin") // 100
    feedback = ["follow", "comment", "forward", "hate", "profile_enter"]
    dropped = [f"is_{name}" for name in feedback] + ["play_time_ms"]
    frame = frame.drop(columns=dropped)
    is_test = frame["time_ms"] >= 1_651_680_000_000
    options: dict[str, object] = {
        "categorical": ["hour"],
        "time_column": "time_ms",
        "valid_from": 1_651_593_600_000,
        "group": "user_id",
        "epochs": 1,
        "validations_per_epoch": 4,
    }
    tasks = ("is_click:binary", "long_view:binary", "is_like:binary")
    return Problem(frame[~is_test], tasks, test=frame[is_test], options=options)


def short_video() -> Problem:
    """The table of `polytask demo`, its last tenth tested."""
    frame = short_video_log(60_000).to_pandas()
    tasks = ("click:binary", "like:binary", "follow:binary", "watch_seconds:regression")
    return Problem(frame[:54_000], tasks, test=frame[54_000:])


CHOSEN: dict[str, Callable[[], Problem]] = {
    "wine": wine,
    "diabetes": diabetes,
    "breast_cancer": breast_cancer,
    "yeast": lambda: many_labels("yeast"),
    "census_married": _census(lambda f: f["marital_status"].str.strip() == "Never married"),
    "kuairand": kuairand,
    "heavy_tails": lambda: Problem(*heavy_tails()),
    "robot_arm": lambda: Problem(*robot_arm(), repeats=1),
}
"""Defaults were chosen with an eye on these."""
CARRIED: dict[str, Callable[[], Problem]] = {
    "digits": digits,
    "linnerud": linnerud,
    "rf1": rf1,
    "scene": lambda: many_labels("scene"),
    "bibtex": bibtex,
    "census_college": _census(_college),
    "short_video": short_video,
    "clinic": lambda: Problem(*clinic()),
    "campaign": lambda: Problem(*campaign(), repeats=1),
    "counts": lambda: Problem(*counts()),
}
"""And these say whether they carry over."""
PROBLEMS = CHOSEN | CARRIED
