"""Tables: columns of numbers and text, with missing values, that nodes make into numbers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.text import readable
from foedus.core.types.data import FederatedDataset
from foedus.core.types.keys import Key
from foedus.data.divide import divide
from foedus.data.files import listed
from foedus.data.holdout import holdout as hold_out
from foedus.data.memory import fitting
from foedus.data.partitions.natural import Natural
from foedus.data.partitions.partition import Partition
from foedus.data.tables.agree import Options, agree_here
from foedus.data.tables.files import CSV, PARQUET, Paths, stem
from foedus.data.tables.options import CsvOptions, TableOptions, taking
from foedus.data.tables.positive import Classes, classes, comparison
from foedus.data.tables.read import Sheet, check_known, read
from foedus.data.tables.recipe import label_order
from foedus.data.tables.schema import Kind, Schema, widths
from foedus.data.tables.typed import kind_of, numbers, refuse_missing, texts

MOST_CLASSES = 100
"""A target of text with more labels than this is no target of a classification."""
FEW_INTEGERS = 20
"""Integers of a target with at most so many different values are labels, not amounts."""


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of a table that are not numbers yet: what the numbers are, the nodes agree on when it is split.

    ``records`` (N, W) uint8: the raw rows as ``schema`` packs them. ``y`` (N,) int64 labels or float32 targets.
    ``classes``, ``class_names``, ``node``, ``name`` as in ``Dataset``. ``test_records``: rows of no node, or None.
    ``lines``: what there is to say about how it was read.
    """

    records: Tensor
    y: Tensor
    schema: Schema
    options: Options
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    node: NDArray[Any] | None = None
    test_records: Tensor | None = None
    name: str = "table"
    lines: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        kind = f"regression of {self.options.target}"
        if self.class_names is not None:
            kind = f"{self.classes} classes of {self.options.target} ({listed(self.class_names, 4)})"
        test = "no" if self.test_records is None else f"{len(self.test_records):,}"
        node = "" if self.node is None else f", {len(np.unique(self.node)):,} nodes"
        columns = len(self.schema.columns) - 1
        return f"Table({self.name!r}: {len(self):,} rows of {columns} columns, {kind}, {test} test rows{node})"

    @cached_property
    def x(self) -> Tensor:
        """The features (N, F) that one node with all rows would make: for partitions that divide by features.

        A simulation's eye only, which sees all rows; the nodes' own numbers come from what they agree on.
        """
        rows = len(self)
        raw = FederatedDataset(self.records, self.y, torch.arange(rows), torch.tensor([0, rows]), classes=self.classes)
        return agree_here(raw, self.schema, self.options).recipe.apply(self.schema.unpack(self.records))

    def split(
        self, partition: Partition | None = None, nodes: int | None = None, seed: int = 0, holdout: float | None = None
    ) -> FederatedDataset:
        """Divide the training rows among nodes, who then agree on how to make numbers of them.

        ``partition`` says how; by default ``Natural()``, every node its own rows. ``nodes``, ``seed``, ``holdout`` as
        in ``Dataset.split``. What is agreed comes from training rows alone, and is in the answer's ``preparation``.
        Errors: ``BadInput`` where not every node can get a row, and for what a column needs and no training row has.
        """
        if partition is None:
            partition = Natural()
        if isinstance(partition, Natural) and self.node is None:
            raise BadInput(
                f"{self.name!r} does not say whose rows are whose: name the column with node=, give one file for "
                "each node, or divide by another partition such as IID()"
            )
        d = divide(self, partition, nodes, seed, holdout)
        raw = FederatedDataset(
            self.records, self.y, d.index, d.offsets, classes=self.classes, name=self.name, node_names=d.node_names
        )
        agreed = agree_here(raw, self.schema, self.options)
        columns = self.schema.unpack(self.records)
        target = agreed.recipe.target
        tests = None if self.test_records is None else self.schema.unpack(self.test_records)
        return FederatedDataset(
            x=agreed.recipe.apply(columns),
            y=target.apply(columns[target.name]),
            index=d.index,
            offsets=d.offsets,
            test_x=None if tests is None else agreed.recipe.apply(tests),
            test_y=None if tests is None else target.apply(tests[target.name]),
            classes=None if target.labels is None else len(target.labels),
            class_names=target.labels,
            name=self.name,
            partition=repr(partition),
            held_index=d.held_index,
            held_offsets=d.held_offsets,
            node_names=d.node_names,
            feature_names=agreed.recipe.feature_names,
            preparation=replace(agreed, lines=[*self.lines, *agreed.lines]),
        )


@taking(CsvOptions)
def csv(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from CSV files.

    ``path`` is a file, a folder, a pattern such as ``"data/*.csv"``, or a list; all files have the same columns.
    ``target`` is the column to learn. ``node`` is the column that says whose row it is; without it, several files are
    one node each, named after the file.

    *Columns.* ``id`` must be different in every row and is not learned from; ``drop`` leaves columns out; ``rename`` is
    from a name in the file to the name used here and in all other options. A column is of numbers if all its cells are;
    ``text`` and ``numeric`` say it yourself (codes such as 1, 2, 3 that are no amounts are text).
    *Target.* ``task`` is ``"classification"`` or ``"regression"``; by default text and few different integers are
    classes. ``positive`` is the label of class 1. Rows without a target are left out. ``scale_target`` scales the
    target of a regression.
    *Cells.* ``missing_values`` are read as nothing there, whatever their case; ``missing="impute"`` puts in the mean or
    the most frequent text and (``mark_missing``) marks it in a feature of its own, ``"refuse"`` is an error instead.
    ``scale`` standardises numbers. ``max_categories``: of a column with more different texts, the rarest share the
    feature "other". ``ignore_case``: "Male" and "male " are one.
    *Files.* ``encoding``; ``delimiter`` (one of , ; tab | is found out); ``decimal``; ``names`` of the columns, where
    the first line is data already. ``test`` is the fraction of rows held out for a test, or None.

    Errors: ``BadInput`` with the file, the line and the column, and what to do about it.
    """
    with fitting(path):
        return _load(path, CSV, CsvOptions(*args, **options))


@taking(TableOptions)
def parquet(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from Parquet files; everything as in ``csv``. Booleans are text, nulls and NaN are missing."""
    with fitting(path):
        return _load(path, PARQUET, TableOptions(*args, **options))


def asked(target: str, options: Mapping[str, Any]) -> CsvOptions:
    """The options of a table that do not say whose rows are whose, looked through.

    Errors: ``BadInput`` for an option that there is not.
    """
    known = [f.name for f in fields(CsvOptions) if f.name not in ("target", "node", "test")]
    for name in options:
        if name not in known:
            raise BadInput(f"a table has no option {name!r}: {did_you_mean(name, known)}There are {listed(known, 30)}")
    wanted = CsvOptions(target, test=None, **options)
    _check(wanted, wanted.preparing())
    return wanted


def _load(path: Paths, suffixes: tuple[str, ...], wanted: TableOptions) -> Table:
    options = wanted.preparing()
    sheet = opened(path, suffixes, wanted)
    owner = _owners(wanted, sheet)
    lines = [_read_line(sheet)]
    kinds: dict[str, Kind] = {}
    columns: dict[str, NDArray[Any]] = {}
    said = said_kinds(wanted)
    for name in features(wanted, sheet):
        kinds[name] = kind(name, sheet, said)
        columns[name] = column(name, kinds[name], sheet, options)
    outcome = _target(wanted, sheet, options)
    kinds[wanted.target], columns[wanted.target] = outcome.kind, outcome.cells
    options = replace(options, positive=outcome.positive)
    lines.append(outcome.why)
    unknown = sheet.cells[wanted.target].missing
    if unknown.any():
        lost = int(unknown.sum())
        lines.append(f"{lost:,} row{'s' if lost > 1 else ''} without a {wanted.target} left out")
        columns = {n: v[~unknown] for n, v in columns.items()}
        owner = None if owner is None else owner[~unknown]
    return _table(columns, kinds, owner, wanted, options, sheet, lines)


def opened(path: Paths, suffixes: tuple[str, ...], wanted: TableOptions) -> Sheet:
    """The files read and looked through. Errors: ``BadInput``."""
    options = wanted.preparing()
    _check(wanted, options)
    dropped = frozenset(wanted.drop)
    sheet = read(path, suffixes, options.reading, dict(options.rename), lambda name: name not in dropped)
    known = sheet.names
    check_known("drop", wanted.drop, known)
    check_known("missing_values", [name for name, _ in options.reading.missing_in], known)
    check_known("spelling", [name for name, _ in options.reading.spelling], known)
    for option, names in (("target", [wanted.target]), ("node", [wanted.node]), ("id", [wanted.id])):
        check_known(option, [n for n in names if n is not None], list(sheet.cells))
    check_known("text", wanted.text, list(sheet.cells))
    check_known("numeric", wanted.numeric, list(sheet.cells))
    if wanted.id is not None:
        _check_unique(wanted.id, sheet)
    if options.missing == "refuse":
        for name, cells in sheet.cells.items():
            refuse_missing(name, cells, sheet.place)
    if sheet.cells[wanted.target].missing.all():
        raise BadInput(f"target {wanted.target} is missing in all {sheet.rows} rows")
    if not features(wanted, sheet):
        raise BadInput(f"there is no column to learn {wanted.target} from: the table has {listed(known)}")
    return sheet


def features(wanted: TableOptions, sheet: Sheet) -> list[str]:
    """Columns that are learned from, in the order of the file."""
    return [n for n in sheet.cells if n not in (wanted.target, wanted.node, wanted.id)]


def column(name: str, kind: Kind, sheet: Sheet, options: Options) -> NDArray[Any]:
    """A column's cells (N,), as the kind that it is."""
    if kind == "number":
        return numbers(name, sheet.cells[name], sheet.place)
    return texts(name, sheet.cells[name], sheet.place, options.ignore_case)


def _table(
    columns: dict[str, NDArray[Any]],
    kinds: dict[str, Kind],
    owner: NDArray[Any] | None,
    wanted: TableOptions,
    options: Options,
    sheet: Sheet,
    lines: list[str],
) -> Table:
    schema = widths(columns, kinds)
    labels: tuple[str, ...] | None = None
    if kinds[wanted.target] == "text":
        named, y_N = np.unique(columns[wanted.target], return_inverse=True)
        words = [w.decode() for w in named.tolist()]
        labels = label_order(words, options.positive)
        place = np.array([labels.index(w) for w in words])
        y = torch.from_numpy(place[y_N.reshape(-1)])
    else:
        y = torch.from_numpy(columns[wanted.target].astype(np.float32))
    name = stem(sheet.parts[0].path) if len(sheet.parts) == 1 else sheet.parts[0].path.parent.name or "table"
    table = Table(
        schema.pack(columns),
        y,
        schema,
        options,
        classes=None if labels is None else len(labels),
        class_names=labels,
        node=owner,
        name=name,
        lines=tuple(lines),
    )
    if wanted.test is None:
        return table
    train, test = hold_out(table.y, table.classes, wanted.test, Key(0).child("holdout"))
    return replace(
        table,
        records=table.records[train],
        y=table.y[train],
        node=None if owner is None else owner[train.numpy()],
        test_records=table.records[test],
        lines=(*lines, f"{len(test):,} of {len(table):,} rows are held out for the test; no node has them"),
    )


def _check(wanted: TableOptions, options: Options) -> None:
    """Errors: ``BadInput`` for options that do not fit, before any file is read."""
    if options.missing not in ("impute", "refuse"):
        raise BadInput(f"missing must be 'impute' or 'refuse', got {options.missing!r}")
    if wanted.task not in (None, "classification", "regression"):
        raise BadInput(f"task must be 'classification', 'regression' or None (by the target), got {wanted.task!r}")
    if wanted.task == "regression":
        refuse_positive(wanted)
    if isinstance(options.max_categories, bool) or not isinstance(options.max_categories, int):
        raise BadInput(f"max_categories must be an integer, got {options.max_categories!r}")
    if options.max_categories < 2:
        raise BadInput(f"max_categories must be at least 2, got {options.max_categories}")
    if wanted.test is not None and not (isinstance(wanted.test, float) and 0 < wanted.test < 1):
        raise BadInput(f"test must be a fraction between 0 and 1 such as 0.2, or None; got {wanted.test!r}")
    roles = {"target": wanted.target, "node": wanted.node, "id": wanted.id}
    for role, name in roles.items():
        if name is not None and not isinstance(name, str):
            raise BadInput(f"{role} must be the name of a column, got {name!r}")
        if name is not None and name in wanted.drop:
            raise BadInput(f"column {name!r} is the {role}, and drop names it too: a dropped column is not read")
        for other, taken in roles.items():
            if name is not None and name == taken and role < other:
                raise BadInput(f"column {name!r} cannot be both {role} and {other}")
    both = sorted({*wanted.text} & {*wanted.numeric})
    if both:
        raise BadInput(f"column {both[0]!r} is in text and in numeric: it can be only one")


def _check_unique(name: str, sheet: Sheet) -> None:
    codes, words = sheet.cells[name].texts()
    if (codes < 0).any():
        raise BadInput(f"id {name} is missing in {sheet.place(int(np.flatnonzero(codes < 0)[0]))}")
    rows = np.bincount(codes)
    twice = np.flatnonzero(rows > 1)
    if len(twice):
        first, second = (sheet.place(int(r)) for r in np.flatnonzero(codes == twice[0])[:2])
        more = f"; so are {listed([words[i] for i in twice[1:]], 4)}" if len(twice) > 1 else ""
        raise BadInput(
            f"id {name}: {words[twice[0]]!r} is in {first} and again in {second}{more}: remove what is there twice, or "
            f"drop=({name!r},) if rows may share it"
        )


def _owners(wanted: TableOptions, sheet: Sheet) -> NDArray[Any] | None:
    """The node of every row, as text (integers where all are), or None where nothing says it."""
    if wanted.node is None:
        if len(sheet.parts) == 1:
            return None
        paths = [p.path for p in sheet.parts]
        names = [stem(p) for p in paths]
        if len(set(names)) < len(names):
            names = [f"{readable(p.parent.name)}/{stem(p)}" for p in paths]
        if twice := next((n for n, times in Counter(names).items() if times > 1), None):
            raise BadInput(f"two files would be the node {twice!r}: a node is named after its file, rename one of them")
        return np.repeat(np.array(names), [p.rows for p in sheet.parts])
    codes, words = sheet.cells[wanted.node].texts()
    if (codes < 0).any():
        none = np.flatnonzero(codes < 0)
        more = f" and in {len(none) - 1} other rows" if len(none) > 1 else ""
        raise BadInput(
            f"node column {wanted.node} is empty in {sheet.place(int(none[0]))}{more}: every row needs an owner"
        )
    # Integers are ordered by value.
    if all(w.isascii() and w.isdecimal() and len(w) < 20 and str(int(w)) == w and int(w) < 2**63 for w in words):
        return np.array([int(w) for w in words], np.int64)[codes]
    return np.array(words)[codes]


def said_kinds(wanted: TableOptions) -> dict[str, Kind]:
    """The columns of which the options say what they are."""
    return {**{name: "text" for name in wanted.text}, **{name: "number" for name in wanted.numeric}}


def kind(name: str, sheet: Sheet, said: Mapping[str, Kind]) -> Kind:
    """Whether a column is of numbers or of text. Errors: ``BadInput`` for one that is neither."""
    cells = sheet.cells[name]
    if cells.missing.all() or name not in said:
        return kind_of(name, cells, sheet.place)
    return said[name]


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


def _target(wanted: TableOptions, sheet: Sheet, options: Options) -> Outcome:
    name, cells = wanted.target, sheet.cells[wanted.target]
    values = None if cells.dated or name in wanted.text else cells.numbers()
    if values is not None and (compared := comparison(wanted.positive)) is not None:
        labels = compared(numbers(name, cells, sheet.place))
        check_varies(name, np.unique(labels[labels != b""]))
        return Outcome("text", labels, f"{name} has 2 classes, as positive={wanted.positive!r}", compared.names[1])
    different = set() if values is None else set(np.unique(values[~np.isnan(values)]).tolist())
    few = are_few(different)
    several = isinstance(wanted.positive, tuple)
    task = wanted.task or ("classification" if values is None or few or several else "regression")
    if task == "regression":
        refuse_positive(wanted)
        why = f"{name} is a number to predict" + ("" if wanted.task else " (task='classification' makes labels of it)")
        column = numbers(name, cells, sheet.place, "task='classification'")
        check_varies(name, np.unique(column[~np.isnan(column)]))
        return Outcome("number", column, why)
    labels = texts(name, cells, sheet.place, options.ignore_case)
    named = np.unique(labels[labels != b""])
    check_varies(name, named)
    if len(named) > MOST_CLASSES and not several:
        advice = f"drop=({name!r},) and another target" if values is None else "task='regression'"
        raise BadInput(f"target {name} has {len(named)} different labels, at most {MOST_CLASSES} are classes: {advice}")
    made = classes(name, [w.decode() for w in named.tolist()], wanted.positive, options.ignore_case)
    if several:
        why = f"{name} has 2 classes, {made.names[1]} and all others ({listed(_others(made), 6)})"
        return Outcome("text", made.apply(labels), why, made.positive)
    kind = "few different integers" if values is not None else "text"
    hint = "" if wanted.task else f", as it holds {kind}"
    if values is not None and not wanted.task:
        hint += " (task='regression' makes it a number to predict)"
    return Outcome("text", labels, f"{name} has {len(named)} classes{hint}", made.positive)


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


def refuse_positive(wanted: TableOptions) -> None:
    """Errors: ``BadInput`` for a class 1 of a target that has no classes."""
    if wanted.positive is not None:
        raise BadInput(
            f"positive is for classes, and {wanted.target} is a number to predict: task='classification' makes labels "
            "of it, positive='>0' compares it, or leave positive out"
        )


def _read_line(sheet: Sheet) -> str:
    files = str(sheet.parts[0].path) if len(sheet.parts) == 1 else f"{len(sheet.parts)} files"
    return f"{readable(files)}: {sheet.rows:,} rows of {len(sheet.names)} columns"
