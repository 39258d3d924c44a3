"""Packed arrays: there and back, and what a damaged record may not do."""

import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest

from polytask.columns.packed import PackedArray
from polytask.errors import UserError


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (0, 4)])
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_there_and_back(shape: tuple[int, ...], kind: type) -> None:
    numbers = (np.random.default_rng(0).normal(size=shape) * 1e9).astype(kind)
    again = PackedArray.of(numbers).array()
    assert again.dtype == kind and again.shape == shape and (again == numbers).all()


def packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "no base64!"},
        {"data": base64.b64encode(b"no zlib").decode()},
        {"data": packed(b"\0" * 15)},
        {"data": packed(b"\0" * 100_000_000)},
        {"shape": (-2,)},
        {"shape": (1 << 40,)},
    ],
)
def test_damage_is_one_message(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="packed array"):
        replace(PackedArray.of(np.arange(2)), **changes).array()
