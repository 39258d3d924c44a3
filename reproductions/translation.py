"""Forward and backward: German and English captions translated both ways by one model, and by two of half its size.

    python reproductions/translation.py                   # all arms, as reported; kept and resumed in runs/translation
    python reproductions/translation.py --quick           # 2,000 pairs, 200 sentences
    python reproductions/translation.py --arms both --minutes 7   # a piece of one arm's training

Multi30k, 28,987 training pairs, as pieces of words (4,000, one vocabulary); BLEU (sacrebleu) on test_2016_flickr,
1,000 pairs, greedy and with a beam of 4, with 95 % intervals by 1,000 resamples of sentences. "both" is one
transformer whose source begins with the language that is wanted; its two losses are weighed as two tasks
by `balanced_backward`. "both, dual" adds the dual-supervised penalty at 0.01, with trigrams for p(x) and p(y).
"one way" is two models of half the parameters. Every model reads each pair as often in each direction that it has.
Reads the data from POLYTASK_DATA (else ../shared/data); needs `pip install 'polytask[text,sequences]'`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet as pq
import sacrebleu
import torch
from in_pieces import InPieces
from pictures import DATA
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from subwords import Subwords
from torch import Tensor
from trigrams import Trigrams

from polytask.seq2seq import EncoderDecoder, beam_search, dual_penalty, padded_ids, teacher_forced
from polytask.seq2seq.bleu import bleu_counts, resampled_bleu

WAYS = (("en", "de"), ("de", "en"))
WHOLE = {"width": 168, "num_layers": 3, "num_heads": 4, "inner": 336}
HALF = {"width": 112, "num_layers": 3, "num_heads": 4, "inner": 224}
NUM_IDS, BATCH, RATE, WARM_UP, SMOOTHING, DUAL = 4000, 32, 1.5e-3, 200, 0.1, 0.01


@dataclass(frozen=True)
class Arm:
    """A model: its directions, its size, the weight of the dual penalty."""

    ways: tuple[tuple[str, str], ...]
    size: dict[str, int]
    dual: float = 0.0


ARMS = {
    "both": Arm(WAYS, WHOLE),
    "en-de": Arm(WAYS[:1], HALF),
    "de-en": Arm(WAYS[1:], HALF),
    "both, dual": Arm(WAYS, WHOLE, DUAL),
}


class Pairs:
    """The captions as ids by part and language."""

    def __init__(self, *, most: int | None, most_tests: int | None) -> None:
        table = pq.read_table(DATA / "multi30k.parquet")
        splits = np.array(table["official_split"].to_pylist())
        texts = {name: np.array(table[name].to_pylist(), dtype=object) for name in ("en", "de")}
        part = {"train": "train", "test": "test_2016_flickr"}
        kept = {"train": most, "test": most_tests}
        self.texts = {
            (p, name): each[splits == split][: kept[p]].tolist()
            for p, split in part.items()
            for name, each in texts.items()
        }
        train = [*self.texts["train", "en"], *self.texts["train", "de"]]
        started = time.perf_counter()
        self.subwords = Subwords(train, num_ids=NUM_IDS, marks=["<en>", "<de>"])
        self.ids = {key: self.subwords.ids(each) for key, each in self.texts.items()}
        seconds = time.perf_counter() - started
        print(f"{len(self.texts['train', 'en']):,} pairs, a vocabulary and ids in {seconds:.1f} s")
        self.log_p: dict[str, list[float]] = {}

    def marginals(self) -> None:
        """Log-probabilities of the training captions by themselves."""
        for name in ("en", "de"):
            ids = self.ids["train", name]
            trigrams = Trigrams(ids, num_ids=self.subwords.num_ids)
            self.log_p[name] = [trigrams.log_p(each) for each in ids]

    def sources(self, rows: Sequence[Sequence[int]], wanted: str) -> Tensor:
        """Sources that begin with the language that is wanted of them."""
        mark = self.subwords.mark(f"<{wanted}>")
        return padded_ids([[mark, *row] for row in rows])

    def batches(self, seed: int, epoch: int) -> list[list[int]]:
        """Places of pairs of like length, in an order by chance: a function of (seed, epoch)."""
        lengths = np.array([len(a) + len(b) for a, b in zip(*self._both())])
        generator = np.random.default_rng((seed, epoch))
        by_length = np.lexsort((generator.random(len(lengths)), lengths))
        batches = [by_length[i : i + BATCH].tolist() for i in range(0, len(lengths), BATCH)]
        return [batches[i] for i in generator.permutation(len(batches))]

    def _both(self) -> tuple[list[list[int]], list[list[int]]]:
        return self.ids["train", "en"], self.ids["train", "de"]


class Training(InPieces):
    """One arm's model, and all that a later piece goes on from."""

    def __init__(self, arm: Arm, pairs: Pairs, *, seed: int, epochs: int, path: Path) -> None:
        self.arm, self.pairs, self.seed = arm, pairs, seed
        self.per_epoch = len(pairs.batches(seed, 0))
        torch.manual_seed(seed)
        self.model = EncoderDecoder(pairs.subwords.num_ids, dropout=0.1, **arm.size)
        num_losses, num_steps = len(arm.ways), epochs * self.per_epoch
        self.begin(
            self.model, path, num_losses=num_losses, num_steps=num_steps, rate=RATE, warm_up=WARM_UP
        )

    def train(self) -> str:
        epoch, place = divmod(self.step, self.per_epoch)
        if not place or not hasattr(self, "order"):
            self.order = self.pairs.batches(self.seed, epoch)
        rows = self.order[place]
        losses, log_p = [], {}
        with torch.autocast("cpu", torch.bfloat16):
            for source, wanted in self.arm.ways:
                x = self.pairs.sources([self.pairs.ids["train", source][i] for i in rows], wanted)
                y = padded_ids([self.pairs.ids["train", wanted][i] for i in rows])
                tokens = teacher_forced(self.model, self.model.encode(x), y, smoothing=SMOOTHING)
                losses.append(tokens.losses_N.mean())
                log_p[wanted] = tokens.of_rows(len(rows)), len(tokens.losses_N)
        penalty = self._penalty(log_p, rows) if self.arm.dual else None
        told = self.learn(losses, penalty)
        return told if penalty is None else f"{told}, penalty {penalty.item():.3f}"

    def _penalty(self, log_p: dict[str, tuple[Tensor, int]], rows: Sequence[int]) -> Tensor:
        """Of a sentence, as the losses are of its pieces."""
        alone = {
            name: torch.tensor([each[i] for i in rows]) for name, each in self.pairs.log_p.items()
        }
        found_B = dual_penalty(alone["en"], log_p["de"][0], alone["de"], log_p["en"][0])
        return self.arm.dual * found_B.sum() / log_p["en"][1]


def translated(model: EncoderDecoder, pairs: Pairs, way: tuple[str, str], beam: int) -> list[str]:
    """The test captions in the other language."""
    source, wanted = way
    rows = pairs.ids["test", source]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), 50):
        places = order[start : start + 50]
        x = pairs.sources([rows[i] for i in places], wanted)
        found |= dict(zip(places, beam_search(model, x, beam_size=beam).sequences))
    return pairs.subwords.texts([found[i] for i in range(len(rows))])


def counts_of(written: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Counts of the tokens of sacrebleu's tokenizer."""
    tokens = Tokenizer13a()
    return bleu_counts(*([tokens(text).split() for text in texts] for texts in (written, wanted)))


def judged(training: Training, name: str, path: Path) -> None:
    """Translate the test captions and keep them."""
    if path.exists():
        return
    started, found = time.process_time(), {}
    for way in training.arm.ways:
        for beam in (1, 4):
            texts = translated(training.model, training.pairs, way, beam)
            found[f"{'-'.join(way)} {beam}"] = texts
            score = sacrebleu.corpus_bleu(texts, [training.pairs.texts["test", way[1]]]).score
            print(f"{name}: {way[0]} to {way[1]}, beam {beam}: BLEU {score:.2f}", flush=True)
    facts = {
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "steps": training.step,
        "seconds": training.seconds,
        "test_seconds": time.process_time() - started,
    }
    path.write_text(json.dumps({"facts": facts, "texts": found}))


def report(folder: Path, pairs: Pairs, seed: int) -> None:
    """The table of the arms that have ended, and paired differences: to one way, and with the penalty to without."""
    known = {n: json.loads(p.read_text()) for n in ARMS if (p := _file(folder, n, seed)).exists()}
    spreads: dict[tuple[str, str], np.ndarray] = {}
    for name in sorted(known, key=lambda each: len(ARMS[each].ways)):
        facts = known[name]["facts"]
        print(
            f"{name}: {facts['parameters']:,} parameters, {facts['steps']:,} steps, "
            f"{facts['seconds'] / 60:.1f} min"
        )
        for key, texts in known[name]["texts"].items():
            wanted = pairs.texts["test", key.split()[0].split("-")[1]]
            spread = resampled_bleu(counts_of(texts, wanted))
            spreads[name, key] = spread
            line = (
                f"  {key}: BLEU {sacrebleu.corpus_bleu(texts, [wanted]).score:.2f} {_range(spread)}"
            )
            for said, other in (("one way", key.split()[0]), ("both", "both")):
                if other != name and (other, key) in spreads:
                    gains = spread - spreads[other, key]
                    line += f", to {said} {gains.mean():+.2f} {_range(gains, '+.2f')}"
            print(line)


def _range(values: np.ndarray, form: str = ".2f") -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"[{low:{form}}, {high:{form}}]"


def _file(folder: Path, arm: str, seed: int) -> Path:
    return folder / f"{arm.replace(', ', '-')}-{seed}.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2,000 pairs")
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop and keep what is there"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    deadline = time.monotonic() + 60 * given.minutes
    folder = Path("runs/translation-quick" if given.quick else "runs/translation")
    folder.mkdir(parents=True, exist_ok=True)
    pairs = Pairs(most=2000 if given.quick else None, most_tests=200 if given.quick else None)
    epochs = given.epochs or 1
    for name in given.arms:
        judged_path = _file(folder, name, given.seed)
        if judged_path.exists():
            continue
        if ARMS[name].dual and not pairs.log_p:
            pairs.marginals()
        path = judged_path.with_suffix(".pt")
        training = Training(ARMS[name], pairs, seed=given.seed, epochs=epochs, path=path)
        if not training.run(deadline):
            return
        judged(training, name, judged_path)
    report(folder, pairs, given.seed)


if __name__ == "__main__":
    main()
