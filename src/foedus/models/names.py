"""Names of parameters and buffers, and which of them somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable

from foedus.core.errors import closest


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` with the name closest to this word, or nothing where none is close.

    >>> did_you_mean("layer.wieght", ["layer.weight", "layer.bias"])
    " (did you mean 'layer.weight'?)"
    """
    close = closest(word, known)
    return "" if close is None else f" (did you mean {close!r}?)"
