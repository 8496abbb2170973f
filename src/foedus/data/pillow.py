"""Pictures become numbers. Pillow's only import is in this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("1", "L", "LA")
"""Pillow's modes of pictures without colour."""
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits a channel, which it would clip without a word."""


def pixels(image: Any, size: tuple[int, int] | None, grey: bool, what: str) -> Tensor:
    """A Pillow image as uint8 (C, H, W): one channel if ``grey``, else red, green and blue; ``size`` is (H, W).

    Transparency is dropped. Errors: ``BadInput`` that names ``what`` for a picture that cannot be decoded, or has more
    than 8 bits a channel.
    """
    from PIL import Image

    if image.mode in DEEP:
        raise BadInput(f"{what} has more than 8 bits a channel (mode {image.mode}): scale it to 8 bits first")
    try:
        image = image.convert("L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as e:
        raise _broken(what, e) from e
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    a = torch.from_numpy(np.array(image))
    return a[None] if grey else a.permute(2, 0, 1).contiguous()


def read(file: Path, size: tuple[int, int] | None, grey: bool) -> Tensor:
    """The pixels of a file, see ``pixels``."""
    with _opened(file) as image:
        return pixels(image, size, grey, str(file))


def size_of(file: Path) -> tuple[int, int]:
    """(H, W) by the file's header. Errors: ``BadInput`` for what is no picture."""
    with _opened(file) as image:
        width, height = image.size
        return height, width


def is_image(thing: Any) -> bool:
    """Whether this is a Pillow image; asks without the import, for then Pillow has made it."""
    return type(thing).__module__.split(".")[0] == "PIL" and hasattr(thing, "convert")


def _opened(file: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise _broken(str(file), e) from e


def _broken(what: str, e: Exception) -> BadInput:
    return BadInput(f"{what} is no picture or a broken one ({str(e).splitlines()[0]}): repair or remove it")
