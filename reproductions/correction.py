"""Is there an error? German sentences of learners corrected, with and without telling which words are wrong.

    python reproductions/correction.py                    # all arms, as reported; kept and resumed in runs/correction
    python reproductions/correction.py --quick            # 1,000 sentences
    python reproductions/correction.py --arms correct --minutes 7   # a piece of one arm's training

Falko-MERLIN: 18,582 sentences of training and 2,314 of test, as pieces of words. A transformer that may copy writes the
correction; a linear map on the encoder's states of each word's first piece tells whether the word is wrong, by the data set's
labels. Both losses are objectives of `balanced_backward`, weighed alike. First come epochs of "corrupt, then restore": the
corrected sentences with words exchanged for others of their beginning, left out and turned round; then those of real errors.
F0.5 is of edits of single words (`polytask.seq2seq.edits`, one reference, greedy); detection is F1 and average precision of wrong
words, at the threshold that is best on the validation sentences; for the model that only corrects, the words that it
changes. Intervals: 1,000 resamples of test sentences. Reads the data from POLYTASK_DATA (else ../shared/data); needs
`pip install 'polytask[text,sequences]'`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from grammar import Sentence, Sentences, read, report
from in_pieces import InPieces
from sklearn.metrics import precision_recall_curve
from torch import Tensor, nn
from torch.nn import functional

from polytask.seq2seq import EncoderDecoder, beam_search, padded_ids, teacher_forced

ARMS = {"correct": (True, False), "detect": (False, True), "both": (True, True)}
SIZE = {"width": 192, "num_layers": 2, "num_heads": 4, "inner": 384}
BATCH, RATE, WARM_UP = 32, 1.5e-3, 300


class Network(nn.Module):
    """The corrector, and the head that tells wrong words."""

    def __init__(self, sentences: Sentences) -> None:
        super().__init__()
        self.corrector = EncoderDecoder(
            sentences.subwords.num_ids, dropout=0.1, copies=True, longest=512, **SIZE
        )
        self.head = nn.Linear(SIZE["width"], 1)
        self.subwords, self.begins_V = sentences.subwords, sentences.begins_V

    def ids(self, rows: Sequence[Sequence[str]]) -> Tensor:
        return padded_ids(self.subwords.ids([" ".join(words) for words in rows]))

    def logits(self, source_BL: Tensor, states_BLK: Tensor) -> Tensor:
        """Of each word, sentence after sentence."""
        first_N = self.begins_V[source_BL]
        return self.head(states_BLK[first_N])[:, 0]


class Training(InPieces):
    """One arm, and all that a later piece goes on from."""

    def __init__(
        self, arm: str, sentences: Sentences, epochs: tuple[int, int], seed: int, path: Path
    ) -> None:
        self.corrects, self.detects = ARMS[arm]
        self.sentences, self.seed = sentences, seed
        self.per_epoch, self.num_corrupt = math.ceil(len(sentences.train) / BATCH), epochs[0]
        torch.manual_seed(seed)
        self.begin(
            Network(sentences),
            path,
            num_losses=self.corrects + self.detects,
            num_steps=sum(epochs) * self.per_epoch,
            rate=RATE,
            warm_up=WARM_UP,
        )

    def _batch(self) -> list[Sentence]:
        """Sentences of like length; a function of the seed and the step."""
        epoch, place = divmod(self.step, self.per_epoch)
        generator = np.random.default_rng((self.seed, epoch))
        train = self.sentences.train
        by_length = np.lexsort((generator.random(len(train)), [len(each.words) for each in train]))
        batches = np.array_split(by_length, self.per_epoch)
        rows = batches[generator.permutation(self.per_epoch)[place]]
        chosen = [train[i] for i in rows]
        if epoch >= self.num_corrupt:
            return chosen
        generator = np.random.default_rng((self.seed, self.step, 1))
        return [self.sentences.corrupted(each, generator) for each in chosen]

    def train(self) -> str:
        batch, losses = self._batch(), []
        source_BL = self.network.ids([each.words for each in batch])
        with torch.autocast("cpu", torch.bfloat16):
            memory = self.network.corrector.encode(source_BL)
            if self.corrects:
                target_BT = self.network.ids([each.corrected for each in batch])
                tokens = teacher_forced(self.network.corrector, memory, target_BT)
                losses.append(tokens.losses_N.mean())
            if self.detects:
                wrong_N = torch.tensor([float(w) for each in batch for w in each.is_wrong])
                logits_N = self.network.logits(source_BL, memory.states).float()
                losses.append(functional.binary_cross_entropy_with_logits(logits_N, wrong_N))
        return self.learn(losses)


def corrections(network: Network, sentences: Sequence[Sentence]) -> list[list[str]]:
    """What the network writes, as words."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i].words))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), 64):
        places = order[start : start + 64]
        source_BL = network.ids([sentences[i].words for i in places])
        most = min(source_BL.shape[1] + 10, 500)
        written = beam_search(network.corrector, source_BL, beam_size=1, max_length=most)
        found |= dict(zip(places, written.sequences))
    texts = network.subwords.texts([found[i] for i in range(len(sentences))])
    return [text.split() for text in texts]


@torch.inference_mode()
def wrong(network: Network, sentences: Sequence[Sentence]) -> list[list[float]]:
    """How likely each word is wrong."""
    network.eval()
    found = []
    for start in range(0, len(sentences), 64):
        rows = [each.words for each in sentences[start : start + 64]]
        source_BL = network.ids(rows)
        scores = network.logits(source_BL, network.corrector.encode(source_BL).states).sigmoid()
        found += [part.tolist() for part in scores.split([len(words) for words in rows])]
    return found


def judged(training: Training, path: Path) -> None:
    """What one arm says of the test sentences, kept."""
    sentences, network = training.sentences, training.network
    network.eval()
    found: dict[str, object] = {"seconds": training.seconds, "steps": training.step}
    if training.corrects:
        found["written"] = corrections(network, sentences.test)
    if training.detects:
        flags = np.concatenate([each.is_wrong for each in sentences.valid])
        precision, recall, cuts = precision_recall_curve(
            flags, np.concatenate(wrong(network, sentences.valid))
        )
        both = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        found["threshold"] = float(cuts[both[:-1].argmax()])
        found["scores"] = wrong(network, sentences.test)
    path.write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1,000 sentences")
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--epochs", type=int, nargs=2, help="of corrupted, and of real sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop and keep what is there"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    deadline = time.monotonic() + 60 * given.minutes
    folder = Path("runs/correction-quick" if given.quick else "runs/correction")
    folder.mkdir(parents=True, exist_ok=True)
    sentences = read(1000 if given.quick else None)
    epochs = tuple(given.epochs or ((1, 1) if given.quick else (1, 4)))
    for name in given.arms:
        path = folder / f"{name}-{given.seed}.json"
        if path.exists():
            continue
        training = Training(name, sentences, epochs, given.seed, path.with_suffix(".pt"))
        if not training.run(deadline):
            return
        judged(training, path)
    ended = {n: folder / f"{n}-{given.seed}.json" for n in ARMS}
    report({n: json.loads(p.read_text()) for n, p in ended.items() if p.exists()}, sentences.test)


if __name__ == "__main__":
    main()
