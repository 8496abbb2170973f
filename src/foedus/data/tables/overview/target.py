"""Which column is to be learned, and whether it is classes or an amount."""

from __future__ import annotations

from collections.abc import Sequence

from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.identifiers import is_id
from foedus.data.tables.overview.names import (
    CLASSES,
    FEATURES,
    LIKELY_AMOUNTS,
    LIKELY_CLASSES,
    PLACES,
    SITES,
    SURE_EVENTS,
    SURE_TARGETS,
    says,
    tokens,
)
from foedus.data.tables.overview.proposal import Proposal, Question

FEW_INTEGERS = 20
"""A target of at most so many different whole numbers may be classes; the loader takes it for them."""
MOST_LABELS = 100
"""A target of text with more labels than this is no target of a classification."""
FEW_OTHERS = 3
"""Columns that a table has besides, at least, if its only column of few values is taken for what is to be learned."""
MOST_ASKED = 6


def target(columns: Sequence[Column]) -> Proposal | Question:
    """The column to be learned, or which it may be: by its name, its place and its values."""
    able = [c for c in columns if _able(c)]
    if not able:
        return Question("target", (), "no column can be learned: each has one value only, or is different in every row")
    generic = (
        SURE_TARGETS - {"y"} if len(able) > 2 and {"x", "z"} & {c.name.casefold() for c in columns} else SURE_TARGETS
    )
    sure = _called(able, generic, SURE_EVENTS)
    if len(sure) == 1:
        return _proposed(sure[0], "as its name says so")
    likely = _called([c for c in able if c not in sure], LIKELY_AMOUNTS | SURE_TARGETS, LIKELY_CLASSES)
    ends = [c for c in (able[-1], able[0]) if not says(c.name, SITES | PLACES | FEATURES)]
    rivals = [c for c in ends if c.few and c not in likely]
    unable = any(says(c.name, generic | SURE_EVENTS) for c in columns if c not in able)  # as a date is
    if not sure and not unable and len(likely) == 1 and likely[0] in ends:
        return _proposed(likely[0], "as its name says so")
    if not sure and not unable and not likely and (only := _only(able, ends)) is not None:
        return _proposed(only, f"as it is the {_place(only, able)} column and the only one with few values")
    few = [c for c in reversed(able) if c.few and not says(c.name, SITES | PLACES | FEATURES)]
    likely.sort(key=lambda c: c not in ends)
    choose = list(dict.fromkeys([*sure, *likely, *rivals, *ends, *few]))
    if not choose:
        choose = [*reversed(able)]
    choose = choose[:MOST_ASKED]
    values = ", ".join(f"{'over ' if c.counts is None else ''}{c.distinct:,}" for c in choose)
    if unable:
        why = f"what is called so cannot be learned; these have {values} values"
    elif len(sure) > 1 or len(likely) > 1:
        why = f"more than one name may say so; they have {values} values"
    else:
        why = f"no name says so; they have {values} values" if len(choose) > 1 else f"it has {values} values"
    return Question("target", tuple(c.name for c in choose), why)


def _only(able: list[Column], ends: list[Column]) -> Column | None:
    """The only column of few values, if it is the last or the first of enough.

    Beside one or two numbers it is as often a treatment, and a number is to be learned.
    """
    few = [c for c in able if c.few]
    if len(few) != 1 or few[0] not in ends or len(able) <= FEW_OTHERS:
        return None
    return few[0] if few[0].kind == "text" or few[0].distinct == 2 else None


def _able(c: Column) -> bool:
    if c.kind not in ("number", "text", "mixed") or c.distinct < 2 or is_id(c):
        return False
    return c.kind == "number" or (c.counts is not None and c.distinct <= MOST_LABELS)


def _called(able: list[Column], known: frozenset[str], of_few: frozenset[str]) -> list[Column]:
    """Columns with such a name, without those whose name says more than that of another: target, not target_rate."""
    named = [c for c in able if says(c.name, known) or (says(c.name, of_few) and (c.few or c.kind != "number"))]
    words = {c.name: set(tokens(c.name)) for c in named}
    return [c for c in named if not any(words[o.name] < words[c.name] for o in named)]


def _proposed(c: Column, why: str) -> Proposal:
    over = "more than " if c.counts is None else ""
    return Proposal("target", c.name, f"{why}; it has {over}{c.distinct:,} different values")


def _place(c: Column, able: list[Column]) -> str:
    return "last" if c is able[-1] else "first"


def task(c: Column) -> Proposal | Question | None:
    """Whether the target is classes or an amount; None where its values leave no doubt."""
    if c.kind != "number" or c.distinct == 2:
        return None
    if c.counts is None or c.distinct > FEW_INTEGERS:
        return Proposal("task", "regression", "an amount is predicted; classification makes labels of its values")
    if says(c.name, CLASSES) and c.whole_numbers:
        return Proposal("task", "classification", f"its {c.distinct} values are labels, as its name says so")
    what = f"{c.distinct} different {'whole ' if c.whole_numbers else ''}numbers"
    also = ""
    if c.whole_numbers and min(float(w) for w in c.words) >= 0:
        also = '; or instead of this line positive = ">0", two classes'
    return Question("task", ("classification", "regression"), f"{what} may be labels, or amounts, grades, counts{also}")
