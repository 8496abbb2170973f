"""Work on a (K, D) stack, cut along D: strips that may go to several threads, and blocks of one that fit a cache.

Where the cuts are depends on the stack's shape alone, so that the number of threads makes no difference to the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from foedus.core.types.torch_process import serial, spare_threads

T = TypeVar("T")

STRIPS = 16
"""Strips of a large stack: more than threads, so that these end together; few, for what one leaves may be (K, K)."""

LEAST = 1 << 17
"""Numbers of a strip at the least: less is done before a thread has begun."""

BLOCK = 1 << 18
"""Numbers of a block: 1 MiB of float32, which a core's cache has room for."""


def over_strips(k: int, d: int, work: Callable[[slice], T]) -> list[T]:
    """``work`` on every strip of D columns, in as many threads as are to spare; what it answers, by strip."""
    n = max(1, min(STRIPS, k * d // LEAST))
    strips = [slice(i * d // n, (i + 1) * d // n) for i in range(n)]
    threads = min(spare_threads(), n)
    with serial():  # torch's own threads would cut where it suits them
        if threads == 1:
            return [work(s) for s in strips]
        # A thread that is new has torch's own number of threads below it until it is told otherwise.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, strips))


def in_blocks(k: int, strip: slice) -> Iterator[slice]:
    """The blocks of a strip of K rows."""
    # Rows of a copied block do not begin a power of two apart, where they would be in each other's place in the cache:
    # a product of such ones takes twice as long.
    width = max(64, BLOCK // max(1, k) // 128 * 128) + 16
    for at in range(strip.start, strip.stop, width):
        yield slice(at, min(at + width, strip.stop))


def finite_rows(u_KD: Tensor) -> Tensor:
    """Which rows are finite: (K,) of truth values."""
    k, d = u_KD.shape
    if not u_KD.is_floating_point():
        return torch.ones(k, dtype=torch.bool)

    def work(strip: slice) -> Tensor:
        # NaN and infinity survive a sum; the search for them runs only if the sum is suspect (it may just overflow).
        good_K = torch.isfinite(u_KD[:, strip].sum(1))
        for row in torch.nonzero(~good_K).flatten().tolist():
            good_K[row] = torch.isfinite(u_KD[row, strip]).all()
        return good_K

    return torch.stack(over_strips(k, d, work)).all(0)
