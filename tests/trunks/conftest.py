"""What all tests of trunks need."""

from collections.abc import Iterator

import pytest

from polytask.trunks import TRUNKS


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test, or an example in a docstring, registers is gone after it."""
    kept = dict(TRUNKS)
    yield
    TRUNKS.clear()
    TRUNKS.update(kept)
