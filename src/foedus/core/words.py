"""Lists of words, as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence


def sentence_list(words: Sequence[str]) -> str:
    """Words as a sentence lists them; at least one.

    >>> sentence_list(["A"]), sentence_list(["A", "B", "C"])
    ('A', 'A, B and C')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
