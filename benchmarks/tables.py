"""polytask's defaults on many tables, beside one model a task: trees, linear models, RealMLP and TabM.

    python benchmarks/tables.py                                    # all tables, polytask, trees, linear
    python benchmarks/tables.py wine yeast --models polytask trees "tuned trees"
    python benchmarks/tables.py rf1 --models polytask --set epochs=40 --name "40 epochs"
    python benchmarks/tables.py --show                             # what was kept, nothing is fitted

Predictions are kept under runs/tables (--keep FOLDER), so that a table or a model can be added later
without the others being fitted again. Needs scikit-learn, and the data folder (POLYTASK_DATA, else
../shared/data); RealMLP-TD and TabM need POLYTASK_PEERS, the Python of an environment with pytabkit.

Scores: AUC of yes or no, accuracy of classes, R2 of numbers and counts; intervals of the gap by a
bootstrap of the test rows, of several splits over the splits as well.
"""

import argparse
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

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


def fit_all(
    names: list[str], models: list[str], settings: dict[str, str], called: str | None, folder: Path
) -> None:
    for name in names:
        problem = PROBLEMS[name]()
        for split, (train, test) in enumerate(problem.splits()):
            kept = Kept.of(folder, name, split)
            kept.write_labels(problem, {label: test[label].to_numpy() for label in problem.kinds})
            for model in models:
                title = called or model
                if title in kept.models():
                    continue
                fitted = MODELS[model](problem, train, test, settings)
                kept.write(title, fitted)
                scores = {
                    label: round(score(kind, test[label].to_numpy(), fitted.predictions[label]), 3)
                    for label, kind in problem.kinds.items()
                }
                print(f"{name} {split} {title}: {scores} in {fitted.seconds:.1f} s", flush=True)


@dataclass(frozen=True)
class Row:
    """A task's mean score by model, and the half widths of the gaps to the trees."""

    table: str
    task: str
    scores: dict[str, float]
    half_widths: dict[str, float]
    num_test: int


def rows(folder: Path) -> Iterator[Row]:
    for table in PROBLEMS:
        splits = [Kept(path) for path in sorted((folder / table).glob("*")) if path.is_dir()]
        if not splits:
            continue
        shared = set.intersection(*(set(split.models()) for split in splits))
        kinds, _ = splits[0].labels()
        read = [(s.labels()[1], {m: s.predictions(m) for m in shared}) for s in splits]
        for task, kind in kinds.items():
            scores = {
                m: float(np.mean([score(kind, y[task], p[m][task]) for y, p in read]))
                for m in shared
            }
            halves = {
                m: _half_width(kind, [(y[task], p[m][task], p["trees"][task]) for y, p in read])
                for m in shared
                if "trees" in shared and m == "polytask"
            }
            yield Row(table, task, scores, halves, len(read[0][0][task]))


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
        cells = [f"{row.scores[m]:.3f}" if m in row.scores else "" for m in models]
        gap = row.scores.get("polytask", np.nan) - row.scores.get("trees", np.nan)
        half = row.half_widths.get("polytask", np.nan)
        star = "" if row.table in CHOSEN else " *"
        print(
            f"| {row.table}{star} | {row.task} | {' | '.join(cells)} | {gap:+.3f} +- {half:.3f} |"
        )
    print("\n* not looked at while the defaults were chosen\n")
    for others in (["polytask", "single", "trees", "linear"], models):
        counted = [row for row in found if row.num_test >= _FEW_TEST_ROWS]
        _summary([row for row in counted if {*others} <= {*row.scores}], others)
    _costs(folder, models)


def _summary(found: list[Row], models: list[str]) -> None:
    """Over the tasks that all of these models were fitted on; each table counts alike."""
    if not found:
        return
    tables = sorted({row.table for row in found})
    print(f"\nOver {len(found)} tasks of {len(tables)} tables that all of these have:\n")
    print("| model | mean rank | mean gap to trees | worst gap | tasks below -.03 |")
    print("|---|--:|--:|--:|--:|")
    ranks = {
        id(row): dict(zip(models, rankdata([-row.scores[m] for m in models]), strict=True))
        for row in found
    }
    for model in models:
        by_table = [[r for r in found if r.table == table] for table in tables]
        rank = np.mean([np.mean([ranks[id(r)][model] for r in part]) for part in by_table])
        gaps = [[r.scores[model] - r.scores["trees"] for r in part] for part in by_table]
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[*PROBLEMS, []], default=[])
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["polytask", "trees", "linear"]
    )
    parser.add_argument("--set", nargs="*", default=[], help="options of fit, NAME=VALUE")
    parser.add_argument("--name", help="what the predictions are kept as; else the model's name")
    parser.add_argument("--keep", type=Path, default=Path("runs/tables"))
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if not arguments.show:
        settings = dict(text.split("=", maxsplit=1) for text in arguments.set)
        names = arguments.tables or [*PROBLEMS]
        fit_all(names, arguments.models, settings, arguments.name, arguments.keep)
    show(arguments.keep)


if __name__ == "__main__":
    main()
