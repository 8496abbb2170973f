"""A first look at a table, put together: what is proposed, what is asked, what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foedus.core.errors import BadInput
from foedus.data.tables.files import Paths
from foedus.data.tables.overview import gaps, nodes, several
from foedus.data.tables.overview import target as targets
from foedus.data.tables.overview.amounts import is_amount, leading_zeros
from foedus.data.tables.overview.column import Column, ColumnLook, columns_of
from foedus.data.tables.overview.dependence import determines
from foedus.data.tables.overview.identifiers import group, identifier, is_id, prefixes
from foedus.data.tables.overview.leaks import leak
from foedus.data.tables.overview.proof import refused
from foedus.data.tables.overview.proposal import Guess, Note, Proposal, Question
from foedus.data.tables.overview.reading import opened
from foedus.data.tables.overview.sizes import sentence, shares
from foedus.data.tables.overview.spellings import variants
from foedus.data.tables.read import check_known

Finding = Proposal | Question
ELSEWHERE = ("split", "nodes", "holdout")
"""What is found for ``split`` and not for ``load``."""


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
    source, sheet, read_as = opened(path, given)
    decimal = next((p.value for p in read_as if p.option == "decimal"), given.get("decimal", "."))
    columns = columns_of(sheet, decimal)
    if len(columns) < 2:
        raise BadInput(
            f"{sheet.parts[0].path} has a single column, {columns[0].name!r}: a table needs a target and something to "
            "learn it from; if its columns are divided by another character, say delimiter="
        )
    _check(given, sheet.names)
    by_name = {c.name: c for c in columns}
    by_file = several.owners(sheet, columns)

    def told(option: str) -> list[Finding]:
        """What was said of an option, if anything was."""
        return [Proposal(option, given[option], "as you said")] if given.get(option) is not None else []

    sites = nodes.sites(columns)
    sited = sites[0].name if len(sites) == 1 else given.get("node")
    target_: list[Finding] = told("target") or [targets.target([c for c in columns if c.name != sited])]
    [chosen] = target_
    target = by_name[chosen.value] if isinstance(chosen, Proposal) else None
    task = told("task") or told("positive") or ([] if target is None else _listed(targets.task(target)))

    same: list[Guess] = []
    guessed: Finding | None = None
    also: list[str] = []
    if "split" not in given and "node" not in given:
        guessed, also = nodes.node(columns, None if target is None else target.name)
        if by_file is not None:
            guessed, same = several.node(by_file, guessed, columns)
    whose = told("node") or _listed(guessed)
    owner = by_file
    for f in whose:
        owner = by_name[f.value] if isinstance(f, Proposal) else None
    if not whose and by_file is None:
        whose = _dealt(given, columns)

    taken = {f.value for f in _decided([*target_, *whose]) if f.option in ("target", "node")}
    free = [c for c in columns if c.name not in taken]
    alone = told("id") or _listed(identifier(free))
    together = told("group") or _listed(group([c for c in free if c.name not in {f.value for f in _decided(alone)}]))
    taken |= {f.value for f in _decided([*alone, *together])}
    rest = [c for c in columns if c.name not in taken]

    out = [*same]
    if owner is not None and owner is not by_file:
        out += [
            Guess(c.name, "it says the same as the node")
            for c in rest
            if c.distinct > 1 and determines(c, owner) and determines(owner, c)
        ]
    gone = {g.name for g in out}
    out += [Guess(c.name, why) for c in rest if c.name not in gone and (why := _useless(c, target)) is not None]
    rest = [c for c in rest if c.name not in {g.name for g in out}]
    dropped = [*(given.get("drop") or ()), *(g.name for g in out)]
    drop = [Proposal("drop", dropped, parts=(*(Guess(n, "as you said") for n in given.get("drop") or ()), *out))]

    found: list[Finding] = [*read_as, *target_, *task, *whose, *alone, *together, *(drop if dropped else [])]
    found += _kinds(rest, given)
    asked = {name for f in target_ if isinstance(f, Question) for name in f.choose}
    missing, notes = _missing([c for c in rest if c.name not in asked], owner, given)
    found += missing
    found += [test] if test is not None else told("test")
    found += [Proposal(k, v) for k, v in given.items() if k not in {f.option for f in found} and v is not None]
    rows = sheet.rows - (target.missing if target is not None else 0)
    share = shares(rows, test is not None or "test" in given) | {k: v for k, v in given.items() if k == "holdout"}
    found += [Proposal(k, v) for k, v in share.items() if k not in {f.option for f in found}]
    notes += _alike(rest, owner)
    left = {c.name for c in rest}
    notes += [Note("{0} may name nodes as well; it is learned from", (name,)) for name in also if name in left]
    for a in asked:
        for b in asked:
            if a < b and leak(by_name[b], by_name[a]) is not None:
                words = "{0} and {1} say the same: if one is to be learned, leave out the other"
                notes.append(Note(words, (a, b)))
    if target is not None and (gap := gaps.gap(target)) is not None and not target.few:
        notes.append(Note("in {0}, which is to be learned, " + gap.why.removeprefix("in "), (target.name,)))
    notes += refused(rest, {f.option: f.value for f in _decided(found)}, sheet.place)
    size = sentence(
        rows, _node_rows(owner, target, found, rows), share.get("test", given.get("test")), share["holdout"]
    )
    classes = None
    if target is not None and not any(f.option == "task" and f.value == "regression" for f in _decided(task)):
        classes = target.distinct if target.kind == "text" or target.few else None
        if any(f.option == "positive" and isinstance(f.value, str | list) for f in _decided(task)):
            classes = 2
    return Look(
        path, source, tuple(str(p.path) for p in sheet.parts), sheet.rows, tuple(c.about() for c in columns),
        tuple(found), tuple(notes), classes, size,
    )  # fmt: skip


def _listed(finding: Finding | None) -> list[Finding]:
    return [] if finding is None else [finding]


def _decided(findings: Sequence[Finding]) -> list[Proposal]:
    return [f for f in findings if isinstance(f, Proposal)]


def _check(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Errors: ``BadInput`` for columns that there are not."""
    for option in ("target", "node", "id", "group"):
        if given.get(option) is not None:
            check_known(option, [given[option]], known)
    for option in ("drop", "text", "numeric"):
        check_known(option, given.get(option) or (), known)


def _dealt(given: Mapping[str, Any], columns: Sequence[Column]) -> list[Finding]:
    """What to do with rows that no column gives to a node: ask if identifiers may, else deal them out."""
    if "split" not in given and "node" not in given and (coded := prefixes(columns)) is not None:
        _, codes = coded
        place = columns.index(coded[0]) + 1
        why = (
            f"the identifiers in column {place} begin with {codes} codes: if these are sites, make a column of them "
            'and name it here; if not, write instead of this line: split = "iid" and nodes = 5'
        )
        return [Question("node", (), why)]
    split = Proposal("split", given.get("split", "iid"), "no column names a node: rows are dealt out at random")
    if "split" in given:
        split = Proposal("split", given["split"], "as you said")
    return [
        split,
        Proposal("nodes", given.get("nodes", 5), "as you said" if "nodes" in given else "as many as you like"),
    ]


def _useless(c: Column, target: Column | None) -> str | None:
    """Why a column should be left out; None if it should not."""
    if c.kind == "empty":
        return "it has no value at all"
    if c.kind == "date":
        return "it holds dates, which are no numbers until they are made into some"
    if is_id(c):
        return "it is different in every row: it tells rows apart and teaches nothing"
    if c.distinct == 1 and not c.missing:
        return "it is the same in every row"
    if target is not None and (why := leak(c, target)) is not None:
        return why
    if is_amount(c):
        return None
    if c.kind == "mixed" and gaps.gap(c) is None and c.distinct > 100:
        return f"it is neither numbers nor text: {c.distinct:,} different values of both"
    there = c.rows - c.missing
    if c.kind == "text" and (c.counts is None or (c.distinct > 50 and c.distinct * 2 > there)):
        return f"it is text with {'more than ' if c.counts is None else ''}{c.distinct:,} different values"
    return None


def _kinds(rest: Sequence[Column], given: Mapping[str, Any]) -> list[Finding]:
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
    found: list[Finding] = []
    for option, guessed in (("text", text), ("numeric", amounts)):
        parts = [*(Guess(n, "as you said") for n in given.get(option) or ()), *guessed]
        if parts:
            found.append(Proposal(option, [g.name for g in parts], parts=tuple(parts)))
    return found


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
            found.append(Note("{0}: {1} and {2} are likely one value: spelling makes them one", (c.name, short, long)))
    return found


def _node_rows(owner: Column | None, target: Column | None, found: Sequence[Finding], rows: int) -> list[int] | None:
    """The rows of every node that have a target; None where that is not known yet."""
    if owner is not None and owner.whole and (target is None or target.whole):
        codes = owner.codes if target is None else owner.codes[target.codes >= 0]
        return [int(n) for n in np.bincount(codes[codes >= 0]) if n]
    many = next((f.value for f in _decided(found) if f.option == "nodes"), None)
    if isinstance(many, int) and many > 0:
        return [rows // many + (k < rows % many) for k in range(many)]
    return None
