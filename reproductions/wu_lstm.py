"""Algorithm 1 of Wu, Zhang and Re (ICLR 2020) where the paper has it: between the words' vectors and the LSTM.

    python reproductions/wu_lstm.py                  # quick: 3 pairs, one seed, 400 sentences a set
    python reproductions/wu_lstm.py --full           # all 15 pairs, 3 seeds, 2,000 sentences a set

MR, CR, MPQA, SUBJ, SST-2 and TREC in pairs; GloVe vectors, which are trained on, an LSTM of 96 for both sets, a head
each. First phase: both together. Second phase, on a copy: vectors and LSTM stay as they are, and the heads learn on,
with a matrix R_t for each set that begins as the identity ("aligned") or without ("heads alone", which tells what R_t
adds from what more steps add). Each phase has six epochs, of which the best validated one stays. Covariance
similarity (eq. 5) is that of the vectors of all training words, as the LSTM reads them. Test accuracies. What was
trained is kept in runs/wu_lstm.jsonl.

A network of one's own under `train`: the encoder below reads words and which set a sentence is of.
Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import copy
import statistics
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from pictures import Scores, interval, one_thread
from torch import Tensor, nn
from wu_text import QUICK_PAIRS, SETS, options, share_right, tables

from polytask.balancing import Equal
from polytask.fitting import prepare
from polytask.fitting.preparing.prepare import Prepared
from polytask.inputs.sequence_encoder import PaddedEncoder
from polytask.inputs.sequence_padding import PADDING, cut
from polytask.model import MultiTaskModel
from polytask.streams import Batch, InMemoryStream
from polytask.training import Settings, TrainingRun, train
from polytask.training.evaluation import predict
from polytask.training.scoring import TaskRows
from polytask.transfer.similarity import covariance_cosine, covariance_similarity, second_moment
from polytask.trunks import SharedBottom

BATCH, RATE = 64, 2e-3
PHASES = ("together", "heads alone", "aligned")


class AlignedWords(nn.Module):
    """The vectors of a sentence's words, turned by the matrix of its set, through one LSTM.

    **Shape** text (B, 1, L), set (B,) -> (B, out_features).
    """

    def __init__(self, words: PaddedEncoder, num_sets: int) -> None:
        super().__init__()
        self.embeddings, self.pooling = words.embeddings, words.pooling
        self.out_features: int = words.pooling.out_features
        dim = words.embeddings.embedding_dim
        self.rotations_SKK = nn.Parameter(
            torch.eye(dim).repeat(num_sets, 1, 1), requires_grad=False
        )

    def words(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the LSTM reads (B, L, K), and which places hold a word."""
        ids_BL = cut(inputs["text"].squeeze(1))
        x_BLK = self.embeddings(ids_BL)
        return torch.bmm(x_BLK, self.rotations_SKK[inputs["set"]]), ids_BL != PADDING

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        pooled_BH: Tensor = self.pooling(*self.words(inputs))
        return pooled_BH


def of_pair(whole: Batch, places: Sequence[int]) -> Batch:
    """The rows of these sets, with the number of each row's set as an input."""
    known_SB = torch.stack([~whole.labels[SETS[place]].isnan() for place in places])
    rows = known_SB.any(dim=0).nonzero().squeeze(1)
    batch = whole[rows]
    kept = {SETS[place]: batch.labels[SETS[place]] for place in places}
    inputs = {**batch.inputs, "set": known_SB[:, rows].int().argmax(dim=0)}
    return Batch(inputs, kept)


def trained(
    model: MultiTaskModel, parts: dict[str, Batch], lengths_B: Tensor, seed: int, epochs: int
) -> MultiTaskModel:
    settings = Settings(epochs=epochs, learning_rate=RATE, seed=seed, patience=0)
    run = TrainingRun.start(model, Equal(len(model.tasks)), settings=settings)
    for _ in train(
        run, InMemoryStream(parts["train"], BATCH, lengths_B=lengths_B), valid=parts["valid"]
    ):
        pass
    return model


def second_phase(model: MultiTaskModel, *, is_aligned: bool) -> MultiTaskModel:
    """A copy of which heads alone are learned, or the matrices too."""
    copied = copy.deepcopy(model)
    for parameter in copied.encoder.parameters():
        parameter.requires_grad_(False)
    copied.encoder.rotations_SKK.requires_grad_(is_aligned)
    return copied


def accuracies(model: MultiTaskModel, test: Batch) -> list[float]:
    predicted = predict(model, test).values
    return [share_right(TaskRows.of(t, predicted[t.name], test)) for t in model.tasks]


@torch.no_grad()
def similarities(model: MultiTaskModel, train_rows: Batch) -> tuple[float, float]:
    """Covariance similarity of the two sets' words, and its normalised variant."""
    x_BLK, is_word_BL = model.encoder.words(train_rows.inputs)
    is_first_B = train_rows.inputs["set"] == 0
    moments = [second_moment(x_BLK[rows][is_word_BL[rows]]) for rows in (is_first_B, ~is_first_B)]
    return float(covariance_similarity(*moments)), float(covariance_cosine(*moments))


def measured(prepared: Prepared, places: Sequence[int], seed: int, epochs: int) -> dict[str, float]:
    """Of one set alone, or of a pair in every phase: accuracies and similarities by name."""
    torch.manual_seed(seed)
    whole = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    parts = {name: of_pair(each, places) for name, each in whole.items() if each is not None}
    lengths_B = prepared.inputs.lengths({"text": parts["train"].inputs["text"]})
    (words,) = prepared.inputs.by_name["text"].module().encoders
    encoder = AlignedWords(words, len(places))
    tasks = [prepared.tasks[place] for place in places]
    trunk = SharedBottom(encoder.out_features, len(tasks), hidden=())
    first = trained(MultiTaskModel(encoder, trunk, tasks), parts, lengths_B, seed, epochs)
    models = {"together": first}
    if len(places) == 2:
        for name in PHASES[1:]:
            later = second_phase(first, is_aligned=name == "aligned")
            models[name] = trained(later, parts, lengths_B, seed, epochs)
    found: dict[str, float] = {}
    for name, model in models.items():
        values = accuracies(model, parts["test"])
        found |= {f"{name} {SETS[place]}": value for place, value in zip(places, values)}
        if len(places) == 2:
            score, cosine = similarities(model, parts["train"])
            found |= {f"{name} similarity": score, f"{name} normalised": cosine}
    return found


def show(scores: Scores, pairs: Sequence[tuple[int, int]], seeds: Sequence[int], key: str) -> None:
    rows: dict[str, list[float]] = {phase: [] for phase in PHASES}
    rises = {"accuracy": 0, "similarity": 0, "normalised": 0}
    print(
        f"| pair | alone | {' | '.join(PHASES)} | similarity, then aligned | normalised, then aligned |"
    )
    print(f"|{'---|' * 7}")
    gains: dict[str, list[float]] = {"together less alone": [], "aligned less heads alone": []}
    for pair in pairs:
        names = [SETS[place] for place in pair]
        found = [scores.known[f"{key} {'+'.join(names)} {seed}"] for seed in seeds]
        alone = [
            statistics.mean(
                scores.known[f"{key} {name} {seed}"][f"together {name}"] for seed in seeds
            )
            for name in names
        ]
        mean = {k: statistics.mean(each[k] for each in found) for k in found[0]}
        of_phase = {phase: [mean[f"{phase} {name}"] for name in names] for phase in PHASES}
        for phase in PHASES:
            rows[phase].append(statistics.mean(of_phase[phase]))
        gains["together less alone"].append(rows["together"][-1] - statistics.mean(alone))
        gains["aligned less heads alone"].append(rows["aligned"][-1] - rows["heads alone"][-1])
        rises["accuracy"] += rows["aligned"][-1] > rows["together"][-1]
        cells = [" ".join(f"{value:.3f}" for value in each) for each in (alone, *of_phase.values())]
        for kind in ("similarity", "normalised"):
            before, after = mean[f"together {kind}"], mean[f"aligned {kind}"]
            rises[kind] += after > before
            cells.append(f"{before:.3f}, {after:.3f}")
        print(f"| {', '.join(name.upper() for name in names)} | {' | '.join(cells)} |")
    gains["aligned less together"] = [a - b for a, b in zip(rows["aligned"], rows["together"])]
    for name, values in gains.items():
        print(
            f"{name}: {interval(values)} points, above 0 on {sum(v > 0 for v in values)} of {len(pairs)}"
        )
    print(
        f"with alignment rise, of {len(pairs)} pairs: {rises} (paper: accuracy 13 and similarity 15 of 15)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--figure", type=Path, help="folder for wu_lstm.svg")
    given = parser.parse_args()
    one_thread()
    started = time.perf_counter()
    num_rows, epochs, num_seeds = (2000, 6, 3) if given.full else (400, 4, 1)
    pairs = [*combinations(range(len(SETS)), 2)] if given.full else [*QUICK_PAIRS]
    parts = tables(num_rows)
    train_rows = parts.pop("train")
    prepared = prepare(options("lstm", epochs), train_rows, parts=parts)
    Path("runs").mkdir(exist_ok=True)
    scores, key = Scores(Path("runs/wu_lstm.jsonl")), f"{num_rows} {epochs}"
    seeds = range(given.seeds or num_seeds)
    for seed in seeds:
        for places in (*((place,) for place in range(len(SETS))), *pairs):
            name = f"{key} {'+'.join(SETS[place] for place in places)} {seed}"
            if name not in scores.known:
                scores.put(name, measured(prepared, places, seed, epochs))
                print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    show(scores, pairs, seeds, key)
    if given.figure:
        draw(scores, pairs, seeds, key, given.figure)


def draw(
    scores: Scores, pairs: Sequence[tuple[int, int]], seeds: Sequence[int], key: str, folder: Path
) -> None:
    """What alignment and as many steps without it change, pair by pair: the mean accuracy, the similarity."""
    import matplotlib.pyplot as plt

    names = ["+".join(SETS[place] for place in pair) for pair in pairs]
    found = [[scores.known[f"{key} {name} {seed}"] for seed in seeds] for name in names]

    def change(phase: str, pair: int, measures: Sequence[str]) -> float:
        return statistics.mean(
            each[f"{phase} {measure}"] - each[f"together {measure}"]
            for each in found[pair]
            for measure in measures
        )

    rows = np.arange(len(pairs))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
    for shift, phase, colour in ((0.2, "heads alone", "#BBBBBB"), (-0.2, "aligned", "#0072B2")):
        gains = [100 * change(phase, k, [SETS[place] for place in pairs[k]]) for k in rows]
        left.barh(rows + shift, gains, height=0.38, color=colour, label=phase)
    right.barh(
        rows, [change("aligned", k, ["similarity"]) for k in rows], height=0.5, color="#0072B2"
    )
    labels = [name.upper().replace("SST2", "SST-2").replace("+", ", ") for name in names]
    left.set(yticks=rows, yticklabels=labels, xlabel="change of mean accuracy (points)")
    right.set(xlabel="change of covariance similarity")
    left.legend(loc="upper right")
    left.invert_yaxis()
    for axis in (left, right):
        axis.axvline(0, color="grey", linewidth=0.6)
    figure.tight_layout()
    figure.savefig(folder / "wu_lstm.svg")


if __name__ == "__main__":
    main()
