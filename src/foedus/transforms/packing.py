"""Small whole numbers in few bits: what quantisers send.

Numbers lie side by side, not one after the other: byte j holds number j of each of several rows. All of it is then
arithmetic on whole rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_WORD = np.dtype("<u8")
_POWERS = np.array([1, 3, 9, 27, 81])
_TRITS = (np.arange(243)[None, :] // _POWERS[:, None] % 3).astype(np.uint8)
"""Row i: the i-th digit to base 3 of every byte."""


def bytes_of(d: int, bits: int) -> int:
    """Bytes that d numbers of so many bits take: they are packed by eights."""
    return bits * -(-d // 8)


def pack_bits(codes_D: Tensor, bits: int) -> Tensor:
    """Whole numbers below ``2 ** bits`` (d,), bits at most 16, as bytes.

    >>> pack_bits(torch.tensor([1, 0, 1, 1]), 1)
    tensor([13], dtype=torch.uint8)
    """
    codes = codes_D.numpy()
    if bits > 8:
        low, high = codes & 255, codes >> 8
        return torch.from_numpy(np.concatenate([_pack(low, 8), _pack(high, bits - 8)]))
    return torch.from_numpy(_pack(codes, bits))


def unpack_bits(bytes_B: Tensor, bits: int, d: int) -> Tensor:
    """The d whole numbers that ``pack_bits`` packed, uint8 or (above 8 bits) int32.

    >>> unpack_bits(pack_bits(torch.tensor([300, 7]), 9), 9, 2)
    tensor([300,   7], dtype=torch.int32)
    """
    packed = bytes_B.numpy()
    if bits > 8:
        at = bytes_of(d, 8)
        low, high = _unpack(packed[:at], 8, d), _unpack(packed[at:], bits - 8, d)
        return torch.from_numpy(low.astype(np.int32) | high.astype(np.int32) << 8)
    return torch.from_numpy(_unpack(packed, bits, d))


def pack_trits(codes_D: Tensor) -> Tensor:
    """Numbers 0, 1 and 2 (d,), five a byte, for 3 ** 5 = 243.

    >>> pack_trits(torch.tensor([2, 1, 0, 0, 1]))
    tensor([86], dtype=torch.uint8)
    """
    rows = _rows(codes_D.numpy(), 5)
    out = rows[4].copy()
    for row in rows[3::-1]:
        out *= 3
        out += row
    return torch.from_numpy(out)


def unpack_trits(bytes_B: Tensor, d: int) -> Tensor:
    """The d numbers that ``pack_trits`` packed, uint8."""
    packed = bytes_B.numpy()
    return torch.from_numpy(np.stack([digits[packed] for digits in _TRITS]).reshape(-1)[:d])


def _rows(codes: np.ndarray, n: int) -> np.ndarray:
    """n rows of bytes that together hold the codes, filled up with zeros."""
    width = -(-len(codes) // n)
    rows = np.zeros(n * width, dtype=np.uint8)
    rows[: len(codes)] = codes
    return rows.reshape(n, width)


def _pack(codes: np.ndarray, bits: int) -> np.ndarray:
    rows = _rows(codes, 8)
    words = np.zeros(rows.shape[1], dtype=_WORD)
    for i, row in enumerate(rows):
        words |= row.astype(_WORD) << np.uint64(bits * i)
    return words.view(np.uint8).reshape(-1, 8)[:, :bits].reshape(-1)


def _unpack(packed: np.ndarray, bits: int, d: int) -> np.ndarray:
    width = -(-d // 8)
    padded = np.zeros((width, 8), dtype=np.uint8)
    padded[:, :bits] = packed.reshape(width, bits)
    words = padded.reshape(-1).view(_WORD)
    mask = np.uint64(2**bits - 1)
    rows = np.empty((8, width), dtype=np.uint8)
    for i, row in enumerate(rows):
        row[:] = words >> np.uint64(bits * i) & mask
    return rows.reshape(-1)[:d]
