"""Pictures become numbers. Pillow's only import is in this file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foedus.core.errors import BadInput
from foedus.data.files import listed
from foedus.data.memory import is_shortage
from foedus.data.signatures import LONGEST, format_of

FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""Pillow's name of what a file holds, by its suffix. It can open many more, some of them by other programs."""
SUFFIXES = tuple(FORMATS)
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
        if size is not None and image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        a = torch.from_numpy(np.array(image))
    except Exception as e:  # of many kinds: a damaged file may be anything to whatever reads it
        raise _broken(what, e) from e
    return a[None] if grey else a.permute(2, 0, 1).contiguous()


def read(file: Path, size: tuple[int, int] | None, grey: bool) -> Tensor:
    """The pixels of a file, see ``pixels``."""
    with opened(file) as image:
        return pixels(image, size, grey, str(file))


def size_of(file: Path) -> tuple[int, int]:
    """(H, W) by the file's header. Errors: ``BadInput`` for what is no picture."""
    with opened(file) as image:
        width, height = image.size
        return height, width


def is_image(thing: Any) -> bool:
    """Whether this is a Pillow image; asks without the import, for then Pillow has made it."""
    return type(thing).__module__.split(".")[0] == "PIL" and hasattr(thing, "convert")


def opened(file: Path, content: bytes | None = None) -> Any:
    """A Pillow image, decoded when it is asked for its pixels; of ``content``, where that is what the file holds.

    Only the format that the file's suffix names is tried, without a suffix those in ``FORMATS``. Errors: ``BadInput``
    that names the file, for another format, for what is no picture, and for more pixels than Pillow takes for sound.
    """
    from PIL import Image

    if content is None:
        with file.open("rb") as f:
            start = f.read(LONGEST)
    else:
        start = content[:LONGEST]
    by_suffix, found = FORMATS.get(file.suffix.lower()), format_of(start)
    wanted = sorted(set(FORMATS.values())) if by_suffix is None else [by_suffix]
    if found not in (*wanted, None):
        raise BadInput(f"{file} is a {found} file, not {listed(wanted)}: name it after what it is, or remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(file if content is None else io.BytesIO(content), formats=wanted)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as e:
        raise BadInput(
            f"{file} says that it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the most that are taken: make it "
            "smaller, or remove it"
        ) from e
    except Exception as e:  # as above
        raise _broken(str(file), e) from e


def _broken(what: str, e: Exception) -> BadInput:
    if is_shortage(e):
        return BadInput(f"{what} does not fit in memory: make it smaller, or remove it")
    reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
    return BadInput(f"{what} is no picture or a broken one ({reason}): repair or remove it")
