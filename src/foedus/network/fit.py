"""A link's latency and bandwidth from measured messages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foedus.core.errors import BadInput


def fit_alpha_beta(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """``(alpha, beta)``: seconds of latency a message and seconds a byte, of messages ``(bytes, seconds)``.

    Least squares of the relative errors ``(alpha + bytes * beta - seconds) / seconds``, so that short messages count as
    much as long ones; neither result is negative. Errors: ``BadInput`` with fewer than two sizes.

    >>> alpha, beta = fit_alpha_beta([(100, 6e-6), (1000, 15e-6), (10_000, 105e-6)])
    >>> round(alpha * 1e6, 9), round(beta * 1e9, 9)
    (5.0, 10.0)
    """
    for nbytes, seconds in samples:
        if not (0 <= nbytes < math.inf and 0 < seconds < math.inf):
            raise BadInput(f"the sample {(nbytes, seconds)} is not (bytes, seconds) with seconds above 0")
    if len({nbytes for nbytes, _ in samples}) < 2:
        raise BadInput("a latency and a bandwidth need messages of at least two sizes: give more samples")
    # Weights sum to 1, and sizes are taken from their weighted mean: the two unknowns no longer disturb each other.
    weights = [1 / seconds**2 for _, seconds in samples]
    total = math.fsum(weights)
    weights = [w / total for w in weights]
    mean_b = math.fsum(w * b for w, (b, _) in zip(weights, samples, strict=True))
    mean_t = math.fsum(w * t for w, (_, t) in zip(weights, samples, strict=True))
    spread = math.fsum(w * (b - mean_b) ** 2 for w, (b, _) in zip(weights, samples, strict=True))
    slope = math.fsum(w * (b - mean_b) * (t - mean_t) for w, (b, t) in zip(weights, samples, strict=True))
    beta = slope / spread
    alpha = mean_t - beta * mean_b
    if beta < 0:
        return mean_t, 0.0
    if alpha < 0:
        crossed = math.fsum(w * b * t for w, (b, t) in zip(weights, samples, strict=True))
        return 0.0, crossed / math.fsum(w * b * b for w, (b, _) in zip(weights, samples, strict=True))
    return alpha, beta
