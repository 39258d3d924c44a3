"""Tokens a second of each text module beside the same network written by hand in torch.

    python benchmarks/text_speed.py [--rounds 15] [--batch 64]

Forward and backward on movie reviews (MR of sentences.parquet) in batches of like length, one thread's
processor time, memory kept as in training, rounds interleaved; the ratio is the median of the rounds' own. The network by hand gets ids
that are cut to the batch's longest row already; polytask's gets the table's padding and cuts it itself.
Then the padding of both orders of batches, and how long 29,000 pairs of Multi30k take to tokenise.
Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from census import DATA
from torch import Tensor, nn

from polytask.inputs import Text
from polytask.inputs.sequence_padding import cut, padding_share
from polytask.inputs.text_tokens import tokens_of
from polytask.streams import epoch_order, order_by_length
from polytask.training.memory import freed_memory_kept

DIM, WIDTH = 64, 96
NUM_BATCHES = 20


class ByHand(nn.Module):
    """An embedding and a network as one writes them down."""

    def __init__(self, num_ids: int, name: str, longest: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_ids, DIM, padding_idx=0)
        self.name = name
        if name == "cnn":
            self.convolutions = nn.ModuleList(
                nn.Conv1d(DIM, WIDTH // 3, k, padding=k - 1) for k in (3, 4, 5)
            )
        elif name == "lstm":
            self.recurrent = nn.LSTM(DIM, WIDTH, batch_first=True)
        elif name == "gru":
            self.recurrent = nn.GRU(DIM, WIDTH, batch_first=True)
        elif name == "transformer":
            self.widen = nn.Linear(DIM, WIDTH)
            self.positions = nn.Embedding(longest, WIDTH)
            self.layer = nn.TransformerEncoderLayer(
                *(WIDTH, 4, 4 * WIDTH, 0.0, "gelu"), batch_first=True, norm_first=True
            )
            self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        x, there = self.embedding(ids), ids != 0
        if self.name == "cnn":
            outside, length = ~there.unsqueeze(1), ids.shape[1]
            values = [
                c(x.mT)[..., -length:].masked_fill(outside, -torch.inf) for c in self.convolutions
            ]
            return torch.cat([value.amax(dim=2) for value in values], dim=1).relu()
        if self.name in ("lstm", "gru"):
            return self.recurrent(x)[0].masked_fill(~there.unsqueeze(-1), -1).amax(dim=1)
        if self.name == "transformer":
            x = self.widen(x) + self.positions(torch.arange(ids.shape[1]))
            x = self.norm(self.layer(x, src_key_padding_mask=~there))
        share = there / there.sum(dim=1, keepdim=True)
        return (x * share.unsqueeze(-1)).sum(dim=1)


def seconds_of(module: nn.Module, batches: list[Tensor]) -> float:
    started = time.process_time()
    for ids in batches:
        module(ids).square().mean().backward()
        for parameter in module.parameters():
            parameter.grad = None
    return time.process_time() - started


def compare(rounds: int, batch_size: int) -> None:
    sentences = pq.read_table(DATA / "sentences.parquet")
    reviews = sentences.filter(pc.equal(sentences["task"], "mr"))
    print("| module | tokens/s | by hand | ratio (quartiles) |\n|---|---|---|---|")
    for name in ("mean", "cnn", "lstm", "gru", "transformer"):
        fitted = Text.fit(reviews, ["text"], encoder=name, embedding_dim=DIM, width=WIDTH)
        ids_BCL = fitted.encode(reviews)
        lengths_B = fitted.lengths(ids_BCL)
        if lengths_B is None:
            lengths_B = (ids_BCL[:, 0] != 0).sum(dim=1)
        order = order_by_length(lengths_B, batch_size, seed=0, epoch=0)
        chosen = torch.split(order, batch_size)[:NUM_BATCHES]
        mine = [ids_BCL[rows] for rows in chosen]
        theirs = [cut(ids_BCL[rows, 0]).long() for rows in chosen]
        tokens = sum(int(lengths_B[rows].sum()) for rows in chosen)
        ours = fitted.module()
        hand = ByHand(fitted.vocabularies[0].num_ids, name, fitted.longest)
        seconds_of(ours, mine[:3]), seconds_of(hand, theirs[:3])
        pairs = [(seconds_of(ours, mine), seconds_of(hand, theirs)) for _ in range(rounds)]
        ratios = statistics.quantiles([by_hand / own for own, by_hand in pairs], n=4)
        speeds = [tokens / statistics.median(each) for each in zip(*pairs)]
        print(
            f"| {name} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | "
            f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f}) |",
            flush=True,
        )
    by_chance = epoch_order(len(order), seed=0, epoch=0)
    shares = [padding_share(lengths_B, each, batch_size) for each in (order, by_chance)]
    print(f"\npadding: {shares[0]:.1%} in batches of like length, {shares[1]:.1%} by chance")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with freed_memory_kept():
        compare(options.rounds, options.batch)
    pairs = pq.read_table(DATA / "multi30k.parquet", columns=["split", "en", "de"])
    pairs = pairs.filter(pc.equal(pairs["split"], "train"))
    seconds = timed(lambda: [tokens_of(pairs[name], "words", name) for name in ("en", "de")])
    print(f"{pairs.num_rows:,} pairs of Multi30k (en, de) tokenised in {seconds:.1f} s")


if __name__ == "__main__":
    main()
