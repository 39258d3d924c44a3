"""The network against slow formulas: what hangs on what, teacher forcing, copying, gradients."""

import pytest
import torch
from torch import Tensor

from polytask.seq2seq import EncoderDecoder, begun, padded_ids, teacher_forced

SOURCE = padded_ids([[5, 6, 7, 2], [8, 2], [9, 10, 2]])
TARGET = padded_ids([[11, 5, 2], [7, 12, 6, 2], [2]])


def network(*, copies: bool = False, dropout: float = 0.0, seed: int = 0) -> EncoderDecoder:
    torch.manual_seed(seed)
    return EncoderDecoder(
        20, width=16, num_layers=2, num_heads=2, inner=24, copies=copies, dropout=dropout
    )


BOTH = pytest.mark.parametrize("copies", [False, True])


@BOTH
def test_padding_changes_nothing(copies: bool) -> None:
    model = network(copies=copies)
    together = teacher_forced(model, model.encode(SOURCE), TARGET, smoothing=0.1)
    for row in range(len(SOURCE)):
        source = SOURCE[row, SOURCE[row] > 0][None]
        target = TARGET[row, TARGET[row] > 0][None]
        alone = teacher_forced(model, model.encode(source), target, smoothing=0.1)
        mine_N = together.rows_N == row
        torch.testing.assert_close(alone.losses_N, together.losses_N[mine_N])
        torch.testing.assert_close(alone.log_p_N, together.log_p_N[mine_N])


@BOTH
def test_an_id_hangs_on_those_before_it_alone(copies: bool) -> None:
    model = network(copies=copies)
    memory = model.encode(SOURCE)
    read_BT = torch.tensor([[1, 11, 5, 9]] * 3)
    log_p_BTV = model.log_probabilities(model(read_BT, memory), memory)
    changed = read_BT.clone()
    changed[:, 2] = 14
    other_BTV = model.log_probabilities(model(changed, memory), memory)
    torch.testing.assert_close(log_p_BTV[:, :2], other_BTV[:, :2])
    assert not torch.allclose(log_p_BTV[:, 2:], other_BTV[:, 2:])


@BOTH
def test_probabilities_sum_to_one_and_are_those_of_the_loss(copies: bool) -> None:
    model = network(copies=copies).double()
    memory = model.encode(SOURCE)
    log_p_BTV = model.log_probabilities(model(begun(TARGET), memory), memory)
    torch.testing.assert_close(log_p_BTV.exp().sum(dim=2), torch.ones(3, 4))
    found = teacher_forced(model, memory, TARGET)
    expected = log_p_BTV.gather(2, TARGET[:, :, None])[:, :, 0][TARGET > 0]
    torch.testing.assert_close(found.log_p_N, expected, check_dtype=False)
    torch.testing.assert_close(found.losses_N, -expected, check_dtype=False)
    sums = [expected[found.rows_N == row].sum() for row in range(3)]
    torch.testing.assert_close(found.of_rows(3), torch.stack(sums), check_dtype=False)


def test_smoothing_is_that_of_cross_entropy() -> None:
    model = network().double()
    memory = model.encode(SOURCE)
    logits_BTV = model.logits(model(begun(TARGET), memory))
    expected_N = torch.nn.functional.cross_entropy(
        logits_BTV[TARGET > 0], TARGET[TARGET > 0], label_smoothing=0.2, reduction="none"
    )
    found = teacher_forced(model, memory, TARGET, smoothing=0.2)
    torch.testing.assert_close(found.losses_N, expected_N, rtol=1e-5, atol=1e-6, check_dtype=False)


def test_step_by_step_equals_all_at_once() -> None:
    model = network().eval()
    memory = model.encode(SOURCE)
    read_BT = begun(TARGET)
    whole_BTK, past, states = model(read_BT, memory), None, []
    for place in range(read_BT.shape[1]):
        state, past = model.step(read_BT[:, place : place + 1], memory, past)
        states.append(state)
    torch.testing.assert_close(torch.cat(states, dim=1), whole_BTK)


def copied(model: EncoderDecoder, source: Tensor) -> Tensor:
    assert model.copying is not None
    with torch.no_grad():
        model.copying.gate.bias.fill_(-50.0)
    memory = model.encode(source)
    return model.log_probabilities(model(torch.tensor([[1]]), memory), memory)[0, 0].exp()


def test_a_network_that_copies_alone_writes_the_ids_of_its_source() -> None:
    p_V = copied(network(copies=True), torch.tensor([[5, 6, 5, 2]]))
    assert p_V[[5, 6, 2]].sum().item() == pytest.approx(1.0, abs=1e-5)
    assert (p_V[[3, 4, 7, 8]] < 1e-6).all()


@BOTH
def test_every_parameter_learns_and_a_small_set_is_learned_by_heart(copies: bool) -> None:
    model = network(copies=copies, dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = teacher_forced(model, model.encode(SOURCE), TARGET).losses_N.mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert loss.item() < 0.2


def test_a_source_without_ids_is_read_all_the_same() -> None:
    model = network()
    states = model(torch.tensor([[1]]), model.encode(torch.zeros(1, 3, dtype=torch.long)))
    assert states.isfinite().all()


def test_dropout_is_off_in_evaluation_and_keeps_the_mean() -> None:
    model = network(dropout=0.5).eval()
    assert torch.equal(model.encode(SOURCE).states, model.encode(SOURCE).states)
    model.train()
    assert not torch.equal(model.encode(SOURCE).states, model.encode(SOURCE).states)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the heads"):
        EncoderDecoder(9, width=6, num_layers=1, num_heads=4)
    with pytest.raises(ValueError, match=r"longer than self\.longest=3"):
        EncoderDecoder(9, width=4, num_layers=1, num_heads=1, longest=3).encode(
            torch.ones(1, 4).long()
        )
    with pytest.raises(ValueError, match=r"not in \[0, 1\)"):
        EncoderDecoder(9, width=4, num_layers=1, num_heads=1, dropout=1.0)
