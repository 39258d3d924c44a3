"""Words a second of the tagging encoder beside the same network written by hand in torch.

    python benchmarks/word_speed.py [--rounds 15] [--batch 32]

Forward and backward on UD English EWT in batches of like length, one thread's processor time, memory kept as in
training, rounds interleaved; the ratio is the median of the rounds' own. By hand: four embeddings side by side and torch's
LSTM from both sides over packed sequences. Reads the data from POLYTASK_DATA (else ../shared/data).
"""

import argparse
import statistics
import time

import pyarrow.parquet as pq
import torch
from census import DATA
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from polytask.inputs import WordInput
from polytask.inputs.sequence_padding import cut
from polytask.streams import order_by_length
from polytask.training.memory import freed_memory_kept

WIDTH, NUM_BATCHES = 128, 20


class ByHand(nn.Module):
    """Embeddings and torch's own LSTM from both sides."""

    def __init__(self, tables: list[tuple[int, int]]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, k, padding_idx=0) for n, k in tables)
        width = sum(k for _, k in tables)
        self.recurrent = nn.LSTM(width, WIDTH // 2, batch_first=True, bidirectional=True)

    def forward(self, ids_BPL: Tensor) -> Tensor:
        parts = [table(ids_BPL[:, p]) for p, table in enumerate(self.tables)]
        is_word_BL = ids_BPL[:, 0] != 0
        packed = pack_padded_sequence(
            torch.cat(parts, dim=2), is_word_BL.sum(dim=1), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return states[is_word_BL]


def seconds_of(module: nn.Module, batches: list[Tensor]) -> float:
    started = time.process_time()
    for ids in batches:
        module(ids).square().mean().backward()
        for parameter in module.parameters():
            parameter.grad = None
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trees = pq.read_table(DATA / "ud_english_ewt.parquet", columns=["words"]).slice(0, 4000)
    fitted = WordInput.fit(trees, ["words"], width=WIDTH, dropout=0.0)
    ids_BPL = fitted.encode(trees)
    lengths_B = fitted.num_words(ids_BPL)
    assert lengths_B is not None
    order_B = order_by_length(lengths_B, options.batch, seed=0, epoch=0)
    mine = [ids_BPL[rows] for rows in torch.split(order_B, options.batch)[:NUM_BATCHES]]
    theirs = [each[:, :, : cut(each[:, 0]).shape[1]] for each in mine]
    module = fitted.module()
    hand = ByHand([(table.num_embeddings, table.embedding_dim) for table in module.tables])
    num_words = sum(int((each[:, 0] != 0).sum()) for each in mine)
    with freed_memory_kept():
        seconds_of(module, mine[:3]), seconds_of(hand, theirs[:3])
        pairs = [
            (seconds_of(module, mine), seconds_of(hand, theirs)) for _ in range(options.rounds)
        ]
    ratios = statistics.quantiles([by_hand / own for own, by_hand in pairs], n=4)
    own, by_hand = (num_words / statistics.median(each) for each in zip(*pairs))
    print("| module | words/s | by hand | ratio (quartiles) |\n|---|---|---|---|")
    print(
        f"| lstm | {own:,.0f} | {by_hand:,.0f} | {ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f}) |"
    )


if __name__ == "__main__":
    main()
