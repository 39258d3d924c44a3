"""Beam search against the enumeration of all sequences."""

import itertools

import pytest
import torch

from polytask.seq2seq import END, EncoderDecoder, beam_search, padded_ids, teacher_forced

SOURCE = padded_ids([[4, 5, 2], [5, 2]])
NUM_IDS, LONGEST = 6, 4


def network(seed: int) -> EncoderDecoder:
    torch.manual_seed(seed)
    model = EncoderDecoder(NUM_IDS, width=8, num_layers=1, num_heads=2, copies=seed % 2 == 1)
    with torch.no_grad():
        model.embeddings.weight.mul_(3.0)
    return model.eval()


def every_sequence() -> list[list[int]]:
    """All that end within the length, each with its END."""
    ids = range(3, NUM_IDS)
    return [[*body, END] for n in range(LONGEST) for body in itertools.product(ids, repeat=n)]


def best(model: EncoderDecoder, row: int, length_penalty: float) -> tuple[list[int], float]:
    targets = every_sequence()
    source = SOURCE[row : row + 1].expand(len(targets), -1)
    with torch.no_grad():
        losses = teacher_forced(model, model.encode(source), padded_ids(targets))
    log_p = losses.of_rows(len(targets))
    scores = log_p / torch.tensor([len(t) for t in targets]) ** length_penalty
    place = int(scores.argmax())
    return targets[place][:-1], float(log_p[place])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_of_all_finds_the_best_of_all(seed: int, length_penalty: float) -> None:
    model = network(seed)
    found = beam_search(
        model, SOURCE, beam_size=200, max_length=LONGEST, length_penalty=length_penalty
    )
    for row in range(2):
        sequence, log_p = best(model, row, length_penalty)
        assert found.sequences[row] == sequence
        assert found.log_p_B[row].item() == pytest.approx(log_p, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_the_likeliest_id_each_time(seed: int) -> None:
    model = network(seed)
    found = beam_search(model, SOURCE, beam_size=1, max_length=LONGEST)
    for row in range(2):
        memory, written = model.encode(SOURCE[row : row + 1]), [1]
        for place in range(LONGEST):
            log_p_V = model.log_probabilities(model(torch.tensor([written]), memory), memory)[0, -1]
            log_p_V[:2] = -torch.inf
            last = END if place == LONGEST - 1 else int(log_p_V.argmax())
            written.append(last)
            if last == END:
                break
        assert found.sequences[row] == [i for i in written[1:] if i != END]


@pytest.mark.parametrize("seed", range(4))
def test_rows_do_not_see_each_other_and_wider_beams_are_no_worse_without_a_penalty(
    seed: int,
) -> None:
    model = network(seed)
    for size in (1, 3):
        together = beam_search(model, SOURCE, beam_size=size, max_length=LONGEST)
        alone = [
            beam_search(model, row[None], beam_size=size, max_length=LONGEST) for row in SOURCE
        ]
        assert together.sequences == [each.sequences[0] for each in alone]
    scores = [
        beam_search(model, SOURCE, beam_size=size, max_length=LONGEST, length_penalty=0.0).log_p_B
        for size in (1, 200)
    ]
    assert (scores[1] >= scores[0] - 1e-5).all()


def test_training_mode_is_put_back_and_sizes_are_positive() -> None:
    model = network(0).train()
    beam_search(model, SOURCE, max_length=2)
    assert model.training
    with pytest.raises(ValueError, match="must be positive"):
        beam_search(model, SOURCE, beam_size=0)
