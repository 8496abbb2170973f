"""What files may take of memory. What a header says, and what a packed file becomes, is checked before it is taken."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foedus.core.errors import BadInput

PACKED_BYTES = 2**30
"""What a packed file may become whatever its size, in bytes ..."""
PACKED_TIMES = 100
"""... and beyond that, how many times its size. (Text packs to a tenth, pictures of digits to a fifth.)"""


def available() -> int:
    """The bytes that this process can have at most: the machine's memory, or less by a limit (``ulimit -v``)."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return machine if soft == resource.RLIM_INFINITY else min(machine, soft)


def check_fits(what: Any, needed: int) -> None:
    """Errors: ``BadInput`` for ``what`` takes more bytes than there can be."""
    if needed > (there := available()):
        raise BadInput(f"{what} takes {gib(needed)} of memory, and this process can have {gib(there)}: take fewer rows")


def packed_limit(packed: int) -> int:
    """What so many packed bytes may become."""
    return max(PACKED_BYTES, PACKED_TIMES * packed)


def check_packed(what: Any, packed: int, unpacked: int) -> None:
    """Errors: ``BadInput`` for ``what`` becomes far more bytes than it has, or more than there can be."""
    if unpacked > packed_limit(packed):
        raise BadInput(
            f"{what} has {packed:,} bytes and unpacks to {gib(unpacked)} or more: over {gib(PACKED_BYTES)}, at most "
            f"{PACKED_TIMES} times as much is taken; if that is meant, store it unpacked"
        )
    check_fits(what, unpacked)


@contextmanager
def fitting(what: Any) -> Iterator[None]:
    """Says of memory that runs out inside what it was for."""
    try:
        yield
    except (MemoryError, RuntimeError) as e:
        if not is_shortage(e):
            raise
        raise BadInput(f"{what} does not fit in memory ({gib(available())} at most): take fewer rows") from e


def is_shortage(e: BaseException) -> bool:
    """Whether memory ran out; torch says so by a ``RuntimeError``."""
    return isinstance(e, MemoryError) or (isinstance(e, RuntimeError) and "can't allocate memory" in str(e))


def gib(n: int) -> str:
    """Bytes in GiB, three digits: for errors.

    >>> gib(3 * 2**29)
    '1.5 GiB'
    """
    return f"{n / 2**30:,.3g} GiB" if n < 1000 * 2**30 else f"{n / 2**30:,.0f} GiB"
