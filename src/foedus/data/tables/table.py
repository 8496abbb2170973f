"""Tables: columns of numbers and text, with missing values, that nodes make into numbers together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.advice import Option
from foedus.core.cell import facts, framed, paragraph
from foedus.core.errors import BadInput, did_you_mean
from foedus.core.text import readable
from foedus.core.types.data import FederatedDataset, about_target
from foedus.core.types.keys import Key
from foedus.data.divide import divide
from foedus.data.files import listed
from foedus.data.groups import numbered
from foedus.data.holdout import holdout as hold_out
from foedus.data.memory import fitting
from foedus.data.partitions.natural import Natural
from foedus.data.partitions.partition import Partition
from foedus.data.problems import Problems
from foedus.data.root import with_root
from foedus.data.tables.advice import drop
from foedus.data.tables.agree import Options, agree_here
from foedus.data.tables.columns import column, features, kind, said_kinds
from foedus.data.tables.files import Paths, find, stem
from foedus.data.tables.formats import FORMATS, Format
from foedus.data.tables.identifiers import check_unique, owners, together
from foedus.data.tables.layout import named_after
from foedus.data.tables.options import AnyOptions, CsvOptions, ExcelOptions, TableOptions, TextOptions, taking
from foedus.data.tables.read import Sheet, check_known, read
from foedus.data.tables.recipe import label_order
from foedus.data.tables.schema import Kind, Schema, widths
from foedus.data.tables.target import refuse_positive, target_of
from foedus.data.tables.tested import Tested, read_test, unseen
from foedus.data.tables.typed import refuse_missing


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of a table that are not numbers yet: what the numbers are, the nodes agree on when it is split.

    ``records`` (N, W) uint8: the raw rows as ``schema`` packs them. ``y`` (N,) int64 labels or float32 targets.
    ``classes``, ``class_names``, ``node``, ``group``, ``name`` as in ``Dataset``; ``node_column`` is the column that
    says whose row it is, if one does. ``test_records``: rows of no node, or None, and ``test_group``, their groups.
    ``lines``: what there is to say about how it was read. ``units``, ``test_units`` as in ``Dataset``.
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
    node_column: str | None = None
    group: NDArray[Any] | None = None
    group_name: str = "group"
    test_group: NDArray[Any] | None = None
    units: Tensor | None = None
    test_units: Tensor | None = None

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

    def _repr_html_(self) -> str:
        nodes = "not said: split(partition, nodes)" if self.node is None else f"{len(np.unique(self.node)):,}"
        told = [
            ("rows", f"{len(self):,} of {len(self.schema.columns) - 1} columns"),
            ("target", self.options.target),
            *about_target(self.classes, self.class_names),
            ("test rows", "none" if self.test_records is None else f"{len(self.test_records):,}"),
            ("nodes", nodes),
        ]
        said = [paragraph(line, soft=True) for line in self.lines]
        return framed(paragraph(f"{self.name}, not numbers yet", bold=True), facts(told), *said)

    @cached_property
    def x(self) -> Tensor:
        """The features (N, F) that one node with all rows would make: for partitions that divide by features.

        A simulation's eye only, which sees all rows; the nodes' own numbers come from what they agree on.
        """
        rows = len(self)
        raw = FederatedDataset(self.records, self.y, torch.arange(rows), torch.tensor([0, rows]), classes=self.classes)
        return agree_here(raw, self.schema, self.options).recipe.apply(self.schema.unpack(self.records))

    def split(
        self,
        partition: Partition | None = None,
        nodes: int | None = None,
        seed: int = 0,
        holdout: float | None = None,
        root: int | None = None,
    ) -> FederatedDataset:
        """Divide the training rows among nodes, who then agree on how to make numbers of them.

        ``partition`` says how; by default ``Natural()``, every node its own rows. ``nodes``, ``seed``, ``holdout``,
        ``root`` as in ``Dataset.split``. What is agreed comes from training rows, those of the root among them,
        and is in the answer's ``preparation``.
        Errors: ``BadInput`` where not every node can get a row, and for what a column needs and no training row has.
        """
        if partition is None:
            partition = Natural()
        if isinstance(partition, Natural) and self.node is None:
            raise BadInput(
                f"{self.name!r} does not say whose rows are whose: name the column (node), give one file for each "
                "node, or divide by another partition, such as ",
                Option("split", "iid", call="IID()"),
            )
        if self.node_column is not None and not isinstance(partition, Natural):
            raise BadInput(
                f"node, the column {self.node_column!r}, says whose each row is, and {partition!r} would deal the rows "
                "out anew: leave the partition out to keep these nodes; or leave node out, and give ",
                drop(self.node_column),
                ", to deal the rows out",
            )
        d = divide(self, partition, nodes, seed, holdout)
        raw = FederatedDataset(
            self.records, self.y, d.index, d.offsets, classes=self.classes, name=self.name, node_names=d.node_names
        )
        agreed = agree_here(raw, self.schema, self.options)
        columns = self.schema.unpack(self.records)
        target = agreed.recipe.target
        tests = None if self.test_records is None else self.schema.unpack(self.test_records)
        made = FederatedDataset(
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
            units=self.units,
            test_units=self.test_units,
            preparation=replace(agreed, lines=[*self.lines, *agreed.lines, *unseen(agreed.recipe, tests)]),
        )
        return made if root is None else with_root(made, root, seed)


@taking(CsvOptions)
def csv(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from CSV files.

    ``path`` is a file, a folder, a pattern such as ``"data/*.csv"``, or a list; all files have the same columns.
    ``target`` is the column to learn. ``node`` is the column that says whose row it is, or the first part of one: in
    ``A-0001`` what stands before "-", by ``{"column": "id", "before": "-"}``, or the first so many characters,
    ``{"column": "id", "first": 1}``. Without it, several files are one node each, named after the file.

    *Columns.* ``id`` must be different in every row and is not learned from, nor is ``group``, whose rows are always on
    one side of a split and at one node: of one column, such as a patient's number, or the first part of one, as
    ``node`` has it, or of several together. ``drop``
    leaves columns out; ``rename`` is from a name in the file to the name used here and in all other options. A column
    is of numbers if all its cells are; ``text`` and ``numeric`` say it yourself: codes such as 1, 2, 3 that are no
    amounts are text, and amounts such as "1,234.50 €" or "45 %" are numbers.
    *Target.* ``task`` is ``"classification"`` or ``"regression"``; by default text and few different integers are
    classes. ``positive`` is the label of class 1, or a list of labels, or a comparison such as ">0" of a target of
    numbers; all others are then class 0. Rows without a target are left out. ``scale_target`` scales the target of a
    regression while it is trained; errors are told in its own unit.
    *Cells.* ``missing_values`` are read as nothing there, whatever their case, and numbers by their value; by column
    where they are a dict, in which "*" is all columns. ``spelling`` is what is read as what, by column.
    ``missing="impute"`` puts in the mean or the most frequent text and (``mark_missing``) marks it in a feature of its
    own, ``"refuse"`` is an error instead. ``scale`` standardises numbers. ``max_categories``: of a column with more
    different texts, the rarest share the feature "other". ``ignore_case``: "Male" and "male " are one.
    *Files.* ``encoding``; ``delimiter`` (one of , ; tab | is found out); ``decimal``; ``names`` of the columns, where
    the first line is data already. ``test`` is the fraction of rows held out for a test, drawn by ``test_seed``; or a
    file of test rows, with the same columns; or None.

    Errors: ``BadInput`` with the file, the line and the column, and what to do about it.
    """
    with fitting(path):
        return _load(path, FORMATS["csv"], CsvOptions(*args, **options))


@taking(TableOptions)
def parquet(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from Parquet files; everything as in ``csv``.

    Booleans and categories (dictionaries, and what pandas notes as one) are text, nulls and NaN are missing.
    """
    with fitting(path):
        return _load(path, FORMATS["parquet"], TableOptions(*args, **options))


@taking(ExcelOptions)
def excel(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from Excel workbooks (.xlsx); everything as in ``csv``. Needs the extra ``excel``.

    ``sheet`` is a sheet's name, or its place from 0; by default the only one that holds anything. The first row that is
    not empty has the names of the columns. Dates are text; of a formula the value that was computed last is read.
    """
    with fitting(path):
        return _load(path, FORMATS["excel"], ExcelOptions(*args, **options))


@taking(TextOptions)
def jsonl(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from files of JSON lines, an object a row; everything as in ``csv``.

    Booleans are text; null, and a key that a line lacks, are missing. Lists and objects are no cells. ``encoding`` is
    UTF-8 by default.
    """
    with fitting(path):
        return _load(path, FORMATS["jsonl"], TextOptions(*args, **options))


@taking(TextOptions)
def arff(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from Weka's ARFF files; everything as in ``csv``.

    A nominal column is text, and may only have the values that the header declares. ``encoding`` is UTF-8 by
    default. Sparse rows are refused.
    """
    with fitting(path):
        return _load(path, FORMATS["arff"], TextOptions(*args, **options))


@taking(TableOptions)
def arrow(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from Arrow files, which is what Feather (version 2) is; everything as in ``parquet``."""
    with fitting(path):
        return _load(path, FORMATS["arrow"], TableOptions(*args, **options))


@taking(TableOptions)
def orc(path: Paths, *args: Any, **options: Any) -> Table:
    """A table from ORC files; everything as in ``parquet``."""
    with fitting(path):
        return _load(path, FORMATS["orc"], TableOptions(*args, **options))


def asked(target: str, options: Mapping[str, Any]) -> AnyOptions:
    """The options of a table that do not say whose rows are whose, looked through.

    Errors: ``BadInput`` for an option that there is not.
    """
    known = [f.name for f in fields(AnyOptions) if f.name not in ("target", "node", "test", "test_seed")]
    for name in options:
        if name not in known:
            raise BadInput(f"a table has no option {name!r}: {did_you_mean(name, known)}There are {listed(known, 30)}")
    wanted = AnyOptions(target, test=None, **options)
    _check(wanted, wanted.preparing())
    return wanted


def _load(path: Paths, form: Format, wanted: TableOptions) -> Table:
    options = wanted.preparing()
    tests = [] if wanted.test_files is None else find(wanted.test_files, form.suffixes)
    sheet = opened(path, form, wanted, tests)
    node_column = next((b.column for b in wanted.beginnings if b.name == wanted.owner), wanted.owner)
    if wanted.node is None and sheet.key is not None:
        wanted = replace(wanted, node=sheet.key)
    owner, lines = _owners(path, wanted, sheet), [_read_line(sheet), *sheet.lines]
    group = together(wanted.groups, sheet) if wanted.groups else None
    kinds: dict[str, Kind] = {}
    columns: dict[str, NDArray[Any]] = {}
    said = said_kinds(wanted)
    problems = Problems()
    for name in features(wanted, sheet):
        with problems.one():
            kinds[name] = kind(name, sheet, said)
            columns[name] = column(name, kinds[name], sheet, options)
    problems.check("columns do not fit")
    outcome = target_of(wanted, sheet, options)
    kinds[wanted.target], columns[wanted.target] = outcome.kind, outcome.cells
    options = replace(options, positive=outcome.positive)
    lines.append(outcome.why)
    test = None if not tests else read_test(tests, form, wanted, sheet, kinds, outcome)
    unknown = sheet.cells[wanted.target].missing
    if unknown.any():
        lost = int(unknown.sum())
        lines.append(f"{lost:,} row{'s' if lost > 1 else ''} without a {wanted.target} left out")
        columns = {n: v[~unknown] for n, v in columns.items()}
        owner = None if owner is None else owner[~unknown]
        group = None if group is None else group[~unknown]
    if group is not None:
        sizes = np.unique(group, return_counts=True)[1]
        lines.append(
            f"{len(sizes):,} groups by {' and '.join(wanted.groups)}, with up to {sizes.max():,} "
            f"row{'s' if sizes.max() > 1 else ''} each, which stay together"
        )
    table = _table(columns, kinds, owner, group, wanted, options, sheet, lines, test)
    return replace(table, node_column=node_column)


def opened(path: Paths, form: Format, wanted: TableOptions, leave: Collection[Path] = (), whole: bool = True) -> Sheet:
    """The files but those to leave, read and looked through. Where they are not the ``whole`` table, columns that
    options name may be elsewhere. Errors: ``BadInput``.
    """
    options = wanted.preparing()
    _check(wanted, options)
    dropped = frozenset(wanted.drop)
    keep: Callable[[str], bool] = lambda name: name not in dropped  # noqa: E731
    sheet = read(path, form, options.reading, dict(options.rename), keep, leave, wanted.beginnings)
    if whole:
        check_names(wanted, sheet.names, sheet.unused)
    _check_roles(wanted, sheet)
    if wanted.id is not None:
        check_unique(wanted.id, sheet)
    if options.missing == "refuse":
        problems = Problems()
        for name, cells in sheet.cells.items():
            with problems.one():
                refuse_missing(name, cells, sheet.place)
        problems.check("columns have gaps")
    if sheet.cells[wanted.target].missing.all():
        raise BadInput(f"target {wanted.target} is missing in all {sheet.rows} rows")
    if not features(wanted, sheet):
        raise BadInput(f"there is no column to learn {wanted.target} from: the table has {listed(sheet.names)}")
    return sheet


def check_names(wanted: TableOptions, known: Sequence[str], unused: Sequence[str]) -> None:
    """Errors: ``BadInput`` for an option that names a column that there is not. ``unused``: such names in rename."""
    if unused:
        old = [n for n in known if n not in (wanted.rename or {}).values()]
        raise BadInput(
            f"rename: there is no column {unused[0]!r}: {did_you_mean(unused[0], old)}There are {listed(old)}"
        )
    reading = wanted.reading()
    check_known("drop", wanted.drop, known)
    check_known("missing_values", [name for name, _ in reading.missing_in], known)
    check_known("spelling", [name for name, _ in reading.spelling], known)
    read = [n for n in known if n not in wanted.drop]
    check_known("text", wanted.text, read)
    check_known("numeric", wanted.numeric, read)


def _check_roles(wanted: TableOptions, sheet: Sheet) -> None:
    """Errors: ``BadInput`` for a column with a part to play that is not in every file."""
    problems = Problems()
    for option, names in (
        ("target", (wanted.target,)), ("node", (wanted.owner,)), ("id", (wanted.id,)), ("group", wanted.groups)
    ):  # fmt: skip
        for name in names:
            if name is None:
                continue
            check_known(option, [name], list(sheet.cells))
            for part in sheet.parts:
                with problems.one():
                    if name in part.lacks:
                        has = [n for n in sheet.cells if n not in part.lacks]
                        raise BadInput(
                            f"{option}: {part.path} has no column {name!r}: {did_you_mean(name, has)}"
                            f"It has {listed(has)}"
                        )
    problems.check("columns are not where they are needed")


def _table(
    columns: dict[str, NDArray[Any]],
    kinds: dict[str, Kind],
    owner: NDArray[Any] | None,
    group: NDArray[Any] | None,
    wanted: TableOptions,
    options: Options,
    sheet: Sheet,
    lines: list[str],
    test: Tested | None,
) -> Table:
    schema = widths(columns, kinds) if test is None else widths(columns, kinds, test.columns)
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
        group=group,
        group_name=" and ".join(wanted.groups) or "group",
    )
    rows, tested = len(table), None if test is None else test.group
    units: Tensor | None = None  # of rows that are drawn together the group's number
    if group is not None:
        units = torch.from_numpy(numbered(group if tested is None else np.concatenate([group, tested])))
    if test is not None:
        return replace(
            table,
            test_records=schema.pack(test.columns),
            test_group=tested,
            units=None if units is None else units[:rows],
            test_units=None if units is None or tested is None else units[rows:],
            lines=(*lines, *test.lines),
        )
    if not isinstance(wanted.test, float):
        return replace(table, units=units)
    units = torch.arange(rows) if units is None else units
    key = Key(wanted.test_seed).child("holdout")
    kept, held = (rows.numpy() for rows in hold_out(table.y, table.classes, wanted.test, key, group))
    return replace(
        table,
        records=table.records[kept],
        y=table.y[kept],
        node=None if owner is None else owner[kept],
        group=None if group is None else group[kept],
        test_records=table.records[held],
        test_group=None if group is None else group[held],
        units=units[kept],
        test_units=units[held],
        lines=(*lines, f"{len(held):,} of {rows:,} rows are held out for the test; no node has them"),
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
    fraction = isinstance(wanted.test, float) and 0 < wanted.test < 1
    if wanted.test is not None and not fraction and (wanted.test_files is None or wanted.test == ""):
        raise BadInput(
            f"test must be a fraction between 0 and 1 such as 0.2, a file of test rows, or None; got {wanted.test!r}"
        )
    if isinstance(wanted.test_seed, bool) or not isinstance(wanted.test_seed, int):
        raise BadInput(f"test_seed must be an integer, got {wanted.test_seed!r}")
    if wanted.group is not None and not wanted.groups:
        raise BadInput("group is an empty list: name the columns whose values say which rows belong together")
    alone = len(wanted.groups) == 1  # with another column it may be the node's
    roles = {
        "target": wanted.target, "node": wanted.owner, "id": wanted.id, **({"group": wanted.groups[0]} if alone else {})
    }  # fmt: skip
    for part in wanted.groups:
        if part in (wanted.target, wanted.id) or part in wanted.drop:
            raise BadInput(f"column {part!r} is in group, and is the target, the id or dropped: it can be only one")
    for role, name in roles.items():
        if name is not None and not isinstance(name, str):
            raise BadInput(f"{role} must be the name of a column, got {name!r}")
        if name is not None and name in wanted.drop:
            raise BadInput(f"column {name!r} is the {role}, and drop names it too: a dropped column is not read")
        for other, taken in roles.items():
            if name is not None and name == taken and role < other:
                raise BadInput(f"column {name!r} cannot be both {role} and {other}")
    for made in wanted.beginnings:
        if made.column == wanted.target:
            raise BadInput(f"column {made.column!r} is the target: its first part can name no node and no group")
    both = sorted({*wanted.text} & {*wanted.numeric})
    if both:
        raise BadInput(f"column {both[0]!r} is in text and in numeric: it can be only one")


def _owners(path: Paths, wanted: TableOptions, sheet: Sheet) -> NDArray[Any] | None:
    """The node of every row, as text (integers where all are), or None where nothing says it."""
    if wanted.node is None:
        if len(sheet.parts) == 1:
            return None
        return np.repeat(np.array(named_after(path, sheet.parts)), [p.rows for p in sheet.parts])
    return owners(wanted.owner, sheet)


def _read_line(sheet: Sheet) -> str:
    # By its name: what is agreed on goes where the run's folder and page go.
    files = sheet.parts[0].path.name if len(sheet.parts) == 1 else f"{len(sheet.parts)} files"
    return f"{readable(files)}: {sheet.rows:,} rows of {len(sheet.names)} columns"
