"""A first look at a table, put together: what is proposed, what is asked, what is worth knowing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foedus.core.errors import BadInput
from foedus.data.tables.beginning import beginnings, named
from foedus.data.tables.files import Paths
from foedus.data.tables.overview import gaps, several
from foedus.data.tables.overview.amounts import is_amount, leading_zeros
from foedus.data.tables.overview.column import Column, ColumnLook, columns_of
from foedus.data.tables.overview.identifiers import is_id
from foedus.data.tables.overview.leaks import leak
from foedus.data.tables.overview.proof import refused
from foedus.data.tables.overview.proposal import Finding, Guess, Note, Proposal, Question, decided, told
from foedus.data.tables.overview.reading import opened
from foedus.data.tables.overview.roles import roles
from foedus.data.tables.overview.sizes import sentence, shares
from foedus.data.tables.overview.spellings import variants
from foedus.data.tables.read import check_known

ELSEWHERE = ("split", "nodes", "holdout")
"""What is found for ``split`` and not for ``load``."""


_COLUMNS = {"target": False, "node": False, "id": False, "group": True, "drop": True, "text": True, "numeric": True}
"""The options that name columns, and whether they may name several."""


@dataclass(frozen=True)
class Look:
    """What is in a table, and what it is taken for.

    ``source`` is its format (``"csv"``). ``findings`` are proposals and questions, one for each option of ``load`` and
    ``split`` in the order in which a file has them; ``notes`` are about what no option says. ``classes`` is how many
    the target has (None: an amount, or not known). ``size`` says how many rows are trained on.
    """

    path: Any
    source: str
    files: tuple[str, ...]
    rows: int
    columns: tuple[ColumnLook, ...]
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    classes: int | None
    size: str

    @property
    def options(self) -> dict[str, Any]:
        """What is proposed, as options of ``load``. What is asked is not among them."""
        proposed = {f.option: f.value for f in self.findings if isinstance(f, Proposal) and f.option not in ELSEWHERE}
        if proposed.get("test") is False:
            proposed["test"] = None
        return {"path": self.path, **{k: tuple(v) if isinstance(v, list) else v for k, v in proposed.items()}}

    @property
    def questions(self) -> tuple[Question, ...]:
        """What a person has to decide before anything can be run."""
        return tuple(f for f in self.findings if isinstance(f, Question))

    @property
    def lines(self) -> list[str]:
        """What a person wants to read: the columns, then what they are taken for, and why."""
        files = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files"
        found = [f"{files}: {self.rows:,} rows of {len(self.columns)} columns", *(c.line for c in self.columns)]
        for f in self.findings:
            if isinstance(f, Question):
                found.append(f"{f.option}? {' or '.join(map(str, f.choose)) or 'none found'}: {f.why}")
            elif f.parts:
                found += [f"{f.option}: {g.name}, {g.why}" for g in f.parts]
            elif f.why:
                found.append(f"{f.option}: {f.value}, {f.why}")
        return [*found, *map(str, self.notes), self.size]


def look(path: Paths, **given: Any) -> Look:
    """Read a table and say what its columns hold, which is to be learned, whose row each is, and what is doubtful.

    ``given`` are options of ``load`` and ``split`` that are known; ``split`` or ``node=None`` says that no column names
    a node. Errors: ``BadInput`` for what cannot be read, and for columns that there are not.
    """
    path, test = several.apart(path, given)
    naming = _named(given)
    source, sheet, read_as = opened(path, given)
    decimal = next((p.value for p in read_as if p.option == "decimal"), given.get("decimal", "."))
    columns = columns_of(sheet, decimal)
    if len(columns) < 2:
        raise BadInput(
            f"{sheet.parts[0].path} has a single column, {columns[0].name!r}: a table needs a target and something to "
            "learn it from; if its columns are divided by another character, say delimiter="
        )
    made = {b.name for b in beginnings(given)}
    by_name = {k: named(k, v) if k in ("node", "group") else v for k, v in given.items()}
    for option, names in naming.items():
        check_known(option, names, [*sheet.names, *made])
    found = roles(columns, several.owners(path, sheet, columns), sheet.key, by_name)
    target, owner = found.target, found.owner
    gone = {g.name for g in found.same}
    useless = [Guess(c.name, why) for c in found.rest if c.name not in gone and (why := _useless(c)) is not None]
    gone |= {g.name for g in useless}
    leaks, telling = _leaks([c for c in found.rest if c.name not in gone], target)
    drop = _all_of("drop", given, [*found.same, *useless, *leaks])
    gone |= {g.name for g in leaks}
    rest = [c for c in found.rest if c.name not in gone]
    missing, notes = _missing([c for c in rest if c.name not in found.asked], owner, given)
    said = [replace(f, value=given[f.option]) if _is_made(f, made) else f for f in found.findings]
    findings: list[Finding] = [*read_as, *said, *drop, *_kinds(rest, given), *missing]
    findings += [test] if test is not None else told(given, "test")
    findings += [Proposal(k, v) for k, v in given.items() if v is not None and k not in {f.option for f in findings}]
    rows = sheet.rows - (target.missing if target is not None else 0)
    share = shares(rows, test is not None or "test" in given)
    findings += [Proposal(k, v) for k, v in share.items() if k not in {f.option for f in findings}]
    options = {f.option: f.value for f in decided(findings)}
    notes += [
        *([] if rest else [Note("no column is left to learn from")]),
        *found.notes,
        *telling,
        *_stored_as_text(rest, columns, given),
        *_alike(rest, owner),
        *_copies([c for c in rest if c.name in found.asked]),
        *([] if target is None else _of_target(target)),
        *refused(rest, options, sheet.place),
    ]
    of_nodes = _node_rows(owner, target, options.get("nodes"), rows)
    size = sentence(rows, of_nodes, options.get("test"), options["holdout"])
    return Look(
        path, source, tuple(str(p.path) for p in sheet.parts), sheet.rows,
        tuple(c.about() for c in columns if c.name not in made), tuple(findings), tuple(notes), found.classes, size,
    )  # fmt: skip


def _named(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns that options name. Errors: ``BadInput`` for what is no name."""
    found = {}
    for option, has_several in _COLUMNS.items():
        said = named(option, given.get(option)) if option in ("node", "group") else given.get(option)
        if said is None:
            continue
        names = said if has_several and isinstance(said, Sequence) and not isinstance(said, str) else [said]
        if not all(isinstance(name, str) for name in names):
            raise BadInput(f"{option} must name {'columns' if has_several else 'a column'} of the table, got {said!r}")
        found[option] = tuple(names)
    return found


def _is_made(f: Finding, made: Collection[str]) -> bool:
    """Whether it is a part that a person gave to a column that is the first part of another."""
    return isinstance(f, Proposal) and f.option in ("node", "group") and isinstance(f.value, str) and f.value in made


def _leaks(rest: Sequence[Column], target: Column | None) -> tuple[list[Guess], list[Note]]:
    """Columns that say what is to be learned; as notes, where leaving them out would leave nothing to learn from."""
    if target is None:
        return [], []
    found = [Guess(c.name, why) for c in rest if (why := leak(c, target)) is not None]
    if len(found) < len(rest):
        return found, []
    return [], [Note("{0}: " + g.why + "; is it known beforehand?", (g.name,)) for g in found]


def _useless(c: Column) -> str | None:
    """Why a column should be left out; None if it should not."""
    if c.kind == "empty":
        return "it has no value at all"
    if c.kind == "date":
        return "it holds dates, which are no numbers until they are made into some"
    if is_id(c):
        return "it is different in every row: it tells rows apart and teaches nothing"
    if c.distinct == 1 and not c.missing:
        return "it is the same in every row"
    if is_amount(c):
        return None
    if c.kind == "mixed" and gaps.gap(c) is None and c.distinct > 100:
        return f"it is neither numbers nor text: {c.distinct:,} different values of both"
    there = c.rows - c.missing
    if c.kind == "text" and (c.counts is None or (c.distinct > 50 and c.distinct * 2 > there)):
        return f"it is text with {'more than ' if c.counts is None else ''}{c.distinct:,} different values"
    return None


def _all_of(option: str, given: Mapping[str, Any], guessed: Sequence[Guess]) -> list[Proposal]:
    """A list of columns: those that were said, and those that are guessed."""
    said = [*(given.get(option) or ())]
    parts = [*(Guess(name, "as you said") for name in said), *(g for g in guessed if g.name not in said)]
    return [Proposal(option, [g.name for g in parts], parts=tuple(parts))] if parts else []


def _kinds(rest: Sequence[Column], given: Mapping[str, Any]) -> list[Proposal]:
    """Columns that are text or numbers, whatever they look like."""
    said = {*(given.get("text") or ()), *(given.get("numeric") or ())}
    free = [c for c in rest if c.name not in said]
    text = [Guess(c.name, "its numbers are codes: some begin with a zero") for c in free if leading_zeros(c)]
    text += [
        Guess(c.name, f"numbers and words are mixed in it: {c.distinct} categories")
        for c in free
        if c.kind == "mixed" and not is_amount(c) and gaps.gap(c) is None
    ]
    amounts = [Guess(c.name, "amounts or shares, written as text") for c in free if is_amount(c)]
    return [*_all_of("text", given, text), *_all_of("numeric", given, amounts)]


def _stored_as_text(rest: Sequence[Column], columns: Sequence[Column], given: Mapping[str, Any]) -> list[Note]:
    """Numbers that a file has as text, although it has others as numbers: codes, or amounts that lost their type."""
    said = {*(given.get("text") or ()), *(given.get("numeric") or ())}
    if not any(c.cells.stored == "number" for c in columns):
        return []
    found = [c.name for c in rest if c.cells.stored == "text" and c.kind == "number" and not leading_zeros(c)]
    found = [name for name in found if name not in said]
    places = ", ".join(f"{{{i}}}" for i in range(len(found)))
    words = "numbers stored as text, as others are not: if they are codes and no amounts,"
    return [Note(f"{places}: {words} text = [{places}]", tuple(found))] if found else []


def _missing(
    rest: Sequence[Column], owner: Column | None, given: Mapping[str, Any]
) -> tuple[list[Finding], list[Note]]:
    """What may stand for nothing, by column; where it stands; and columns that a node lacks."""
    notes: list[Note] = []
    if owner is not None:
        for c in rest:
            for name in gaps.absent(c, owner) if c.missing else ():
                notes.append(Note("{0} has no value at all at {1}", (c.name, name)))
    said = given.get("missing_values")
    if said is not None and not isinstance(said, Mapping):
        return [Proposal("missing_values", said, "as you said")], notes
    found: dict[str, list[str]] = {k: list(v) for k, v in (said or {}).items()}
    reasons = [Guess(name, "as you said") for name in found]
    for c in rest:
        if c.name in found or is_amount(c) or (gap := gaps.gap(c)) is None:
            continue
        found[c.name] = list(gap.values)
        reasons.append(Guess(c.name, gap.why))
        if owner is not None and (at := gaps.where(c, gap.values, owner)):
            places = " and ".join(f"{{{i + 1}}}" for i in range(len(at)))
            notes.append(Note(f"what may stand for nothing in {{0}} is only at {places}", (c.name, *at)))
    return ([Proposal("missing_values", found, parts=tuple(reasons))] if found else []), notes


def _alike(rest: Sequence[Column], owner: Column | None) -> list[Note]:
    """Texts that are likely spellings of one value."""
    found = []
    for c in rest:
        for short, long in variants(c, owner).items():
            words = "{0}: {1} is likely short for {2}, or spelled otherwise: spelling = {{ {0} = {{ {1} = {2} }} }}"
            found.append(Note(words, (c.name, short, long)))
    return found


def _copies(asked: Sequence[Column]) -> list[Note]:
    """Pairs of columns, of which one may be the target, that say the same."""
    words = "{0} and {1} say the same: if one is to be learned, leave out the other"
    pairs = [(a, b) for a in asked for b in asked if a.name < b.name]
    return [Note(words, (a.name, b.name)) for a, b in pairs if leak(b, a) is not None or leak(a, b) is not None]


def _of_target(target: Column) -> list[Note]:
    """What may stand for nothing in the target itself: rows without a target are left out, so nobody is to guess it."""
    gap = None if target.few else gaps.gap(target)
    if gap is None:
        return []
    return [
        Note("{0} is to be learned, and " + gap.why + ": missing_values would leave these rows out", (target.name,))
    ]


def _node_rows(owner: Column | None, target: Column | None, nodes: Any, rows: int) -> list[int] | None:
    """The rows of every node that have a target; None where that is not known yet."""
    if owner is not None and owner.whole and (target is None or target.whole):
        codes = owner.codes if target is None else owner.codes[target.codes >= 0]
        return [int(n) for n in np.bincount(codes[codes >= 0]) if n]
    if owner is None and isinstance(nodes, int) and nodes > 0:
        return [rows // nodes + (k < rows % nodes) for k in range(nodes)]
    return None
