"""Six sentence classification sets in pairs: alone, together, and together with alignment.

    python reproductions/wu_text.py                        # quick: 3 pairs, one seed, 400 sentences a set
    python reproductions/wu_text.py --full [--encoder lstm]  # all 15 pairs, 3 seeds, 2,000 sentences a set
    python reproductions/wu_text.py --full --encoder lstm --seeds 1 --pairs 7
    python reproductions/wu_text.py --full --encoder pretrained --checkpoint FOLDER   # of BERT's type, frozen
    python reproductions/wu_text.py --capacity             # figure 6: how wide should the LSTM be?

Wu, Zhang and Re (ICLR 2020, figure 7): with alignment accuracy rises on 13 of 15 pairs, by up to 4.1 %,
and covariance similarity on 15 of 15. MR, CR, MPQA, SUBJ, SST-2 and TREC; 50-dimensional GloVe
vectors, which are trained on; one encoder of words for all sets, one shared layer. Finished trainings
are kept in runs/wu-text, so that a run that was stopped goes on where it was. Reads the data from
POLYTASK_DATA (else ../shared/data).

DIFF: the matrix R_t stands between the encoder of words and the shared layer, where a trunk of
ours begins, not between embeddings and LSTM; all is trained together, from R_t = I. Similarity is
that of what the shared layer reads, in the pair's model without alignment and in the one with it.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from polytask.config import FitConfig, validate_config
from polytask.fitting import prepare
from polytask.training.scoring import TaskRows
from polytask.transfer.similarity import covariance_cosine, covariance_similarity
from polytask.transfer.trainings import Outcome, Trainings, TrainingSpec

DATA = Path(
    os.environ.get("POLYTASK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
SETS = ("mr", "cr", "mpqa", "subj", "sst2", "trec")
QUICK_PAIRS = ((0, 4), (1, 2), (3, 5))
ALIGNED = "aligned"
WIDTHS = (5, 20, 50, 100, 200)


@dataclass(frozen=True, slots=True)
class Pair:
    """Accuracies of both tasks by way ("alone", "together", "aligned"), and the two similarities."""

    names: tuple[str, str]
    accuracy: dict[str, list[float]]
    similarity: dict[str, float]
    cosine: dict[str, float]


def tables(num_rows: int) -> dict[str, pa.Table]:
    """Train, valid and test: the text, and a label column a set, missing on the others' rows."""
    whole = pq.read_table(DATA / "sentences.parquet", columns=["task", "split", "label", "text"])
    rng = np.random.default_rng(0)
    found = {}
    for split, most in (("train", num_rows), ("valid", num_rows // 2), ("test", 2 * num_rows)):
        pieces = []
        for name in SETS:
            is_mine = pc.and_(pc.equal(whole["task"], name), pc.equal(whole["split"], split))
            rows = whole.filter(is_mine)
            rows = rows.take(rng.permutation(len(rows))[:most])
            labels = {
                each: rows["label"] if each == name else pa.nulls(len(rows), pa.int64())
                for each in SETS
            }
            pieces.append(pa.table({"text": rows["text"], **labels}))
        found[split] = pa.concat_tables(pieces)
    return found


def options(
    encoder: str, epochs: int, *, width: int | None = None, checkpoint: Path | None = None
) -> FitConfig:
    """One encoder of words, one shared layer of 64 units; with a `width` that of the encoder, and no layer.

    The encoder "pretrained" is that of the `checkpoint`, frozen.
    """
    hidden = [64] if width is None else []
    own_width = {} if width is None else {"width": width}
    reads: dict[str, object] = {
        "encoder": encoder,
        "vectors": str(DATA / "glove_50d.npz"),
        "max_length": 40,
        **own_width,
    }
    kind = "text"
    if checkpoint is not None:
        kind, reads = encoder, {"checkpoint": str(checkpoint), "max_length": 40}
    return validate_config(
        {
            "tasks": [*(f"{name}:binary" for name in SETS[:-1]), "trec:multiclass"],
            "columns": {kind: ["text"]},
            "input_options": {kind: reads},
            "trunk": {"name": "shared_bottom", "hidden": hidden},
            "tower_hidden": (),
            "ensemble": 1,
            "batch_size": 64,
            "epochs": epochs,
            "learning_rate": 2e-3,
            "threads": 1,
        }
    )


Score = Callable[[Trainings, Outcome, int], float]
"""Of a training and the place of a task: its test score."""


def accuracy(trainings: Trainings, outcome: Outcome, place: int) -> float:
    """The share of test rows whose class is right."""
    return share_right(trainings.rows(outcome, place, "test"))


def share_right(rows: TaskRows) -> float:
    """The share of labelled rows whose class is right."""
    known_B = ~np.isnan(rows.labels)
    predicted = rows.predictions[known_B]
    classes = predicted.argmax(axis=1) if predicted.ndim == 2 else predicted > 0.5
    return float((classes == rows.labels[known_B]).mean())


def study(
    trainings: Trainings, places: tuple[int, int], num_seeds: int, score: Score = accuracy
) -> Pair:
    """A pair under every seed; similarities are means over seeds."""
    names = trainings.names
    found: dict[str, list[list[float]]] = {}
    alike: dict[str, list[tuple[float, float]]] = {}
    for seed in range(num_seeds):
        singles = [trainings.outcome(TrainingSpec((place,), seed)) for place in places]
        own = [score(trainings, each, place) for each, place in zip(singles, places)]
        found.setdefault("alone", []).append(own)
        for way, spec in (
            ("together", TrainingSpec(places, seed)),
            (ALIGNED, TrainingSpec(places, seed, ALIGNED, align=True)),
        ):
            outcome = trainings.outcome(spec)
            found.setdefault(way, []).append([score(trainings, outcome, p) for p in places])
            first, second = (outcome.moments[names[place]] for place in places)
            scores = covariance_similarity(first, second), covariance_cosine(first, second)
            alike.setdefault(way, []).append((float(scores[0]), float(scores[1])))
    means = {way: np.mean(values, axis=0) for way, values in alike.items()}
    return Pair(
        (names[places[0]], names[places[1]]),
        {way: np.mean(values, axis=0).tolist() for way, values in found.items()},
        {way: float(mean[0]) for way, mean in means.items()},
        {way: float(mean[1]) for way, mean in means.items()},
    )


def show(pairs: Sequence[Pair]) -> None:
    """The table, and how often alignment raises what the paper says it raises."""
    print(
        "pair           accuracy alone     together        aligned      similarity -> aligned   normalised"
    )
    for pair in pairs:
        cells = "   ".join(
            "{:.3f} {:.3f}".format(*pair.accuracy[way]) for way in ("alone", "together", ALIGNED)
        )
        alike = f"{pair.similarity['together']:.3f} -> {pair.similarity[ALIGNED]:.3f}"
        normalised = f"{pair.cosine['together']:.3f} -> {pair.cosine[ALIGNED]:.3f}"
        print(f"{' + '.join(pair.names):14s} {cells}     {alike}       {normalised}")
    gains = [np.mean(p.accuracy[ALIGNED]) - np.mean(p.accuracy["together"]) for p in pairs]
    rises = sum(p.similarity[ALIGNED] > p.similarity["together"] for p in pairs)
    print(
        f"with alignment the mean accuracy of a pair rises on {sum(g > 0 for g in gains)} of {len(pairs)} "
        f"(paper 13 of 15), by {np.mean(gains):+.4f} in the mean; similarity rises on {rises} (paper 15 of 15)"
    )
    together = [np.mean(p.accuracy["together"]) - np.mean(p.accuracy["alone"]) for p in pairs]
    print(
        f"together over alone: {np.mean(together):+.4f}, above 0 on {sum(g > 0 for g in together)}"
    )


def capacity(parts: dict[str, pa.Table], num_seeds: int) -> None:
    """Accuracy by the width of the LSTM alone: heads read it directly, each task alone or all together."""
    train = parts.pop("train")
    everything = tuple(range(len(SETS)))
    print(f"width     {' '.join(f'{name:>11s}' for name in SETS)}     mean   (alone, together)")
    for width in WIDTHS:
        config = options("lstm", 6, width=width)
        prepared = prepare(config, train, parts=parts)
        folder = Path("runs") / f"wu-text-capacity-{width}"
        cpu = torch.device("cpu")
        trainings = Trainings(prepared, cpu, folder)
        found = np.zeros((num_seeds, 2, len(SETS)))
        for seed in range(num_seeds):
            together = trainings.outcome(TrainingSpec(everything, seed))
            for place in everything:
                alone = trainings.outcome(TrainingSpec((place,), seed))
                found[seed, 0, place] = accuracy(trainings, alone, place)
                found[seed, 1, place] = accuracy(trainings, together, place)
        mean = found.mean(axis=0)
        cells = " ".join(f"{alone:.3f} {both:.3f}" for alone, both in mean.T)
        print(f"{width:5d}     {cells}  {mean[0].mean():.3f} {mean[1].mean():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument(
        "--encoder",
        default="cnn",
        choices=("cnn", "lstm", "gru", "mean", "transformer", "pretrained"),
    )
    parser.add_argument("--checkpoint", type=Path, help="folder of the pretrained encoder")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--pairs", type=int, help="only the first so many")
    parser.add_argument("--capacity", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    num_rows, epochs, num_seeds = (2000, 6, 3) if given.full else (400, 4, 1)
    num_seeds = given.seeds or num_seeds
    if given.capacity:
        capacity(tables(2000), num_seeds)
        print(f"{time.perf_counter() - started:.0f} s")
        return
    pairs = [*combinations(range(len(SETS)), 2)] if given.full else [*QUICK_PAIRS]
    torch.set_num_threads(1)
    parts = tables(num_rows)
    config = options(given.encoder, epochs, checkpoint=given.checkpoint)
    train = parts.pop("train")
    prepared = prepare(config, train, parts=parts)
    folder = Path("runs") / f"wu-text-{given.encoder}-{num_rows}"
    trainings = Trainings(prepared, torch.device("cpu"), folder)
    show([study(trainings, places, num_seeds) for places in pairs[: given.pairs]])
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
