"""The losses of sequences that a decoder is to write."""

from typing import NamedTuple

import torch
from torch import Tensor

from polytask.seq2seq.encoder_decoder import EncoderDecoder, Memory, _log
from polytask.seq2seq.ids import PADDING, begun


class TokenLosses(NamedTuple):
    """Of each of the N ids of all targets: its loss, its log-probability, and the row that it is of."""

    losses_N: Tensor
    log_p_N: Tensor
    rows_N: Tensor

    def of_rows(self, num_rows: int) -> Tensor:
        """The log-probability of each row's target, the sum of its ids': (B,)."""
        return self.log_p_N.new_zeros(num_rows).index_add(0, self.rows_N, self.log_p_N)


def teacher_forced(
    model: EncoderDecoder, memory: Memory, target_BT: Tensor, *, smoothing: float = 0.0
) -> TokenLosses:
    """The cross-entropy of each id of the targets, where the decoder reads the targets before it.

    With `smoothing` e the loss is (1 - e) of the target's cross-entropy and e of the mean of all ids'
    (Szegedy et al., CVPR 2016, section 7). What stands behind a target's end counts nothing.

    Paper: https://arxiv.org/abs/1512.00567

    **Shape** target (B, T), END last and 0 behind it -> N losses, N the number of ids.

    >>> model = EncoderDecoder(50, width=16, num_layers=1, num_heads=2)
    >>> memory = model.encode(torch.tensor([[5, 6, 2], [7, 2, 0]]))
    >>> teacher_forced(model, memory, torch.tensor([[8, 2], [2, 0]])).losses_N.shape
    torch.Size([3])
    """
    states_BTK = model(begun(target_BT), memory)
    is_id_BT = target_BT != PADDING
    targets_N = target_BT[is_id_BT]
    # The vocabulary is asked for real ids alone: it is half of the cost.
    logits_NV = model.logits(states_BTK[is_id_BT])
    total_N = torch.logsumexp(logits_NV.float(), dim=1)
    written_N = logits_NV.gather(1, targets_N[:, None])[:, 0].float() - total_N
    mean_N = logits_NV.float().mean(dim=1) - total_N if smoothing else None
    log_p_N = written_N
    if model.copying is not None:
        weights_BTL, log_write_BT1, log_copy_BT1 = model.copying.parts(states_BTK, memory)
        is_same_BTL = memory.ids[:, None, :] == target_BT[:, :, None]
        copied_BT = _log((weights_BTL * is_same_BTL).sum(dim=2)) + log_copy_BT1[..., 0]
        log_p_N = torch.logaddexp(written_N + log_write_BT1[is_id_BT][:, 0], copied_BT[is_id_BT])
    losses_N = -log_p_N if mean_N is None else -(1 - smoothing) * log_p_N - smoothing * mean_N
    rows_BT = torch.arange(len(target_BT), device=target_BT.device)[:, None].expand_as(target_BT)
    return TokenLosses(losses_N, log_p_N, rows_BT[is_id_BT])


def dual_penalty(
    log_p_x_B: Tensor, log_p_y_given_x_B: Tensor, log_p_y_B: Tensor, log_p_x_given_y_B: Tensor
) -> Tensor:
    """(log p(x) + log p(y | x) - log p(y) - log p(x | y))^2: two directions that agree on p(x, y).

    Source: Xia et al., Dual Supervised Learning, ICML 2017, eq. 4. The marginals p(x) and p(y) are of
    models that are not trained here.

    Paper: https://arxiv.org/abs/1707.00415

    **Shape** (B,) each -> (B,).

    >>> dual_penalty(*(torch.tensor([value]) for value in (-3.0, -1.0, -2.0, -1.5))).tolist()
    [0.25]
    """
    return (log_p_x_B + log_p_y_given_x_B - log_p_y_B - log_p_x_given_y_B).square()
