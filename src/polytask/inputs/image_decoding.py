"""One picture (the bytes or the path of a JPEG or PNG file, or rows of pixels) -> pixels of a form."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polytask.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
Picture = bytes | str | Sequence[object]
"""One value of a column: the content of a file, the path of a file, or rows of pixels."""

_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)
"""What Pillow and numpy raise at content that they cannot make sense of."""


class UnreadableError(Exception):
    """Why a picture cannot be read."""


@dataclass(frozen=True, slots=True)
class Form:
    """Height, width and channels (1 or 3) of a picture."""

    height: int
    width: int
    channels: int


def require_pillow() -> None:
    """UserError with the command that installs what reads pictures."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise UserError(
            "pictures are read by Pillow, which is not installed: pip install 'polytask[image]'"
        ) from error


def form_of(picture: Picture) -> Form:
    """The form of a picture; of a file only the head is read. UnreadableError for what is none."""
    if not isinstance(picture, bytes | str):
        return form_of_shape(_whole_bytes(picture).shape)
    image = _opened(picture)
    with image:
        bands = image.getbands()
        return Form(image.height, image.width, 1 if bands[0] in ("L", "1", "I", "F") else 3)


def pixels_of(picture: Picture, form: Form) -> Pixels:
    """The pixels (C, H, W), resized where the picture has another size; UnreadableError."""
    from PIL import Image

    if isinstance(picture, bytes | str):
        return _drawn(_opened(picture), form, _named(picture))
    array = _whole_bytes(picture)
    if form_of_shape(array.shape) != form:
        return _drawn(Image.fromarray(array.squeeze()), form, "the array")
    return array.reshape(form.height, form.width, form.channels).transpose(2, 0, 1)


def is_picture(shape: Sequence[int]) -> bool:
    """Whether an array of this shape is a picture: (H, W), (H, W, 1) or (H, W, 3)."""
    return len(shape) in (2, 3) and min(shape) > 0 and tuple(shape[2:]) in ((), (1,), (3,))


def form_of_shape(shape: Sequence[int]) -> Form:
    """The form of an array; UnreadableError for a shape that is no picture's."""
    if not is_picture(shape):
        raise UnreadableError(
            f"an array of pixels is (H, W), (H, W, 1) or (H, W, 3), not {tuple(shape)}"
        )
    return Form(shape[0], shape[1], shape[2] if len(shape) == 3 else 1)


def _whole_bytes(rows: Sequence[object]) -> Pixels:
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise UnreadableError("its rows are no array of numbers of one shape") from error
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise UnreadableError("its rows are no array of numbers of one shape")
    numbers = array.astype(np.float64)
    pixels = numbers.astype(np.uint8) if ((numbers >= 0) & (numbers <= 255)).all() else None
    if pixels is None or (pixels != numbers).any():
        raise UnreadableError("an array of pixels holds whole numbers from 0 to 255")
    return pixels


def _opened(picture: bytes | str) -> "Image":
    from PIL import Image

    try:
        return Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{_named(picture)}: {_why(error)}") from error


def _drawn(image: "Image", form: Form, name: str) -> Pixels:
    """As a camera held it, in grey or in colour, of the size that is due."""
    from PIL import Image, ImageOps

    mode, size = ("L" if form.channels == 1 else "RGB"), (form.width, form.height)
    try:
        with image:
            # A JPEG is decoded at half, a quarter or an eighth where that is still large enough.
            image.draft(mode, size)
            if image.mode.startswith("I;16"):
                deep = np.asarray(image).astype(np.uint16) >> 8
                image = Image.fromarray(deep.astype(np.uint8))
            image = ImageOps.exif_transpose(image).convert(mode)
            if image.size != size:
                image = image.resize(size, Image.Resampling.BILINEAR)
            array = np.asarray(image)
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{name}: {_why(error)}") from error
    return array.reshape(form.height, form.width, form.channels).transpose(2, 0, 1)


def _named(picture: bytes | str) -> str:
    return picture if isinstance(picture, str) else f"{len(picture):,} bytes"


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if type(error).__name__ == "UnidentifiedImageError":
        return "this is no picture that Pillow knows"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
