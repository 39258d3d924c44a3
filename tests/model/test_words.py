"""Labels of words, of rows of several lengths."""

import pytest
import torch

from polytask.model.words import at_words


@pytest.mark.parametrize("num_words", [[2, 1, 1], [1, 3, 0], [1, 1, 1], [0, 0, 0]])
def test_a_word_without_a_label_has_none(num_words: list[int]) -> None:
    """Three rows with one label each: further words are unlabelled."""
    found = at_words(torch.tensor([[5.0], [6.0], [7.0]]), torch.tensor(num_words))
    expected = [
        label if place == 0 else torch.nan
        for label, number in zip((5.0, 6.0, 7.0), num_words)
        for place in range(number)
    ]
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)
