"""Packing: what goes in comes out, in as few bytes as were announced."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from foedus.transforms.packing import bytes_of, pack_bits, pack_trits, unpack_bits, unpack_trits


@settings(deadline=None)
@given(st.integers(1, 16), st.integers(0, 100), st.integers(0, 2**31))
def test_bits_come_back(bits: int, d: int, seed: int) -> None:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 2**bits, d).astype(np.int32))
    packed = pack_bits(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == bytes_of(d, bits) == bits * ((d + 7) // 8)
    assert unpack_bits(packed, bits, d).tolist() == codes.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=60))
def test_trits_come_back(codes: list[int]) -> None:
    packed = pack_trits(torch.tensor(codes, dtype=torch.uint8))
    assert packed.dtype == torch.uint8
    assert len(packed) == (len(codes) + 4) // 5
    assert unpack_trits(packed, len(codes)).tolist() == codes


@pytest.mark.parametrize("bits", [1, 3, 8, 9, 16])
def test_the_largest_code_fits(bits: int) -> None:
    codes = torch.full((9,), 2**bits - 1, dtype=torch.int32)
    assert unpack_bits(pack_bits(codes, bits), bits, 9).tolist() == codes.tolist()
    assert unpack_trits(pack_trits(torch.full((7,), 2)), 7).tolist() == [2] * 7
