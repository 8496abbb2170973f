"""Closed forms: what a message, a collective, a speed-up and a straggler cost. Measurements are checked against them.

Legend: ``n`` machines, ``nbytes`` the size of the vector that all of them hold, ``alpha`` seconds of latency a
message, ``beta`` seconds a byte (one over the bandwidth), ``f`` the share of the work that can run in parallel,
``p`` processors.
"""

from __future__ import annotations

import math
from numbers import Integral

from foedus.core.errors import BadInput


def message_seconds(nbytes: float, alpha: float, beta: float) -> float:
    """Seconds that one message takes: ``alpha + nbytes * beta`` (Hockney, 1994).

    >>> round(message_seconds(100e6, alpha=50e-6, beta=8 / 10e9), 6)
    0.08005
    """
    _not_negative(nbytes=nbytes, alpha=alpha, beta=beta)
    return alpha + nbytes * beta


def ring_allreduce_bytes(n: int, nbytes: float) -> float:
    """Bytes that each rank sends in a ring all-reduce: exactly ``2 (n - 1) / n`` of the vector.

    Source: Patarasuk and Yuan (2009), who show that no all-reduce sends fewer.

    >>> ring_allreduce_bytes(8, 100e6)
    175000000.0
    """
    _count(n=n)
    _not_negative(nbytes=nbytes)
    return 2 * (n - 1) / n * nbytes


def ring_allreduce_seconds(n: int, nbytes: float, alpha: float, beta: float) -> float:
    """Seconds of a ring all-reduce: ``2 (n - 1) alpha + 2 (n - 1) / n * nbytes * beta``. Additions are free.

    >>> round(ring_allreduce_seconds(8, 100e6, alpha=50e-6, beta=8 / 10e9), 6)
    0.1407
    """
    _not_negative(alpha=alpha, beta=beta)
    return 2 * (n - 1) * alpha + ring_allreduce_bytes(n, nbytes) * beta


def recursive_doubling_seconds(n: int, nbytes: float, alpha: float, beta: float) -> float:
    """Seconds of an all-reduce by recursive doubling: ``log2(n)`` exchanges of the whole vector.

    Where ``n`` is no power of two, the ranks above the largest one hand in their vector before and get the result
    after, two more messages (Thakur, Rabenseifner and Gropp, 2005).

    >>> round(recursive_doubling_seconds(8, 100e6, alpha=50e-6, beta=8 / 10e9), 6)
    0.24015
    """
    _count(n=n)
    steps = int(n).bit_length() - 1
    extra = 0 if n == 2**steps else 2
    return (steps + extra) * message_seconds(nbytes, alpha, beta)


def tree_allreduce_seconds(n: int, nbytes: float, alpha: float, beta: float) -> float:
    """Seconds of a reduce up a binomial tree and a broadcast down it: ``2 ceil(log2(n))`` messages of the vector.

    >>> round(tree_allreduce_seconds(8, 100e6, alpha=50e-6, beta=8 / 10e9), 6)
    0.4803
    """
    _count(n=n)
    return 2 * int(n - 1).bit_length() * message_seconds(nbytes, alpha, beta)


def server_seconds(n: int, nbytes: float, alpha: float, beta: float) -> float:
    """Seconds of a round with one server behind one link: all ``n`` vectors go in through it, then out again.

    The link is full duplex and shared fairly, so each direction takes ``alpha + n * nbytes * beta``.

    >>> round(server_seconds(8, 100e6, alpha=50e-6, beta=8 / 10e9), 6)
    1.2801
    """
    _count(n=n)
    return 2 * message_seconds(n * nbytes, alpha, beta)


def speedup(serial_seconds: float, parallel_seconds: float) -> float:
    """``S = T_1 / T_p``: how many times faster than one processor.

    >>> speedup(100.0, 12.5)
    8.0
    """
    _positive(serial_seconds=serial_seconds, parallel_seconds=parallel_seconds)
    return serial_seconds / parallel_seconds


def efficiency(serial_seconds: float, parallel_seconds: float, p: int) -> float:
    """``S / p``: the share of ``p`` processors that is put to use.

    >>> efficiency(100.0, 12.5, p=16)
    0.5
    """
    _count(p=p)
    return speedup(serial_seconds, parallel_seconds) / p


def amdahl(f: float, p: float) -> float:
    """Speed-up of a fixed problem on ``p`` processors: ``1 / ((1 - f) + f / p)`` (Amdahl, 1967).

    >>> round(amdahl(0.95, 16), 4)
    9.1429
    """
    _share(f=f)
    _positive(p=p)
    return 1 / ((1 - f) + f / p)


def gustafson(f: float, p: float) -> float:
    """Speed-up of a problem that grows with ``p`` processors: ``(1 - f) + f p`` (Gustafson, 1988).

    Here ``f`` is the share of the *parallel* run's time, where Amdahl's is a share of the serial run's.

    >>> round(gustafson(0.95, 16), 4)
    15.25
    """
    _share(f=f)
    _positive(p=p)
    return (1 - f) + f * p


def harmonic(n: int) -> float:
    """``H_n = 1 + 1/2 + ... + 1/n``; ``H_0 = 0``.

    >>> round(harmonic(8), 6)
    2.717857
    """
    _count(0, n=n)
    return math.fsum(1 / i for i in range(1, n + 1))


def expected_kth(k: int, n: int, rate: float = 1.0, shift: float = 0.0) -> float:
    """Expected time until ``k`` of ``n`` workers are done: ``shift + (H_n - H_(n-k)) / rate``.

    Workers take ``shift`` seconds and an exponential time with this rate on top, independently (Renyi, 1953).
    Waiting for the first 96 of 100 instead of all of them:

    >>> round(expected_kth(96, 100), 6), round(expected_kth(100, 100), 6)
    (3.104044, 5.187378)
    """
    _count(k=k, n=n)
    if k > n:
        raise BadInput(f"k is {k} and n is {n}: there is no k-th of n beyond the n-th")
    _positive(rate=rate)
    _not_negative(shift=shift)
    # The sum of the differing terms alone: the difference of two harmonic numbers would cancel for small k.
    return shift + math.fsum(1 / i for i in range(n - k + 1, n + 1)) / rate


def expected_maximum(n: int, rate: float = 1.0, shift: float = 0.0) -> float:
    """Expected time until the slowest of ``n`` workers is done: ``shift + H_n / rate``. Not the maximum of means.

    >>> round(expected_maximum(8), 6)
    2.717857
    """
    return expected_kth(n, n, rate, shift)


def _count(least: int = 1, **values: int) -> None:
    for name, v in values.items():
        if not isinstance(v, Integral) or v < least:
            raise BadInput(f"{name} is {v!r}: it must be a whole number of at least {least}")


def _positive(**values: float) -> None:
    for name, v in values.items():
        if not 0 < v < math.inf:
            raise BadInput(f"{name} is {v!r}: it must be a finite positive number")


def _not_negative(**values: float) -> None:
    for name, v in values.items():
        if not 0 <= v < math.inf:
            raise BadInput(f"{name} is {v!r}: it must be a finite number of at least 0")


def _share(**values: float) -> None:
    for name, v in values.items():
        if not 0 <= v <= 1:
            raise BadInput(f"{name} is {v!r}: it must be a share between 0 and 1")
