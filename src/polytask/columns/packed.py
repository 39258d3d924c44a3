"""An array of numbers as a short text, for records that would be long as JSON numbers."""

import base64
import binascii
import math
import zlib
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError

_LARGEST = 1 << 32
"""Bytes that a damaged record may ask for at most."""
_LEVEL = 1
"""Of compression: the higher ones take six times as long for a tenth less."""


@dataclass(frozen=True, slots=True)
class PackedArray:
    """Integers of 64 bits, bytes, or floats of 16, 32 or 64, compressed and in base64.

    >>> packed = PackedArray.of(np.array([[1, 2], [3, 4]]))
    >>> packed.array().tolist()
    [[1, 2], [3, 4]]
    """

    dtype: Literal["int64", "uint64", "uint8", "float64", "float32", "float16"]
    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, array: NDArray[np.integer] | NDArray[np.floating]) -> Self:
        """Little-endian, row by row."""
        dtype = array.dtype.newbyteorder("<")
        raw = np.ascontiguousarray(array, dtype=dtype).tobytes()
        data = base64.b64encode(zlib.compress(raw, _LEVEL)).decode()
        return cls(array.dtype.name, array.shape, data)  # type: ignore[arg-type]

    def array(self) -> NDArray[np.integer] | NDArray[np.floating]:
        """The numbers; UserError where the text is damaged or of another length."""
        num_bytes = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if any(length < 0 for length in self.shape) or num_bytes > _LARGEST:
            raise UserError(f"a packed array of an impossible shape {self.shape}")
        try:
            reader = zlib.decompressobj()
            raw = reader.decompress(base64.b64decode(self.data, validate=True), num_bytes + 1)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise UserError(f"a packed array is damaged: {error}") from error
        if len(raw) != num_bytes:
            raise UserError(f"a packed array is damaged: it has not the length of {self.shape}")
        numbers = np.frombuffer(raw, dtype=np.dtype(self.dtype).newbyteorder("<"))
        return numbers.reshape(self.shape).astype(self.dtype)
