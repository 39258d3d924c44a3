"""A shop's products: what the picture knows, what the name knows, and both in one model, seven tasks at once.

    python reproductions/fashion.py                       # quick: one seed, two epochs
    python reproductions/fashion.py --full --keep fashion.jsonl [--apart]

fashion_products.parquet: gender, category (3 and 23), article (61), colour (42), season and usage of 9,136 products, by a picture
of 48 x 48 and the name in the catalogue. The small ResNet for pictures, convolutions over words (Kim 2014) for names, MMoE.
Names spell out gender, article and colour ("Puma Men Grey T-shirt"), so that a picture can add to them little but season and
usage. Every arm has the same options, and the weights of its best validated epoch; test accuracy in points. `--apart`: both
inputs again with a model a task. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA, Parts, Scores, interval, one_thread
from wu_many_labels import FASHION as TASKS

INPUTS = {"picture": {"image": ["image"]}, "name": {"text": ["name"]}}
INPUTS["both"] = INPUTS["picture"] | INPUTS["name"]


def parts() -> Parts:
    table = pq.read_table(DATA / "fashion_products.parquet")
    table = table.select(["split", "image", "name", *TASKS])
    found = (table.filter(pc.equal(table["split"], part)) for part in ("train", "valid", "test"))
    return Parts(*(each.drop_columns(["split"]) for each in found))


def options(columns: Mapping[str, list[str]], epochs: int, seed: int) -> dict[str, object]:
    read = [name for names in columns.values() for name in names]
    return {
        "columns": columns,
        "inputs": read,
        "allow": read,
        "input_options": {"image": {"network": "resnet", "flip": True, "shift": 4}},
        "trunk": {"name": "mmoe", "num_experts": 4, "expert_hidden": (96, 64)},
        "epochs": epochs,
        "batch_size": 64,
        "ensemble": 1,
        "seed": seed,
        "threads": 1,
        "intervals": False,
    }


def apart(tables: Parts, scores: Scores, epochs: int, seed: int) -> dict[str, float]:
    of_arm, found = options(INPUTS["both"], epochs, seed), {}
    for task in TASKS:
        tasks = {**of_arm, "tasks": [f"{task}:multiclass"]}
        found |= scores.of(f"both {task} {epochs} {seed}", tables, tasks)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="eight epochs, three seeds")
    parser.add_argument("--apart", action="store_true", help="a model a task too")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--keep", type=Path, help="file of scores, to go on from")
    given = parser.parse_args()
    one_thread()
    tables, scores = parts(), Scores(given.keep)
    epochs, seeds = (8, given.seeds or 3) if given.full else (2, given.seeds or 1)
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in INPUTS}
    if given.apart:
        found["both, apart"] = []
    for seed in range(seeds):
        for arm, columns in INPUTS.items():
            of_arm = {**options(columns, epochs, seed), "tasks": [f"{t}:multiclass" for t in TASKS]}
            found[arm].append(scores.of(f"{arm} {epochs} {seed}", tables, of_arm))
        if given.apart:
            found["both, apart"].append(apart(tables, scores, epochs, seed))
    print(f"| | {' | '.join(TASKS)} | mean |\n|{'---|' * (len(TASKS) + 2)}")
    for arm, of_seeds in found.items():
        means = [statistics.mean(each.values()) for each in of_seeds]
        cells = [[each[task] for each in of_seeds] for task in TASKS]
        print(f"| {arm} | {' | '.join(map(interval, (*cells, means)))} |", flush=True)


if __name__ == "__main__":
    main()
