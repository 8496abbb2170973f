"""Which column plays which part: what is learned, whose row it is, which rows go together, what is not learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.tables.overview import nodes, several
from foedus.data.tables.overview import target as targets
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import determines
from foedus.data.tables.overview.identifiers import counts_within, group, identifier, prefixes
from foedus.data.tables.overview.proposal import Finding, Guess, Note, Proposal, Question, decided, told


@dataclass(frozen=True)
class Roles:
    """``findings`` for target, task, node (or split), id and group; the columns that were found, if they are known.

    ``owner`` is the node of every row, as a column. ``same`` are columns that say no more than others do. ``rest`` are
    all columns without a part. ``asked`` may be the target.
    """

    findings: list[Finding]
    notes: list[Note]
    target: Column | None
    owner: Column | None
    same: list[Guess]
    rest: list[Column]
    asked: tuple[str, ...] = ()

    @property
    def classes(self) -> int | None:
        """How many the target has; None for an amount, and where it is not known."""
        said = {f.option: f.value for f in decided(self.findings)}
        if self.target is None or said.get("task") == "regression":
            return None
        if "positive" in said and (isinstance(said["positive"], list) or self.target.distinct > 2):
            return 2
        return self.target.distinct if self.target.kind != "number" or self.target.few else None


def roles(columns: Sequence[Column], by_file: Column | None, key: str | None, given: Mapping[str, Any]) -> Roles:
    """The part of each column. ``by_file``: the file of every row, where there are several files and no folder gives a
    column; ``key``: the column that folders give. Errors: ``BadInput`` for a target that is the same in all rows.
    """
    by_name = {c.name: c for c in columns}
    learned = told(given, "target")
    if not learned:
        sites = [c.name for c in nodes.sites(columns)]
        other = sites if len(sites) == 1 else [given.get("node")]
        learned = [targets.target([c for c in columns if c.name not in other])]
    target = next((by_name[f.value] for f in decided(learned)), None)
    if target is not None and target.distinct < 2:
        words = f"is {target.words[0]!r} in all rows" if target.words else "has no value"
        raise BadInput(f"target {target.name} {words}: there is nothing to learn, name another column")
    task = told(given, "task") or told(given, "positive")
    if not task and target is not None and (kind := targets.task(target)) is not None:
        task = [kind]
    whose, same, also = _whose(columns, by_file, key, given, target)
    owner = by_file
    for f in whose:
        if f.option == "node":
            owner = by_name[f.value] if isinstance(f, Proposal) else None
    taken = {f.value for f in decided([*learned, *whose]) if f.option in ("target", "node")}
    free = [c for c in columns if c.name not in taken]
    rows = told(given, "id")
    if not rows and (one := identifier(free)) is not None:
        rows = [one]
    same += _same(free, owner, by_file)
    out = {*(g.name for g in same), *(f.value for f in decided(rows))}
    together = told(given, "group")
    if not together and (of := group([c for c in free if c.name not in out], owner, owner is by_file)) is not None:
        together = [of]
    taken |= {f.value for f in decided(rows)} | {n for f in together for n in _columns(f)}
    return Roles(
        [*learned, *task, *whose, *rows, *together],
        [Note("{0} may name nodes as well; it is learned from", (name,)) for name in also if name not in out | taken],
        target,
        owner,
        [g for g in same if g.name not in taken],
        [c for c in columns if c.name not in taken],
        tuple(name for f in learned if isinstance(f, Question) for name in f.choose),
    )


def _whose(
    columns: Sequence[Column],
    by_file: Column | None,
    key: str | None,
    given: Mapping[str, Any],
    target: Column | None,
) -> tuple[list[Finding], list[Guess], list[str]]:
    """The column of nodes, or how rows are dealt out; columns that say the same as the file; what may be nodes, too."""
    guessed: Finding | None = None
    same: list[Guess] = []
    also: list[str] = []
    if key is not None and "split" not in given and "node" not in given:
        guessed = Proposal("node", key, "as folders give it to their files")
    elif "split" not in given and "node" not in given:
        guessed, also = nodes.node(columns, None if target is None else target.name)
        if by_file is not None:
            guessed, same = several.node(by_file, guessed, columns)
    whose = told(given, "node") or ([] if guessed is None else [guessed])
    if whose or by_file is not None:
        return whose, same, also
    return _dealt(columns, given), same, also


def _dealt(columns: Sequence[Column], given: Mapping[str, Any]) -> list[Finding]:
    """What to do with rows that no column gives to a node: ask if identifiers may, else deal them out."""
    if "split" not in given and "node" not in given and (coded := prefixes(columns)) is not None:
        take = "take this" if coded.written is not None else "make a column of them and name it here"
        why = (
            f"the first part of column {columns.index(coded.column) + 1} tells {coded.codes} groups of rows apart: "
            f"if these are sites, {take}; if not, write instead of this line: "
            'split = "iid" and nodes = 5'
        )
        return [Question("node", () if coded.written is None else (coded.written,), why)]
    split = Proposal("split", "iid", "no column names a node: rows are dealt out at random")
    many = Proposal("nodes", 5 if columns[0].rows >= 50 else 2, "as many as you like")
    return [*(told(given, "split") or [split]), *(told(given, "nodes") or [many])]


def _same(free: Sequence[Column], owner: Column | None, by_file: Column | None) -> list[Guess]:
    """Columns that say no more than whose row it is, or which of its rows."""
    if owner is None:
        return []
    found = []
    for c in free:
        if owner is not by_file and c.distinct > 1 and determines(c, owner) and determines(owner, c):
            found.append(Guess(c.name, "it says the same as the node"))
        elif not c.unique and counts_within(c, owner):
            found.append(Guess(c.name, "every node counts its own rows by it: it teaches nothing"))
    return found


def _columns(f: Finding) -> list[str]:
    """The columns of a group, or those that are asked about."""
    named = f.choose[0] if isinstance(f, Question) else f.value
    return [named] if isinstance(named, str) else [*named]
