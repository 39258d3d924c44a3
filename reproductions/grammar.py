"""Sentences of learners of German, their corrections, and what is counted of a corrector's edits and flags."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pictures import DATA
from sklearn.metrics import average_precision_score
from subwords import Subwords

from polytask.seq2seq import corrupt, edits

NUM_IDS, LONGEST, FAMILY = 5000, 40, 4


class Sentence(NamedTuple):
    """Words as they were written, which of them are wrong, and as they should be."""

    words: list[str]
    is_wrong: list[bool]
    corrected: list[str]


@dataclass
class Sentences:
    """Each part, the pieces of words, and the words that one may confuse with each."""

    train: list[Sentence]
    valid: list[Sentence]
    test: list[Sentence]

    def __post_init__(self) -> None:
        texts = [" ".join(w) for each in self.train for w in (each.words, each.corrected)]
        self.subwords = Subwords(texts, num_ids=NUM_IDS)
        self.begins_V = self.subwords.begins()
        counts = Counter(word for each in self.train for word in each.corrected)
        self.families: defaultdict[str, list[str]] = defaultdict(list)
        for word, count in counts.items():
            if count > 1:
                self.families[word[:FAMILY] if len(word) > FAMILY else ""].append(word)
        self.families[""] = [w for w, _ in counts.most_common() if len(w) <= FAMILY][:100]

    def family(self, word: str) -> Sequence[str]:
        """Words of the same beginning; of short words the commonest short ones."""
        return self.families.get(word[:FAMILY] if len(word) > FAMILY else "", ())

    def corrupted(self, sentence: Sentence, generator: np.random.Generator) -> Sentence:
        """A right sentence made wrong."""
        made = corrupt(sentence.corrected, generator, among=self.family)
        return Sentence(
            made.sequence or sentence.corrected[:1], made.is_wrong or [True], sentence.corrected
        )


def read(most: int | None) -> Sentences:
    """The data set's own split; of long training sentences the beginning is no example, so they are left out."""
    table = pq.read_table(DATA / "grammar.parquet")
    table = table.filter(pc.equal(table["corpus"], "falko_merlin"))
    parts: dict[str, list[Sentence]] = {"train": [], "valid": [], "test": []}
    for row in table.to_pylist():
        words, corrected = row["text"].split(), row["corrected"].split()
        if row["split"] != "train" or max(len(words), len(corrected)) <= LONGEST:
            flags = [bool(each) for each in row["token_is_wrong"]]
            parts[row["split"]].append(Sentence(words, flags, corrected))
    return Sentences(*(each[:most] for each in parts.values()))


def half_counts(written: Sequence[Sequence[str]], sentences: Sequence[Sentence]) -> np.ndarray:
    """Right, found and wanted edits of each sentence."""
    rows = []
    for mine, each in zip(written, sentences, strict=True):
        found, wanted = set(edits(each.words, mine)), set(edits(each.words, each.corrected))
        rows.append((len(found & wanted), len(found), len(wanted)))
    return np.array(rows)


def changed(each: Sentence, written: Sequence[str]) -> list[bool]:
    """The words that a correction changes, or puts something before."""
    flags = [False] * len(each.words)
    for edit in edits(each.words, written):
        for place in range(edit.start, max(edit.end, edit.start + 1)):
            flags[min(place, len(flags) - 1)] = True
    return flags


def flag_counts(flags: Sequence[Sequence[bool]], sentences: Sequence[Sentence]) -> np.ndarray:
    """Right, found and wanted wrong words of each sentence."""
    pairs = [
        (np.array(mine), np.array(each.is_wrong))
        for mine, each in zip(flags, sentences, strict=True)
    ]
    return np.array([((a & b).sum(), a.sum(), b.sum()) for a, b in pairs])


def f_of(counts: np.ndarray, beta: float) -> np.ndarray:
    """F of sums of right, found and wanted (..., 3)."""
    right, found, wanted = np.moveaxis(counts, -1, 0)
    return (1 + beta**2) * right / np.maximum(beta**2 * wanted + found, 1)


def spread(counts: np.ndarray, beta: float) -> np.ndarray:
    """F of 1,000 resamples of the sentences; one choice of sentences for all arms."""
    number = len(counts)
    times = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), 1000)
    return f_of(times @ counts, beta)


def in_words(counts: np.ndarray, beta: float, other: np.ndarray | None = None) -> str:
    """F with its interval, and its difference to another's."""
    values = spread(counts, beta)
    low, high = np.quantile(values, (0.025, 0.975))
    line = f"{f_of(counts.sum(axis=0), beta):.3f} [{low:.3f}, {high:.3f}]"
    if other is not None:
        gains = values - spread(other, beta)
        line += f", {gains.mean():+.3f} [{np.quantile(gains, 0.025):+.3f}, {np.quantile(gains, 0.975):+.3f}]"
    return line


def report(known: Mapping[str, Mapping[str, object]], sentences: Sequence[Sentence]) -> None:
    """The table of all arms that have ended, and what detection does to correction and the other way round."""
    truth = np.concatenate([each.is_wrong for each in sentences])
    halves: dict[str, np.ndarray] = {}
    flags: dict[str, np.ndarray] = {}
    for name, found in known.items():
        print(f"{name}: {found['steps']} steps, {float(found['seconds']) / 60:.1f} min")
        if "written" in found:
            halves[name] = half_counts(found["written"], sentences)
            precision, recall = halves[name].sum(axis=0)[0] / np.maximum(
                halves[name].sum(axis=0)[1:], 1
            )
            said = in_words(halves[name], 0.5, halves.get("correct") if name == "both" else None)
            print(f"  edits: precision {precision:.3f}, recall {recall:.3f}, F0.5 {said}")
            told = [changed(each, mine) for each, mine in zip(sentences, found["written"])]
            print(f"  words that it changes: F1 {in_words(flag_counts(told, sentences), 1.0)}")
        if "scores" in found:
            told = [[score >= found["threshold"] for score in row] for row in found["scores"]]
            flags[name] = flag_counts(told, sentences)
            average = average_precision_score(truth, np.concatenate(found["scores"]))
            said = in_words(flags[name], 1.0, flags.get("detect") if name == "both" else None)
            print(
                f"  wrong words: average precision {average:.3f} (rate {truth.mean():.3f}), F1 {said}"
            )
