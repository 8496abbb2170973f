"""Where a value stands: the keys that lead to it, and how they are written."""

from __future__ import annotations

import json
import re

Path = tuple[str | int, ...]
"""Where a value stands in a table: the keys that lead to it, and its position in a list."""


def dotted(path: Path) -> str:
    """A path as it would be written.

    >>> dotted(("program", "mine:Alg", "transforms", 0, "top_k"))
    'program."mine:Alg".transforms[0].top_k'
    """
    out = ""
    for key in path:
        if isinstance(key, int):
            out += f"[{key}]"
        else:
            out += f".{quoted(key)}" if out else quoted(key)
    return out


def quoted(key: str) -> str:
    """A key as TOML has it: in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
