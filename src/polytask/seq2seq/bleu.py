"""BLEU as counts a sentence, so that a corpus can be resampled."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LONGEST = 4


def bleu_counts(
    written: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]
) -> NDArray[np.int64]:
    """What BLEU reads of each sentence's tokens, one reference each.

    **Shape** B and B lists of tokens -> (B, 10): the matches of 1 to 4 tokens in a row, how many such there
    are, and both lengths.

    >>> bleu_counts([["a", "b", "c"]], [["a", "b", "d"]]).tolist()
    [[2, 1, 0, 0, 3, 2, 1, 0, 3, 3]]
    """
    if len(written) != len(wanted):
        raise ValueError(f"{len(written)} sentences, but {len(wanted)} references")
    counts = np.zeros((len(written), 2 * _LONGEST + 2), dtype=np.int64)
    for place, (one, other) in enumerate(zip(written, wanted)):
        for length in range(1, _LONGEST + 1):
            found, due = _runs(one, length), _runs(other, length)
            counts[place, length - 1] = sum((found & due).values())
            counts[place, _LONGEST + length - 1] = max(len(one) - length + 1, 0)
        counts[place, -2:] = len(one), len(other)
    return counts


def bleu(counts: NDArray[np.int64]) -> float:
    """BLEU of a corpus, from 0 to 100: Papineni et al., ACL 2002, section 2.3.

    A length without a match counts as 1 / 2, 1 / 4, ... of one, as in sacrebleu ("exp" smoothing).

    Paper: https://aclanthology.org/P02-1040

    **Shape** (B, 10) as of `bleu_counts`, or their sum (10,).

    >>> round(bleu(bleu_counts(["the cat sat on the mat".split()], ["the cat sat on a mat".split()])), 2)
    53.73
    """
    sums = counts.sum(axis=0) if counts.ndim == 2 else counts
    matches, totals, (written, wanted) = sums[:4], sums[4:8], sums[8:]
    if not matches[0] or not written:
        return 0.0
    logs, half = [], 1.0
    for match, total in zip(matches.tolist(), totals.tolist()):
        if not total:
            break
        if not match:
            half *= 2
        logs.append(math.log(match / total if match else 1 / (half * total)))
    short = min(0.0, 1 - wanted / written)
    return 100 * math.exp(short + sum(logs) / _LONGEST) if len(logs) == _LONGEST else 0.0


def resampled_bleu(
    counts: NDArray[np.int64], *, num_resamples: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """BLEU of as many resamples of the sentences: Koehn, EMNLP 2004. One seed is one choice of sentences.

    Paper: https://aclanthology.org/W04-3250

    **Shape** (B, 10) -> (num_resamples,).

    >>> counts = bleu_counts([["a", "b", "c", "d"]] * 3, [["a", "b", "c", "d"]] * 3)
    >>> resampled_bleu(counts, num_resamples=2).round().tolist()
    [100.0, 100.0]
    """
    generator = np.random.default_rng(seed)
    times = generator.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), num_resamples)
    return np.array([bleu(sums) for sums in times @ counts])


def _runs(tokens: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1))
