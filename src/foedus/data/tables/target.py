"""The target of a table: labels or a number to predict, which classes there are, and which of two is class 1."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.files import listed
from foedus.data.tables.advice import CLASSIFICATION, REGRESSION
from foedus.data.tables.agree import Options
from foedus.data.tables.options import TableOptions
from foedus.data.tables.positive import Classes, Comparison, classes, comparison
from foedus.data.tables.read import Sheet
from foedus.data.tables.recipe import label_order
from foedus.data.tables.schema import Kind
from foedus.data.tables.typed import numbers, texts

MOST_CLASSES = 100
"""A target of text with more labels than this is no target of a classification."""
FEW_INTEGERS = 20
"""Integers of a target with at most so many different values are labels, not amounts."""


def are_few(different: Collection[float]) -> bool:
    """Whether these different values of a target are labels, not amounts: few, and all integers."""
    return len(different) <= FEW_INTEGERS and all(v.is_integer() for v in different)


@dataclass(frozen=True)
class Outcome:
    """A target: whether it is text (labels) or a number, its cells (N,), and why; which label is class 1 of two."""

    kind: Kind
    cells: NDArray[Any]
    why: str
    positive: str | None = None
    classes: Classes | None = None
    compared: Comparison | None = None

    def of(self, wanted: TableOptions, sheet: Sheet, options: Options) -> NDArray[Any]:
        """The target's cells in another sheet (N,). Errors: ``BadInput`` for a label that is none of these."""
        name, cells = wanted.target, sheet.cells[wanted.target]
        if self.classes is None or self.compared is not None:
            values = numbers(name, cells, sheet.place, ("name another target",))
            return values if self.compared is None else self.compared(values)
        labels = texts(name, cells, sheet.place, options.ignore_case)
        known = [w.encode() for w in self.classes.of or self.classes.names]
        new = np.flatnonzero(~np.isin(labels, [*known, b""]))
        if len(new):
            raise BadInput(
                f"target {name}: {labels[new[0]].decode()!r} in {sheet.place(int(new[0]))} is a label that no training "
                f"row has ({listed([w.decode() for w in known], 6)}): leave the row out, or read it as another label, "
                "such as ",
                Option("spelling", {name: {labels[new[0]].decode(): known[0].decode()}}, adds=True),
            )
        return self.classes.apply(labels)


def target_of(wanted: TableOptions, sheet: Sheet, options: Options) -> Outcome:
    """What a sheet's target is. Errors: ``BadInput`` if there is nothing to learn, or ``positive`` does not fit."""
    name, cells = wanted.target, sheet.cells[wanted.target]
    values = None if cells.dated or name in wanted.text else cells.numbers()
    if values is not None and (compared := comparison(wanted.positive)) is not None:
        labels = compared(numbers(name, cells, sheet.place))
        check_both(name, compared, np.unique(labels[labels != b""]))
        why = f"{name} has 2 classes, {compared.names[0]} and {compared.names[1]}"
        return Outcome("text", labels, why, compared.names[1], Classes(compared.names), compared)
    different = set() if values is None else set(np.unique(values[~np.isnan(values)]).tolist())
    few = cells.declared or are_few(different)
    several = isinstance(wanted.positive, tuple)
    task = wanted.task or ("classification" if values is None or few or several else "regression")
    if task == "regression":
        refuse_positive(wanted)
        why = f"{name} is a number to predict" + (
            "" if wanted.task else " (with the task 'classification' it is labels)"
        )
        column = numbers(name, cells, sheet.place, (CLASSIFICATION,))
        check_varies(name, np.unique(column[~np.isnan(column)]))
        return Outcome("number", column, why)
    labels = texts(name, cells, sheet.place, options.ignore_case)
    named = np.unique(labels[labels != b""])
    check_varies(name, named)
    if len(named) > MOST_CLASSES and not several:
        advice = "name another target" if values is None else REGRESSION
        raise BadInput(f"target {name} has {len(named)} different labels, at most {MOST_CLASSES} are classes: ", advice)
    made = classes(name, [w.decode() for w in named.tolist()], wanted.positive, options.ignore_case)
    if several:
        why = f"{name} has 2 classes, {made.names[1]} and all others ({listed(_others(made), 6)})"
        return Outcome("text", made.apply(labels), why, made.positive, made)
    kind = "text" if values is None else "few different integers"
    kind = "what its file declares a category" if cells.declared else kind
    hint = "" if wanted.task else f", as it holds {kind}"
    if values is not None and not wanted.task:
        hint += " (with the task 'regression' it is a number to predict)"
    return Outcome("text", labels, f"{name} has {len(named)} classes{hint}", made.positive, made)


def _others(made: Classes) -> tuple[str, ...]:
    """The labels that are class 0."""
    return label_order([label for label, name in (made.of or {}).items() if name == made.names[0]], None)


def check_varies(name: str, values: NDArray[Any]) -> None:
    """Errors: ``BadInput`` for a target that has one value in all rows."""
    if len(values) < 2:
        only = values[0].decode() if values.dtype.kind == "S" else f"{values[0]:g}"
        raise BadInput(
            f"target {name} is {only!r} in all rows that have one, so there is nothing to learn: name another column "
            "as target, or read rows in which it differs"
        )


def check_both(name: str, compared: Comparison, found: Collection[bytes]) -> None:
    """Errors: ``BadInput`` for a comparison that all rows are on one side of."""
    if len(found) < 2:
        (only,) = found
        raise BadInput(
            f"positive: {name} is {only.decode()} in all rows that have one, so there is nothing to learn: compare it "
            f"with another number than {compared.number}, or read rows in which it differs"
        )


def refuse_positive(wanted: TableOptions) -> None:
    """Errors: ``BadInput`` for a class 1 of a target that has no classes."""
    if wanted.positive is not None:
        raise BadInput(
            f"positive is for classes, and {wanted.target} is a number to predict: ",
            CLASSIFICATION,
            " makes labels of it, ",
            Option("positive", ">0"),
            " compares it, or leave positive out",
        )
