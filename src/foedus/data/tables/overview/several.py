"""A table of several files: each is a node by default, and one that is called so may be the test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Paths, Reading, find, stem
from foedus.data.tables.formats import SUFFIXES
from foedus.data.tables.layout import named_after
from foedus.data.tables.overview.column import Column
from foedus.data.tables.overview.dependence import determines
from foedus.data.tables.overview.names import TESTS, says
from foedus.data.tables.overview.proposal import Guess, Proposal, Question
from foedus.data.tables.read import Sheet


def apart(path: Paths, given: dict[str, Any]) -> tuple[Paths, Question | None]:
    """The files without those that are called like a test set; and the question whether they are one."""
    if "test" in given and not isinstance(given["test"], str):
        return path, None
    files = find(path, SUFFIXES)
    if "test" in given:
        rest = [f for f in files if f.resolve() != Path(given["test"]).resolve()]
        return (path if len(rest) == len(files) or not rest else [*map(str, rest)]), None
    tests = [f for f in files if says(stem(f), TESTS)]
    rest = [f for f in files if f not in tests]
    if not tests or not rest:
        return path, None
    others = "the other files are" if len(rest) > 1 else "the other file is"
    why = f"judges it, as the file's name says? {others} trained on; if it is a node, add it to path and write false"
    return [*map(str, rest)], Question("test", (*map(str, tests), False), why)


def owners(path: Paths, sheet: Sheet, columns: Sequence[Column]) -> Column | None:
    """The file of every row (or its folder) as if it were a column; None of one file, and where folders give one."""
    if len(sheet.parts) == 1 or sheet.key is not None:
        return None
    rows = np.repeat(np.array(named_after(path, sheet.parts), object), [p.rows for p in sheet.parts])
    sampled = columns[0].sampled
    return Column("the file", Cells.of(rows.tolist(), Reading(missing_values=())), sampled)


def node(
    by_file: Column, guessed: Proposal | Question | None, columns: Sequence[Column]
) -> tuple[Proposal | Question | None, list[Guess]]:
    """Whose rows they are where there are several files: the file's; and columns that say the same as the file.

    A column that is called a site and is not the same in all rows of a file makes it a question.
    """
    same = [c for c in columns if c.distinct > 1 and determines(c, by_file) and determines(by_file, c)]
    left_out = [Guess(c.name, "it says the same as the file, which is the node") for c in same]
    if not isinstance(guessed, Proposal) or guessed.value in {c.name for c in same}:
        return None, left_out
    column = next(c for c in columns if c.name == guessed.value)
    if determines(by_file, column):
        return guessed, left_out
    why = f"it may be it, with {column.distinct} values; or take the line out: each of the files is a node"
    return Question("node", (column.name,), why), left_out
