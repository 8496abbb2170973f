"""A share of so many, by the decimal that somebody wrote."""

from __future__ import annotations

from fractions import Fraction


def portion(share: float, n: int) -> Fraction:
    """``share`` times ``n`` exactly, to be rounded as one likes.

    ``share`` stands for the shortest decimal that reads as this number: 0.07 is seven hundredths, though the nearest
    binary number is a little more, and its product with 100 is more than 7.

    >>> import math
    >>> math.ceil(0.07 * 100), math.ceil(portion(0.07, 100))
    (8, 7)
    """
    return Fraction(repr(float(share))) * n
