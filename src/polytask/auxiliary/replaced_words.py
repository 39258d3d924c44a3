"""Does each word belong where it stands? Told from the word's own vector, where the encoder has one a word."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.auxiliary.auxiliary import Auxiliary, mean_features
from polytask.auxiliary.loss import AuxiliaryLoss
from polytask.inputs.sequence_padding import PADDING
from polytask.model.outputs import Outputs
from polytask.model.words import at_words, mean_of_rows
from polytask.streams import Batch


def exchanged(ids_BPL: Tensor, rate: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Some words, with all of their parts, for others of the batch; and which are others (B, L), NaN behind the end.

    **Shape** ids (B, P, L) -> (B, P, L), (B, L).

    >>> ids_BPL = torch.tensor([[[5, 6, 0], [2, 3, 0]]])
    >>> exchanged(ids_BPL, 0.0, torch.Generator())[1].tolist()
    [[0.0, 0.0, nan]]
    """
    is_word_BL = ids_BPL[:, 0] != PADDING
    words_NP = ids_BPL.transpose(1, 2)[is_word_BL]
    drawn_BL = (torch.rand(is_word_BL.shape, generator=generator) * len(words_NP)).long()
    chosen_BL = is_word_BL & (torch.rand(is_word_BL.shape, generator=generator) < rate)
    made_BLP = ids_BPL.transpose(1, 2).clone()
    made_BLP[chosen_BL] = words_NP[drawn_BL[chosen_BL]]
    is_other_BL = (made_BLP != ids_BPL.transpose(1, 2)).any(dim=2).float()
    return made_BLP.transpose(1, 2), is_other_BL.masked_fill(~is_word_BL, torch.nan)


class WordsBelong(AuxiliaryLoss):
    """Binary cross-entropy of each word of the added rows, the mean over all of them."""

    def __init__(self, auxiliary: Auxiliary, num_features: int, num_steps: int) -> None:
        super().__init__(auxiliary, num_steps=num_steps)
        self.head = nn.Linear(num_features, 1)

    def forward(self, result: Outputs, batch: Batch) -> Tensor:
        assert result.num_words is not None
        labels_W = at_words(batch.labels[self.name], result.num_words)
        losses_W = functional.binary_cross_entropy_with_logits(
            self.head(mean_features(result))[:, 0], labels_W.nan_to_num(), reduction="none"
        )
        return mean_of_rows(losses_W, ~labels_W.isnan(), result.num_words)

    def row_weights(self, batch: Batch) -> Tensor:
        """A row counts as many times as it has words that are told."""
        if self.name not in batch.labels:
            return torch.zeros(len(batch))
        return (~batch.labels[self.name].isnan()).sum(dim=1).float()
