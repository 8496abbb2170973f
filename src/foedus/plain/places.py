"""Where a value stands: the keys that lead to it, and how they are written."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from urllib.parse import quote, unquote_to_bytes

from foedus.plain.toml import key

Path = tuple[str | int, ...]
"""Where a value stands in a table: the keys that lead to it, and its position in a list."""

_URI = "file:"


def dotted(path: Path) -> str:
    """A path as it would be written.

    >>> dotted(("program", "mine:Alg", "transforms", 0, "top_k"))
    'program."mine:Alg".transforms[0].top_k'
    """
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{key(part)}" if out else key(part)
    return out


def said(file: str | FilePath) -> str:
    r"""A file or folder as a table says it: its path; as a ``file:`` URI (RFC 8089) where that is no UTF-8 text.

    >>> said("data/a.csv"), said("data/\udcff b.csv")
    ('data/a.csv', 'file:data/%FF%20b.csv')
    """
    text = str(file)
    plain = not text.startswith(_URI) and not any("\ud800" <= c <= "\udfff" for c in text)
    return text if plain else _URI + quote(os.fsencode(text))


def meant(text: str) -> FilePath:
    r"""The path that ``said`` wrote.

    >>> meant("file:data/%FF%20b.csv") == FilePath("data/\udcff b.csv"), meant("file:///a.csv")
    (True, PosixPath('/a.csv'))
    """
    if not text.startswith(_URI):
        return FilePath(text)
    path = text.removeprefix(_URI)
    return FilePath(os.fsdecode(unquote_to_bytes(path.removeprefix("//"))))
