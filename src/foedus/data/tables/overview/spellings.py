"""Texts of one column that are likely two spellings of one value: a word and its abbreviation, never at one node."""

from __future__ import annotations

import re
from itertools import permutations

import numpy as np

from foedus.data.tables.overview.column import Column
from foedus.data.tables.typed import are_numbers, canonical


def variants(c: Column, node: Column | None) -> dict[str, str]:
    """The abbreviations (or other spellings) in a column of text, each with what it is likely short for."""
    if c.kind != "text" or not 2 <= c.distinct <= 20:
        return {}
    rows: dict[str, int] = {}
    labels: dict[str, list[int]] = {}
    for i, word in enumerate(c.words):
        rows[canonical(word)] = rows.get(canonical(word), 0) + int(c.seen[i])
        labels.setdefault(canonical(word), []).append(i)
    homes = {}
    for word, codes in labels.items():
        at = np.isin(c.codes, codes)
        homes[word] = None if node is None else frozenset(np.unique(node.labels_S[at & (node.labels_S >= 0)]).tolist())
    found: dict[str, str] = {}
    for short, long in permutations([w for w in rows if not are_numbers([w])], 2):
        if _plain(short) and _plain(short) == _plain(long):
            if rows[short] < rows[long] or (rows[short] == rows[long] and short < long):
                found[short] = long
        elif _shortens(short, long):
            a, b = homes[short], homes[long]
            starts = [w for w in rows if w != short and w.startswith(short)]
            if a is not None and b is not None and not a & b and len(starts) == 1:
                found[short] = long
    return found


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word)


def _shortens(short: str, long: str) -> bool:
    short = short.rstrip(".")
    return 0 < len(short) <= 4 and len(long) > len(short) and long.startswith(short) and short.isalpha()
