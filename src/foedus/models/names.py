"""Names of parameters and buffers, and which of them somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` with the name closest to this word, or nothing where none is close.

    >>> did_you_mean("layer.wieght", ["layer.weight", "layer.bias"])
    " (did you mean 'layer.weight'?)"
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
