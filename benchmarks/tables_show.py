"""What came of the suite of tables: scores beside the trees', ranks and costs, from kept predictions."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from tables_models import MODELS, Fitted
from tables_problems import CHOSEN, PROBLEMS, Problem

Values = NDArray[np.float64]
MARGIN = 0.03
_RESAMPLES = 100
_FEW_TEST_ROWS = 30
"""An R2 of fewer rows is noise: such a table is shown, and left out of the means."""


@dataclass(frozen=True)
class Kept:
    """The predictions of a model on the test rows of one split of a table."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, table: str, split: int) -> "Kept":
        return cls(folder / table / str(split))

    def labels(self) -> tuple[dict[str, str], dict[str, Values]]:
        return json.loads((self.folder / "kinds.json").read_text()), self._read("labels")

    def write_labels(self, problem: Problem, labels: dict[str, Values]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "kinds.json").write_text(json.dumps(problem.kinds))
        np.savez_compressed(self.folder / "labels.npz", **labels)

    def models(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.npz") if path.stem != "labels")

    def write(self, model: str, fitted: Fitted) -> None:
        np.savez_compressed(self.folder / f"{model}.npz", **fitted.predictions)
        told = [fitted.seconds, fitted.predict_seconds, fitted.parameters]
        (self.folder / f"{model}.json").write_text(json.dumps(told))

    def told(self, model: str) -> tuple[float, float, int | None]:
        seconds, predict_seconds, parameters = json.loads(
            (self.folder / f"{model}.json").read_text()
        )
        return seconds, predict_seconds, parameters

    def predictions(self, model: str) -> dict[str, Values]:
        return self._read(model)

    def _read(self, name: str) -> dict[str, Values]:
        with np.load(self.folder / f"{name}.npz", allow_pickle=True) as file:
            return dict(file)


def score(kind: str, labels: Values, predicted: Values) -> float:
    if kind == "binary":
        return float(roc_auc_score(labels, predicted))
    return float((accuracy_score if kind == "multiclass" else r2_score)(labels, predicted))


@dataclass(frozen=True, eq=False)
class Row:
    """A task's score by model and split, and the half width of polytask's gap to the trees."""

    table: str
    task: str
    scores: dict[str, dict[int, float]]
    half_width: float
    num_test: int

    def means(self, models: Sequence[str]) -> dict[str, float]:
        """Over the splits that all of these models have; empty where there is none."""
        common = set.intersection(*({*self.scores.get(m, {})} for m in models))
        if not common:
            return {}
        return {m: float(np.mean([self.scores[m][split] for split in common])) for m in models}


def rows(folder: Path) -> Iterator[Row]:
    for table in PROBLEMS:
        splits = [Kept(path) for path in sorted((folder / table).glob("*")) if path.is_dir()]
        read = [
            (split.labels(), {m: split.predictions(m) for m in split.models()}) for split in splits
        ]
        for task, kind in read[0][0][0].items() if read else ():
            scores: dict[str, dict[int, float]] = {}
            for number, ((_, labels), predicted) in enumerate(read):
                for model, found in predicted.items():
                    value = score(kind, labels[task], found[task])
                    scores.setdefault(model, {})[number] = value
            parts = [
                (labels[task], found["polytask"][task], found["trees"][task])
                for (_, labels), found in read
                if {"polytask", "trees"} <= {*found}
            ]
            width = _half_width(kind, parts) if parts else np.nan
            yield Row(table, task, scores, width, len(read[0][0][1][task]))


def _half_width(kind: str, parts: list[tuple[Values, Values, Values]]) -> float:
    """Of the gap's 95 % interval: test rows drawn again; over several splits their spread, if wider."""
    draw = np.random.default_rng(0)
    means = []
    for _ in range(_RESAMPLES):
        gaps = []
        for labels, ours, theirs in parts:
            chosen = draw.integers(0, len(labels), len(labels))
            if kind == "binary" and len(np.unique(labels[chosen])) < 2:
                continue
            y = labels[chosen]
            gaps.append(score(kind, y, ours[chosen]) - score(kind, y, theirs[chosen]))
        means.append(float(np.mean(gaps)) if gaps else 0.0)
    gaps = [score(kind, y, a) - score(kind, y, b) for y, a, b in parts]
    spread = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
    return 1.96 * max(float(np.std(means)), spread)


def show(folder: Path) -> None:
    found = list(rows(folder))
    models = [m for m in MODELS if any(m in row.scores for row in found)]
    models += sorted({m for row in found for m in row.scores} - {*models})
    print(f"| table | task | {' | '.join(models)} | less trees |")
    print(f"|---|---|{'--:|' * len(models)}--:|")
    for row in found:
        cells = [f"{row.means([m])[m]:.3f}" if m in row.scores else "" for m in models]
        pair = row.means(["polytask", "trees"])
        gap = f"{pair['polytask'] - pair['trees']:+.3f} +- {row.half_width:.3f}" if pair else ""
        star = "" if row.table in CHOSEN else " *"
        print(f"| {row.table}{star} | {row.task} | {' | '.join(cells)} | {gap} |")
    print("\n* not looked at while the defaults were chosen")
    counted = [row for row in found if row.num_test >= _FEW_TEST_ROWS]
    base = ["polytask", "trees"]
    _summary([row for row in counted if row.table not in CHOSEN], base, " not looked at before")
    for more in ([], ["linear"], ["single"], ["tuned trees"], ["RealMLP-TD", "TabM"]):
        _summary(counted, base + more)
    _summary(counted, models)
    _ingredients(counted, [m for m in models if m not in MODELS])
    _costs(folder, models)


def _ingredients(found: list[Row], variants: list[str]) -> None:
    """What polytask gains over itself with other options: the mean of tables' means, and its interval."""
    if not variants:
        return
    print("\n| without, or otherwise | tables | tasks | polytask gains | on single tables |")
    print("|---|--:|--:|--:|---|")
    for variant in variants:
        gains: dict[str, list[float]] = {}
        for row in found:
            if means := row.means(["polytask", variant]):
                gains.setdefault(row.table, []).append(means["polytask"] - means[variant])
        by_table = {table: float(np.mean(each)) for table, each in gains.items()}
        values = [*by_table.values()]
        half = 1.96 * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        single = ", ".join(f"{table} {gain:+.3f}" for table, gain in by_table.items())
        num_tasks = sum(map(len, gains.values()))
        mean = f"{np.mean(values):+.4f} +- {half:.4f}"
        print(f"| {variant} | {len(values)} | {num_tasks} | {mean} | {single} |")


def _summary(found: list[Row], models: list[str], which: str = "") -> None:
    """Over the tasks and splits that all of these models have, trees among them; each table counts alike.

    An R2 below 0 counts as 0: no better than the mean, however far from it.
    """
    scored = {
        row: {model: max(value, 0.0) for model, value in means.items()}
        for row in found
        if (means := row.means(models))
    }
    tables = sorted({row.table for row in scored})
    if not tables or "trees" not in models:
        return
    print(f"\n{len(scored)} tasks of {len(tables)} tables{which}, on equal splits:\n")
    print("| model | mean rank | mean gap to trees | worst gap | tasks below -.03 |")
    print("|---|--:|--:|--:|--:|")
    ranks = {
        row: dict(zip(models, rankdata([-means[m] for m in models]), strict=True))
        for row, means in scored.items()
    }
    for model in models:
        by_table = [[row for row in scored if row.table == table] for table in tables]
        rank = np.mean([np.mean([ranks[row][model] for row in part]) for part in by_table])
        gaps = [[scored[row][model] - scored[row]["trees"] for row in part] for part in by_table]
        flat = [gap for part in gaps for gap in part]
        mean = np.mean([np.mean(part) for part in gaps])
        below = sum(gap < -MARGIN for gap in flat)
        print(f"| {model} | {rank:.2f} | {mean:+.4f} | {min(flat):+.3f} | {below} |")


def _costs(folder: Path, models: list[str]) -> None:
    print(
        "\nSeconds to fit all tasks (one thread), seconds to predict the test rows, parameters:\n"
    )
    print(f"| table | {' | '.join(models)} |")
    print(f"|---|{'--:|' * len(models)}")
    for table in PROBLEMS:
        first = Kept.of(folder, table, 0)
        if not first.folder.exists():
            continue
        cells = []
        for model in models:
            if model not in first.models():
                cells.append("")
                continue
            seconds, predicting, size = first.told(model)
            cells.append(f"{seconds:.1f}, {predicting:.2f}" + (f", {size:,}" if size else ""))
        print(f"| {table} | {' | '.join(cells)} |")
