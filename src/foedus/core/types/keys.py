"""Keyed randomness: every random draw comes from a key, never from a shared stream.

A key is ``(seed, purpose, ...)`` hashed by BLAKE2b. Two draws with different keys are independent, and a draw
does not depend on which worker makes it, nor on what was drawn before it.
"""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

_NORMAL = NormalDist()

_ZERO = np.zeros(4, dtype=np.uint64)
_FRESH: dict[str, Any] = {"bit_generator": "Philox", "buffer": _ZERO, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}
_LOCAL = threading.local()


@dataclass(frozen=True)
class Key:
    """A name for one random draw: the experiment's seed and whatever tells this draw from all others.

    >>> Key(0).child("job", 7, 0) == Key(0).child("job", 7, 0)
    True
    >>> Key(0).child("job", 7, 0).uniform() == Key(0).child("job", 7, 1).uniform()
    False
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def child(self, *names: str | int) -> Key:
        """The key of a draw below this one."""
        return Key(self.seed, (*self.path, *names))

    def digest(self) -> bytes:
        """16 bytes that depend on the seed and on every name in the path."""
        # repr of a tuple of str and int is injective; int() and str() strip numpy subclasses, whose repr differs.
        path = tuple(str(p) if isinstance(p, str) else int(p) for p in self.path)
        return hashlib.blake2b(repr((int(self.seed), path)).encode(), digest_size=16).digest()

    def integer(self) -> int:
        """One integer, uniform on [0, 2**63)."""
        return int.from_bytes(self.digest()[:8], "little") >> 1

    def uniform(self) -> float:
        """One number, uniform on the open interval (0, 1)."""
        u = (float(int.from_bytes(self.digest()[:8], "little") >> 11) + 0.5) * 2.0**-53
        return min(u, 1.0 - 2.0**-53)  # the largest of them rounds up to 1

    def normal(self) -> float:
        """One standard normal number, by the inverse distribution function."""
        return _NORMAL.inv_cdf(self.uniform())

    def exponential(self) -> float:
        """One exponential number with mean 1, by the inverse distribution function."""
        return -math.log(self.uniform())

    def numpy(self) -> np.random.Generator:
        """A NumPy generator (Philox, counter based) for many draws."""
        return np.random.Generator(np.random.Philox(key=np.frombuffer(self.digest(), dtype=np.uint64)))

    def permutation(self, n: int) -> torch.Tensor:
        """A random order of n things (n,) int64: ``numpy().permutation(n)``, without the making of a generator."""
        import torch

        return torch.from_numpy(self._shared().permutation(n))

    def choice(self, n: int, k: int) -> list[int]:
        """k of the numbers 0 .. n-1, without replacement, ascending. Takes O(k) time."""
        chosen = self._shared().choice(n, k, replace=False, shuffle=False).tolist()
        return sorted(chosen)

    def _shared(self) -> np.random.Generator:
        # One generator a thread, put into its first state before every use: ten times cheaper than a new one.
        if not hasattr(_LOCAL, "pair"):
            philox = np.random.Philox()
            _LOCAL.pair = philox, np.random.Generator(philox)
        philox, generator = _LOCAL.pair
        state = {"counter": _ZERO, "key": np.frombuffer(self.digest(), dtype=np.uint64)}
        philox.state = _FRESH | {"state": state}
        return generator  # type: ignore[no-any-return]

    def torch(self) -> torch.Generator:
        """A torch CPU generator for many draws."""
        import torch

        return torch.Generator().manual_seed(self.integer())
