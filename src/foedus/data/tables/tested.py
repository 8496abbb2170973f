"""Rows of a test that stand in files of their own, and what there is to say of test rows that is in no training row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.text import readable
from foedus.data.files import listed
from foedus.data.tables.columns import column
from foedus.data.tables.formats import Format
from foedus.data.tables.identifiers import check_apart, check_unique, identifiers, together
from foedus.data.tables.options import TableOptions
from foedus.data.tables.read import Sheet, read
from foedus.data.tables.recipe import Category, Recipe
from foedus.data.tables.schema import Columns, Kind
from foedus.data.tables.target import Outcome
from foedus.data.tables.typed import refuse_missing


@dataclass(frozen=True)
class Tested:
    """Rows of a test that stand in files of their own: their columns (N,), groups, and what there is to say of them."""

    columns: dict[str, NDArray[Any]]
    group: NDArray[Any] | None
    lines: tuple[str, ...]


def read_test(
    files: list[Path],
    form: Format,
    wanted: TableOptions,
    train: Sheet,
    kinds: Mapping[str, Kind],
    outcome: Outcome,
) -> Tested:
    """The rows of a test, read as those of training are.

    Errors: ``BadInput`` for a column that is not there, cells of another kind, labels and rows that are not to be.
    """
    options = wanted.preparing()
    needed = [n for n in (*kinds, wanted.id, *wanted.groups) if n is not None]
    rename = {old: new for old, new in options.rename if new in needed}
    made = [b for b in wanted.beginnings if b.name in wanted.groups]
    needed = [n for n in needed if n not in {b.name for b in made}]
    sheet = read(files, form, options.reading, rename, frozenset(needed).__contains__, made=made)
    for name in needed:
        if name not in sheet.cells:
            raise BadInput(
                f"test: {sheet.parts[0].path} has no column {name!r}, and the training rows have: "
                f"{did_you_mean(name, sheet.names)}It has {listed(sheet.names)}"
            )
        if options.missing == "refuse":
            refuse_missing(name, sheet.cells[name], sheet.place)
    if wanted.id is not None:
        check_unique(wanted.id, sheet)
        check_apart("id", wanted.id, identifiers("id", wanted.id, train), identifiers("id", wanted.id, sheet), sheet)
    group = together(wanted.groups, sheet) if wanted.groups else None
    if group is not None:
        check_apart("group", " and ".join(wanted.groups), together(wanted.groups, train), group, sheet)
    columns = {n: column(n, k, sheet, options) for n, k in kinds.items() if n != wanted.target}
    columns[wanted.target] = outcome.of(wanted, sheet, options)
    known = ~sheet.cells[wanted.target].missing
    rows, lost = int(known.sum()), int((~known).sum())
    if not rows:
        raise BadInput(f"test: {sheet.parts[0].path} has no row with a {wanted.target}")
    without = f" ({lost:,} without a {wanted.target} left out)" if lost else ""
    names = listed([readable(str(p.path)) for p in sheet.parts], 3)
    return Tested(
        {n: v[known] for n, v in columns.items()},
        None if group is None else group[known],
        (f"{names}: {rows:,} rows for the test{without}; no node has them",),
    )


def unseen(recipe: Recipe, tests: Columns | None) -> list[str]:
    """What there is to say of texts in test rows that no training row has."""
    lines = []
    for c in recipe.columns:
        if tests is not None and isinstance(c, Category):
            found, rows = np.unique(tests[c.name], return_counts=True)
            new = [i for i, w in enumerate(found.tolist()) if w and w.decode() not in c.words]
            if new:
                count = int(rows[new].sum())
                lines.append(
                    f"{c.name}: {count:,} test row{'s have' if count > 1 else ' has'} a value that no training row has "
                    f"({listed([found[i].decode() for i in new], 4)}): {'other' if c.other else 'none of its features'}"
                )
    return lines
