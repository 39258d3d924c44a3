"""Like tasks beside unlike ones on pictures: when does one network for several gain?

    python reproductions/like_and_unlike.py --study cifar10                    # quick: one seed, few epochs
    python reproductions/like_and_unlike.py --study omniglot8
    python reproductions/like_and_unlike.py --study cifar100
    ... --epochs 15 --seeds 3 --keep like.jsonl --figure docs/figures          # the table of RESULTS.md

cifar10: four tasks of two classes each, cat or dog and deer or horse (animals), truck or automobile and
airplane or ship (vehicles); every pair of them is trained together, two pairs like and four unlike. Each
picture is labelled for one task. omniglot8: which character, in eight alphabets, all at once.
cifar100: the superclass (20) and the class (100) of the same pictures.

Models: one network a task, Shared-Bottom, MMoE and cross-stitch, whose trunks stand on one LeNet of 64
features; with `--network conv` Shared-Bottom, cross-stitch (an alpha a channel) and MTAN over three stages of convolutions of
16, 32 and 64 channels. The same epochs, early stopping by validation score, batches of 64 rows; alone as many of them as
the task has in such a batch on average, so that steps and rows are as many alone as together. Gain: test accuracy, or AUC of tasks of two classes, less that of the task alone, paired by seed, in points.
Similarity of two tasks: rank correlation of the distances between the same pictures in the
features of the two single-task networks (Dwivedi and Roig, CVPR 2019).
"""

import argparse
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA, Parts, Scores, interval, one_thread

from polytask.data.arrays import column_of
from polytask.inputs.image_columns import decode
from polytask.inputs.image_decoding import Form

Trunks = Mapping[str, Mapping[str, object]]
NETWORKS: Mapping[str, Trunks] = {
    "lenet": {
        "Shared-Bottom": {"name": "shared_bottom", "hidden": (64,)},
        "MMoE": {"name": "mmoe", "num_experts": 4, "expert_hidden": (64,)},
        "cross-stitch": {"name": "cross_stitch", "hidden": (64,)},
    },
    "conv": {
        "Shared-Bottom": {"name": "conv_shared_bottom"},
        "cross-stitch": {"name": "conv_cross_stitch", "per_channel": True},
        "MTAN": {"name": "conv_mtan"},
    },
}
ANIMALS = {"cat or dog": ("cat", "dog"), "deer or horse": ("deer", "horse")}
VEHICLES = {"truck or car": ("truck", "automobile"), "plane or ship": ("airplane", "ship")}
BATCH = 64
QUICK_EPOCHS = {"cifar10": 3, "omniglot8": 6, "cifar100": 2}


@dataclass(frozen=True)
class Study:
    """Tables with a label column a task, and the sets of tasks that are trained together."""

    parts: Parts
    kind: str
    together: Sequence[tuple[str, ...]]

    @property
    def metric(self) -> str:
        return "auc" if self.kind == "binary" else "accuracy"

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(name for names in self.together for name in names))


def cifar10() -> Study:
    table = _read("cifar10.parquet")
    pairs = ANIMALS | VEHICLES
    for name, classes in pairs.items():
        label = pc.if_else(pc.is_in(table["label"], pa.array(classes)), table["label"], None)
        table = table.append_column(name, pc.equal(label, classes[0]))
    table = table.drop_columns(["label"])
    known = pc.is_valid(pc.coalesce(*(table[name] for name in pairs)))
    return Study(_parted(table.filter(known)), "binary", [*itertools.combinations(pairs, 2)])


def omniglot8() -> Study:
    with np.load(DATA / "omniglot8.npz") as arrays:
        names = [name.lower().partition("_(")[0] for name in arrays["alphabet_names"].tolist()]
        alphabet, character = arrays["alphabet"], arrays["character"].astype(np.int64)
        drawer = arrays["drawer"]
        columns = {"image": column_of(arrays["images"])}
    for place, name in enumerate(names):
        columns[name] = pa.array(character, mask=alphabet != place)
    split = np.where(drawer < 12, "train", np.where(drawer < 15, "valid", "test"))
    return Study(_parted(pa.table({**columns, "split": split})), "multiclass", [tuple(names)])


def cifar100() -> Study:
    table = _read("cifar100.parquet")
    return Study(_parted(table), "multiclass", [("coarse", "fine")])


STUDIES = {"cifar10": cifar10, "omniglot8": omniglot8, "cifar100": cifar100}


def _read(name: str) -> pa.Table:
    """The table with its pictures decoded, once for all fits."""
    table = pq.read_table(DATA / name)
    pixels, _ = decode(table["image"], "image", Form(32, 32, 3))
    place = table.schema.get_field_index("image")
    return table.set_column(place, "image", column_of(pixels.transpose(0, 2, 3, 1)))


def _parted(table: pa.Table) -> Parts:
    parts = (table.filter(pc.equal(table["split"], part)) for part in ("train", "valid", "test"))
    return Parts(*(part.drop_columns(["split"]) for part in parts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", choices=STUDIES, required=True)
    parser.add_argument("--network", choices=NETWORKS, default="lenet")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="file of scores, to go on from")
    parser.add_argument("--figure", type=Path, help="folder for the figure (cifar10)")
    options = parser.parse_args()
    one_thread()
    study, scores = STUDIES[options.study](), Scores(options.keep)
    epochs, trunks = options.epochs or QUICK_EPOCHS[options.study], NETWORKS[options.network]
    name = options.study + ("" if options.network == "lenet" else f" {options.network}")
    gains: dict[tuple[str, tuple[str, ...]], list[list[float]]] = {}
    alone: dict[str, list[float]] = {name: [] for name in study.tasks}
    likeness: dict[tuple[str, str], list[float]] = {}
    for seed in range(options.seeds):
        trainer = Trainer(study, scores, f"{name} x {epochs} seed {seed}", epochs, seed, trunks)
        single = {name: trainer.score((name,), "Shared-Bottom")[name] for name in study.tasks}
        for name, value in single.items():
            alone[name].append(value)
        for names, trunk in itertools.product(study.together, trunks):
            joint = trainer.score(names, trunk)
            gains.setdefault((trunk, names), []).append([joint[n] - single[n] for n in names])
        for pair, value in trainer.similarities() if options.study == "cifar10" else ():
            likeness.setdefault(pair, []).append(value)
    show(alone, gains, likeness, trunks)
    if options.figure and likeness:
        file = "like_and_unlike.svg" if options.network == "lenet" else "like_and_unlike_conv.svg"
        draw(gains, likeness, options.figure / file, trunks)


@dataclass(frozen=True)
class Trainer:
    """Fits of one study and seed."""

    study: Study
    scores: Scores
    name: str
    epochs: int
    seed: int
    trunks: Trunks

    def score(self, tasks: tuple[str, ...], trunk: str) -> dict[str, float]:
        key = f"{self.name} {trunk if len(tasks) > 1 else 'alone'} {' + '.join(tasks)}"
        return self.scores.of(
            key, self._rows(tasks), self._options(tasks, trunk), metric=self.study.metric
        )

    def similarities(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Of each pair, that of the two single-task networks' features on test pictures of all tasks."""
        key = f"{self.name} similarities"
        pairs = [(one, other) for one, other in self.study.together]
        if key not in self.scores.known:
            pictures = self.study.parts.test.select(["image"]).slice(0, 600)
            distances = {name: self._distances((name,), pictures) for name in self.study.tasks}
            found = {"|".join(p): _rank_correlation(*(distances[n] for n in p)) for p in pairs}
            self.scores.put(key, found)
        for pair in pairs:
            yield pair, self.scores.known[key]["|".join(pair)]

    def _distances(self, tasks: tuple[str, ...], pictures: pa.Table) -> np.ndarray:
        """1 - correlation of the features, of every two pictures."""
        run = self.scores.fit(self._rows(tasks), self._options(tasks, "Shared-Bottom"))
        x = run.model.encoder(run.inputs.encode(pictures))
        x = x if run.inputs.map_form is None else run.model.trunk.share(x)[0]
        features = x.detach().double().numpy()
        above = np.triu_indices(len(features), 1)
        return 1 - np.corrcoef(features[:, features.std(0) > 0])[above]

    def _rows(self, tasks: tuple[str, ...]) -> Parts:
        """The rows that are labelled for one of the tasks, with these label columns alone."""
        parts = self.study.parts
        return Parts(*(_labelled(part, tasks) for part in (parts.train, parts.valid, parts.test)))

    def _batch_size(self, num_tasks: int) -> int:
        """As many rows of each task a step as where they are trained together."""
        if self.study.kind == "multiclass" and len(self.study.tasks) == 2:
            return BATCH
        return BATCH * num_tasks // max(len(names) for names in self.study.together)

    def _options(self, tasks: tuple[str, ...], trunk: str) -> dict[str, object]:
        is_lenet = self.trunks is NETWORKS["lenet"]
        return {
            "tasks": [f"{name}:{self.study.kind}" for name in tasks],
            "monitor": ",".join(f"{name}.{self.study.metric}" for name in tasks),
            "input_options": {"image": {"network": "lenet", "width": 64}} if is_lenet else {},
            "trunk": self.trunks[trunk],
            "tower_hidden": (),
            "epochs": self.epochs,
            "batch_size": self._batch_size(len(tasks)),
            "ensemble": 1,
            "cross_layers": 0,
            "seed": self.seed,
            "threads": 1,
            "intervals": False,
        }


def _labelled(table: pa.Table, tasks: Sequence[str]) -> pa.Table:
    columns = [table[name].cast(pa.string()) for name in tasks]
    known = pc.is_valid(pc.coalesce(*columns))
    return table.select(["image", *tasks]).filter(known)


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(each)) for each in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


def show(
    alone: Mapping[str, Sequence[float]],
    gains: Mapping[tuple[str, tuple[str, ...]], Sequence[Sequence[float]]],
    likeness: Mapping[tuple[str, str], Sequence[float]],
    trunks: Trunks,
) -> None:
    print("\n| task alone | accuracy or AUC |\n|---|---|")
    for name, values in alone.items():
        print(f"| {name} | {interval(values)} |")
    print(
        "\n| model | tasks | gain of their mean | gain of each | similarity |\n|---|---|---|---|---|"
    )
    for (trunk, names), by_seed in gains.items():
        mean = [statistics.mean(values) for values in by_seed]
        each = ", ".join(interval(values) for values in zip(*by_seed))
        like = f"{statistics.mean(likeness[names]):.2f}" if names in likeness else ""
        print(f"| {trunk} | {', '.join(names)} | {interval(mean)} | {each} | {like} |")
    for trunk in trunks if likeness else ():
        like, unlike = (
            [
                _mean_gain(gains, trunk, seed, is_like)
                for seed in range(len(next(iter(alone.values()))))
            ]
            for is_like in (True, False)
        )
        difference = interval([one - other for one, other in zip(like, unlike)])
        print(f"{trunk}: like {interval(like)}, unlike {interval(unlike)}, difference {difference}")


def _is_like(names: Sequence[str]) -> bool:
    return all(name in ANIMALS for name in names) or all(name in VEHICLES for name in names)


def _mean_gain(
    gains: Mapping[tuple[str, tuple[str, ...]], Sequence[Sequence[float]]],
    trunk: str,
    seed: int,
    is_like: bool,
) -> float:
    chosen = [
        statistics.mean(by_seed[seed])
        for (name, names), by_seed in gains.items()
        if name == trunk and _is_like(names) == is_like
    ]
    return statistics.mean(chosen)


def draw(
    gains: Mapping[tuple[str, tuple[str, ...]], Sequence[Sequence[float]]],
    likeness: Mapping[tuple[str, str], Sequence[float]],
    file: Path,
    trunks: Trunks,
) -> None:
    """The gain of a pair against the similarity of its tasks; filled: like ones."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(trunks), figsize=(8.4, 2.9), sharey=True)
    for axis, trunk in zip(axes, trunks):
        for pair, similarities in likeness.items():
            by_seed = gains[trunk, pair]
            gain = 100 * statistics.mean(statistics.mean(values) for values in by_seed)
            colour = "#0072B2" if _is_like(pair) else "white"
            axis.plot(statistics.mean(similarities), gain, "o", mfc=colour, mec="#0072B2")
        axis.axhline(0, color="grey", linewidth=0.6)
        axis.set(title=trunk, xlabel="similarity of the tasks")
    axes[0].set_ylabel("gain over single-task (points)")
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    main()
