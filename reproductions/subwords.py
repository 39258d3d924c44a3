"""Texts as pieces of words: byte-pair encoding (Sennrich, Haddow and Birch, ACL 2016), by the extra `text`."""

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from polytask.seq2seq import END

_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


class Subwords:
    """One vocabulary for all texts; `marks`, such as the direction, are pieces of their own."""

    def __init__(self, texts: Iterable[str], *, num_ids: int, marks: Sequence[str] = ()) -> None:
        self.tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        )
        self.tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=num_ids, special_tokens=[*_SPECIAL, *marks], show_progress=False
        )
        self.tokenizer.train_from_iterator(texts, trainer)

    @property
    def num_ids(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def mark(self, name: str) -> int:
        """The id of a mark."""
        return int(self.tokenizer.token_to_id(name))

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The pieces of each text, with END behind them."""
        return [[*each.ids, END] for each in self.tokenizer.encode_batch(list(texts))]

    def begins(self) -> Tensor:
        """Which ids begin a word (V,): those of the space before it."""
        signs = [self.tokenizer.id_to_token(i) for i in range(self.num_ids)]
        return torch.tensor([sign.startswith("\N{LOWER ONE EIGHTH BLOCK}") for sign in signs])

    def texts(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of pieces."""
        return [self.tokenizer.decode(list(row)) for row in rows]
