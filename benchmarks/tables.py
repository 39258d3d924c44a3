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
import os
import warnings
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tables_models import MODELS
from tables_problems import PROBLEMS
from tables_show import Kept, score, show


def fit_all(
    names: list[str],
    models: list[str],
    settings: dict[str, str],
    called: str | None,
    folder: Path,
    most_splits: int,
) -> None:
    for name in names:
        problem = PROBLEMS[name]()
        for split, (train, test) in enumerate(islice(problem.splits(), most_splits)):
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
    parser.add_argument("--splits", type=int, default=9, help="no more splits a table than these")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if not arguments.show:
        settings = dict(text.split("=", maxsplit=1) for text in arguments.set)
        names = arguments.tables or [*PROBLEMS]
        fit_all(names, arguments.models, settings, arguments.name, arguments.keep, arguments.splits)
    show(arguments.keep)


if __name__ == "__main__":
    main()
