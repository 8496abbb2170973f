"""Which column says whose row it is: by its name, and by what only sites do to a table.

A column of text or of few numbers with some rows each may be a site or a feature. At sites, other columns are
distributed differently, many of them and not one or two; a site may not have measured something at all; files of sites
were often put below each other. When in doubt it is asked.

Legend: S sampled rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import SMALLEST, determines, effect
from foedus.data.tables.overview.identifiers import LEAST_ROWS
from foedus.data.tables.overview.names import FEATURES, IDS, MEASURES, PLACES, SITES, says
from foedus.data.tables.overview.proposal import Proposal, Question

MOST_NODES = 200
COMPARED = 60
"""Columns that a candidate is compared with, at most."""
CERTAIN = 0.01
"""The probability of taking chance for a dependence, anywhere in the table (Bonferroni)."""
MOST_ASKED = 6


@dataclass(frozen=True)
class Evidence:
    """What speaks for a column of sites.

    ``differing``  the share of other columns that are distributed differently by it.
    ``absent``     a column that one of its values lacks wholly, and the others have.
    ``blocks``     whether its rows lie together, in another order than that of its values.
    """

    differing: float
    absent: bool
    blocks: bool


def sites(columns: Sequence[Column]) -> list[Column]:
    """Columns that are called so and may be so."""
    return _once([c for c in columns if says(c.name, SITES) and _able(c)])


def node(columns: Sequence[Column], learned: str | None) -> tuple[Proposal | Question | None, list[str]]:
    """The column of nodes, or the columns that may be it, or None; and which might name nodes as well as the one.

    ``learned``: the target, which names none.
    """
    able = [c for c in columns if c.name != learned and _able(c)]
    named = sites(able)
    places = [c for c in able if not says(c.name, SITES) and says(c.name, PLACES) and c.distinct <= MOST_NODES]
    others = [c for c in able if not says(c.name, SITES | PLACES | FEATURES) and c.distinct <= MOST_NODES]
    seen = evidence([*named, *places, *others], columns, learned)
    others = [c for c in others if _is_like_sites(c, seen[c.name])]
    others = [c for c in others if not any(determines(one, c) for one in (*named, *places))]  # about a site
    candidates = _once([*named, *places, *others])
    if len(named) == 1 and not named[0].missing:
        also = [c.name for c in candidates if c is not named[0] and not determines(named[0], c)]
        return Proposal("node", named[0].name, f"as its name says so and it has {named[0].distinct} values"), also
    c = candidates[0] if len(candidates) == 1 else None
    if c is not None and c.missing:
        why = f"this one may be it, but {c.missing:,} rows have nothing in it, and every row needs a node: fill it in"
        return Question("node", (c.name,), why), []
    if c is not None and c in places and _is_known(seen[c.name]) and c.distinct > 2 and not _measures(c):
        share = round(100 * seen[c.name].differing)
        why = f"as its name says so; by its {c.distinct} values {share} % of columns differ"
        return Proposal("node", c.name, why), []
    if not candidates:
        return None, []
    candidates = candidates[:MOST_ASKED]
    values = " and ".join(f"{c.distinct}" for c in candidates)
    shares = " and ".join(f"{round(100 * seen[c.name].differing)}" for c in candidates)
    which = "this one may be it" if len(candidates) == 1 else "each of these may be it"
    why = f"{which}: by its {values} values {shares} % of columns differ"
    return Question("node", tuple(c.name for c in candidates), why), []


def _able(c: Column) -> bool:
    """Text or whole numbers, two values at least, with some rows each."""
    if c.kind not in ("text", "number") or c.counts is None or c.distinct < 2:
        return False
    if c.kind == "number" and not c.whole_numbers:
        return False
    named = says(c.name, SITES | PLACES)
    if c.missing * (2 if named else 20) > c.rows:
        return False
    if says(c.name, SITES):
        return c.distinct <= max(2, c.rows // 2)
    if c.distinct > MOST_NODES:
        return False
    enough = sum(n for n in c.counts.values() if n >= LEAST_ROWS)
    return enough >= 0.9 * (c.rows - c.missing)


def _once(candidates: Sequence[Column]) -> list[Column]:
    """Without those that say the same as one before: a code beside its name."""
    kept: list[Column] = []
    for c in candidates:
        if not any(determines(c, k) and determines(k, c) for k in kept):
            kept.append(c)
    return kept


def _measures(c: Column) -> bool:
    """Numbers that may as well be years of school as schools."""
    return c.kind == "number" and says(c.name, MEASURES) and not says(c.name, IDS)


def _is_known(e: Evidence) -> bool:
    """Whether what its name says is borne out."""
    return e.absent or e.blocks or e.differing >= 0.25


def _is_like_sites(c: Column, e: Evidence) -> bool:
    """Whether a column without such a name should be asked about."""
    if e.absent:
        return True
    if e.blocks or _is_code(c):
        return e.differing >= 0.25
    return c.kind == "text" and e.differing >= (0.5 if c.distinct > 2 else 0.75)


def _is_code(c: Column) -> bool:
    """Numbers that name rather than count: few of those between the smallest and the largest are there."""
    if c.kind != "number" or c.distinct < 3:
        return False
    known = c.numbers_S[~np.isnan(c.numbers_S)]
    low, high = float(known.min()), float(known.max())
    years = low >= 1900 and high <= 2100
    return low >= 10 and not years and high - low + 1 > 2 * c.distinct


def evidence(candidates: Sequence[Column], columns: Sequence[Column], learned: str | None) -> dict[str, Evidence]:
    """What speaks for each of the candidates, by its name."""
    others = [c for c in columns if c.kind in ("number", "text") and c.name != learned and c.distinct > 1]
    others = [c for c in others if not (c.kind == "text" and len(c.words) > 50)]
    step = max(1, len(others) // COMPARED)
    others = others[::step][:COMPARED]
    tests = max(1, len(candidates) * len(others))
    return {c.name: _evidence(c, [o for o in others if o is not c], tests) for c in candidates}


def _evidence(c: Column, others: Sequence[Column], tests: int) -> Evidence:
    compared = [o for o in others if not determines(c, o) and not determines(o, c)]
    differing = 0
    for o in compared:
        size, p = effect(c, o)
        differing += size >= SMALLEST and p * tests < CERTAIN
    absent = any(_absent(c, o) for o in others if o.missing)
    return Evidence(differing / len(compared) if compared else 0.0, absent, _blocks(c))


def _absent(c: Column, other: Column) -> bool:
    """Whether nearly all is missing at one value (with 20 rows at least), and most is there at the others."""
    labels, gone = c.labels_S, other.codes < 0
    there = labels >= 0
    rows = np.bincount(labels[there])
    share = np.bincount(labels[there], gone[there]) / np.maximum(rows, 1)
    lacking = (share >= 0.95) & (rows >= 20)
    return bool(lacking.any()) and bool((share[~lacking & (rows > 0)] <= 0.5).any())


def _blocks(c: Column) -> bool:
    """Whether rows of one value follow each other, but not because rows were sorted by it as numbers are."""
    labels = c.labels_S[c.labels_S >= 0]
    if len(labels) < 2:
        return False
    runs = 1 + int((np.diff(labels) != 0).sum())
    return runs <= c.distinct * 1.2
