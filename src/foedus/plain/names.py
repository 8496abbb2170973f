"""How names are matched: case, ``_`` and ``-`` make no difference, and a wrong one gets a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from foedus.core.errors import did_you_mean, plain_name

NONE = "none"
"""What a file says for ``None``, which TOML cannot write."""


def snake(name: str) -> str:
    """A class's name in small letters, its words joined by ``_``.

    >>> [snake(n) for n in ("TrimmedMean", "LocalSGD", "SGD", "TopK")]
    ['trimmed_mean', 'local_sgd', 'sgd', 'top_k']
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def written(target: Any) -> str:
    """How a class or function is written in a file.

    Its file's name where that is the same name, since its author knows where the words part (``fedavg``, ``sync_sgd``);
    else its own in snake case.
    """
    module: str = target.__module__.rpartition(".")[2]
    own: str = target.__name__
    return module if plain_name(module) == plain_name(own) else snake(own)


def among(word: str, known: Iterable[str], what: str = "there are", most: int | None = None) -> str:
    """What could be written instead of a wrong name; of very many names the first ``most``.

    >>> among("lokal", ["rounds", "local"])
    "did you mean 'local'? There are: rounds, local"
    >>> among("x", ["rounds", "local"])
    'there are: rounds, local'
    """
    known = list(known)
    close = did_you_mean(word, known)
    more = f" and {len(known) - most} more" if most is not None and len(known) > most else ""
    return f"{close}{what[0].upper() if close else what[0]}{what[1:]}: {counted(known[:most])}{more}"


def counted(words: Iterable[str]) -> str:
    """The names as a list in a sentence, or ``"nothing"``."""
    return ", ".join(words) or "nothing"
