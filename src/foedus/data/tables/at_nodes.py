"""Tables of which every node has a file of its own: what it holds, nodes agree on without a row leaving one of them.

First what the columns are, as one place with all files would find out: numbers where all nodes have numbers, else text;
the target's labels. Then every node packs its rows as records, and what follows is as for any table: see ``agree``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.coordination.survey import Survey
from foedus.core.errors import BadInput
from foedus.core.types.data import IndexedRows
from foedus.core.types.job import NodeState, NodeView, Parts, Work
from foedus.core.types.model import Model
from foedus.core.types.update import Tensors, Update
from foedus.data.at_nodes import Agreement, AtNodes, Own, Then, divided
from foedus.data.files import listed
from foedus.data.problems import Problems
from foedus.data.tables.advice import CLASSIFICATION, REGRESSION, drop, text_or_drop
from foedus.data.tables.agree import PURPOSE, Options, agree
from foedus.data.tables.arrow import Cells
from foedus.data.tables.columns import column, features, kind, said_kinds
from foedus.data.tables.formats import format_of
from foedus.data.tables.identifiers import together
from foedus.data.tables.meant import check_units
from foedus.data.tables.options import TableOptions
from foedus.data.tables.positive import Classes, classes, comparison
from foedus.data.tables.read import Sheet, check_spelling, lacking
from foedus.data.tables.recipe import Recipe, same_label
from foedus.data.tables.schema import Column, Kind, Schema
from foedus.data.tables.table import asked, check_names, opened
from foedus.data.tables.target import MOST_CLASSES, are_few, check_both, check_varies, refuse_positive
from foedus.data.tables.typed import canonical, numbers, numeric_cells
from foedus.data.told import Told, ask_told


@dataclass(frozen=True)
class TableFile:
    """Every node its own file: what ``AtNodes`` loads for a table, of any format. A file is read at its node alone.

    ``path``     a node's file, in which ``{node}`` stands for its id; or a file for each node.
    ``target``   the column to learn.
    ``options``  by name, as those of ``load("csv", ...)`` are; rows are held out by ``AtNodes(holdout=...)``.

    The model that comes of it has the bits of one trained on a table of all rows with a node column, split by
    ``Natural()``. An ``id`` has to differ within a file, and a ``group`` is within a file.

    >>> TableFile("hospital-{node}.csv", "sick", {"drop": ["name"]}).file(3)
    PosixPath('hospital-3.csv')
    """

    path: str | Sequence[str]
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked(self.target, self.options)

    def file(self, node: int) -> Path:
        """A node's file. Errors: ``BadInput`` if none is named for it."""
        if isinstance(self.path, str):
            if "{node}" not in self.path:
                raise BadInput(
                    f"TableFile.path {self.path!r} is one file for all nodes: write {{node}} for a node's id"
                )
            return Path(self.path.replace("{node}", str(node)))
        if node >= len(self.path):
            raise BadInput(f"TableFile.path names {len(self.path)} files, and there is a node {node}")
        return Path(self.path[node])

    def __call__(self, node: int) -> Own:
        """Read a node's file."""
        path = self.file(node)
        wanted = asked(self.target, self.options)
        return Own(Unread(opened(path, format_of(path), wanted, whole=False), wanted, wanted.preparing()))

    def agree(self, survey: Survey, data: AtNodes) -> Agreement:
        """What the columns are, and how they become numbers."""
        survey = replace(survey, purpose=PURPOSE)
        wanted = asked(self.target, self.options)
        options = wanted.preparing()
        said = ask_told(survey, TellOfColumns())
        unused = [old for old in said[0]["unused"] if all(old in s["unused"] for s in said)]
        check_names(wanted, list(dict.fromkeys(n for s in said for n in s["names"])), unused)
        made = _target(said, wanted, survey.names)
        width = 8 if made is None else max(len(name.encode()) for name in made.names)
        target = Column(wanted.target, "number" if made is None else "text", width)
        schema = Schema((*_columns(said, wanted, survey.names), target))
        options = replace(options, positive=None if made is None else made.positive)
        survey.prepare(Then(Pack(schema, made, data.holdout, data.seed)))
        sizes = [int(u.weight) for u in survey.each(CountRows())]
        agreed = agree(survey, sizes, schema, options)
        survey.prepare(Then(Apply(schema, agreed.recipe)))
        rows = sum(s["rows"] for s in said)
        lines = [f"{survey.nodes} files, each at its node: {rows:,} rows of {len(schema.columns)} columns"]
        has = [{c["name"] for c in s["columns"]} for s in said]
        needed = [c.name for c in schema.columns[:-1]]
        lines += lacking({_called(n, survey.names): [c for c in needed if c not in h] for n, h in enumerate(has)})
        lost = sum(s["lost"] for s in said)
        if lost:
            lines.append(f"{lost:,} row{'s' if lost > 1 else ''} without a {self.target} left out")
        recipe = agreed.recipe
        return Agreement(recipe.target.labels, recipe.feature_names, replace(agreed, lines=[*lines, *agreed.lines]))


@dataclass(frozen=True, eq=False)
class Unread:
    """A node's file as it was read, whose cells are not numbers or text yet: rows that no model can be trained on."""

    sheet: Sheet
    wanted: TableOptions
    options: Options

    def __len__(self) -> int:
        return self.sheet.rows

    @property
    def in_memory(self) -> bool:
        return True

    def batch(self, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Errors: ``BadInput``, always."""
        raise BadInput("the nodes have not agreed yet on what the columns of their tables are")

    def tell(self) -> dict[str, Any]:
        """Of every column its name, its kind (None where nothing is in it), whether its file declares a category, the
        bytes of its longest text, how many of its cells hold something and a number, and units; of a target that may
        be classes, its labels. No row.

        Where several labels are class 1, that is which of them are there, and two others at the most.
        """
        said, columns, problems = said_kinds(self.wanted), [], Problems()
        for name in features(self.wanted, self.sheet):
            with problems.one():
                columns.append(self._column(name, said))
        problems.check("columns do not fit")
        return {
            "rows": len(self),
            "lost": int(self.sheet.cells[self.wanted.target].missing.sum()),
            "names": list(self.sheet.names),
            "unused": list(self.sheet.unused),
            "columns": columns,
            "target": self._target(),
        }

    def _column(self, name: str, said: Mapping[str, Kind]) -> dict[str, Any]:
        cells = self.sheet.cells[name]
        found, width = None, 1
        if not cells.missing.all():
            found, width = kind(name, self.sheet, said), max(map(len, self._spelled(name)))
        numeric, filled = numeric_cells(cells)
        told = {"name": name, "kind": found, "width": width, "numeric": numeric, "filled": filled}
        return {**told, "declared": cells.declared, "units": list(cells.units)}

    def _spelled(self, name: str) -> list[bytes]:
        _, words = self.sheet.cells[name].texts()
        return [canonical(w, self.options.ignore_case).encode() for w in words]

    def _target(self) -> dict[str, Any]:
        name, positive = self.wanted.target, self.wanted.positive
        cells = self.sheet.cells[name]
        values = None if cells.dated or name in self.wanted.text else cells.numbers()
        told: dict[str, Any] = {"numeric": values is not None, "declared": cells.declared, "compared": False}
        if values is not None and (compared := comparison(positive)) is not None:
            found = np.unique(compared(values[~np.isnan(values)])).tolist()
            return told | {"compared": True, "labels": [w.decode() for w in found]}
        spelled = sorted({w.decode() for w in self._spelled(name)})
        if isinstance(positive, tuple):
            wanted = {same_label(p, self.options.ignore_case) for p in positive}
            others = [w for w in spelled if w not in wanted]
            return told | {"labels": [*sorted(wanted & {*spelled}), *others[:2]]}
        amounts = values is not None and not cells.declared and not are_few([float(w) for w in spelled])
        labels = self.wanted.task == "classification" or (self.wanted.task is None and not amounts)
        return told | {"labels": spelled[: MOST_CLASSES + 1] if labels else None}


@dataclass(frozen=True)
class TellOfColumns(Told):
    """Asks a node what its columns are: see ``Unread.tell``."""

    def tell(self, node: NodeView) -> dict[str, Any]:
        assert isinstance(node.rows, Unread)
        return node.rows.tell()


@dataclass(frozen=True)
class CountRows:
    """How many rows a node trains on: the weight of an answer without parts."""

    def work(self, rows: int) -> Work:
        return Work()

    def parts(self, model: Model) -> Parts:
        return {}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        return Update({}, float(len(node.rows)), node=node.id), node.state


@dataclass(frozen=True)
class Pack:
    """A node's rows as records of the agreed columns; ``classes`` are the target's, None for a regression."""

    schema: Schema
    classes: Classes | None
    holdout: float | None
    seed: int

    def __call__(self, node: int, own: Own) -> Own:
        part = own.rows
        assert isinstance(part, Unread)
        known = ~part.sheet.cells[part.wanted.target].missing
        group = together(part.wanted.groups, part.sheet)[known] if part.wanted.groups else None
        lacks = [c.name for c in self.schema.columns if c.name not in part.sheet.cells]
        sheet = replace(part.sheet, cells=part.sheet.cells | {n: Cells.nothing(len(part)) for n in lacks})
        columns = {
            c.name: column(c.name, c.kind, sheet, part.options)[known]
            for c in self.schema.columns
            if c.name != part.wanted.target
        }
        labels = self._target(part)[known]
        columns[part.wanted.target] = labels
        if self.classes is None:
            y = torch.from_numpy(labels.astype(np.float32))
        else:
            named, place = np.unique(labels, return_inverse=True)
            order = np.array([self.classes.names.index(w.decode()) for w in named.tolist()])
            y = torch.from_numpy(order[place.reshape(-1)])
        count = None if self.classes is None else len(self.classes.names)
        return divided(node, self.schema.pack(columns), y, count, self.holdout, self.seed, group)

    def _target(self, part: Unread) -> NDArray[Any]:
        """The target's cells (N,): numbers, or the names of classes."""
        name, sheet = part.wanted.target, part.sheet
        if self.classes is None:
            return column(name, "number", sheet, part.options)
        compared = comparison(part.wanted.positive)
        if compared is not None and self.classes.names == compared.names:
            return compared(numbers(name, sheet.cells[name], sheet.place))
        return self.classes.apply(column(name, "text", sheet, part.options))


@dataclass(frozen=True)
class Apply:
    """A node's records as numbers, by the recipe that all have agreed on."""

    schema: Schema
    recipe: Recipe

    def __call__(self, node: int, own: Own) -> Own:
        rows, held = own.rows, own.held_out
        assert isinstance(rows, IndexedRows)
        assert isinstance(rows.x, Tensor)
        columns = self.schema.unpack(rows.x)
        x, y = self.recipe.apply(columns), self.recipe.target.apply(columns[self.recipe.target.name])
        return Own(
            IndexedRows(x, y, rows.index), None if not isinstance(held, IndexedRows) else IndexedRows(x, y, held.index)
        )


def _called(node: int, names: tuple[str, ...] | None) -> str:
    return f"node {node if names is None else names[node]}"


def _columns(said: list[dict[str, Any]], wanted: TableOptions, names: tuple[str, ...] | None) -> list[Column]:
    """The columns that are learned from: as in one file of all rows. Errors: ``BadInput``."""
    who = [_called(n, names) for n in range(len(said))]
    told_of = [{c["name"]: c for c in s["columns"]} for s in said]
    check_spelling(list(zip(who, told_of, strict=True)))
    columns = []
    for name in dict.fromkeys(name for told in told_of for name in told):
        # A node that lacks the column has nothing in it.
        told = [columns_of.get(name, {"kind": None, "width": 1, "numeric": 0, "filled": 0}) for columns_of in told_of]
        check_units(name, {u: who[n] for n, c in enumerate(told) for u in c.get("units", ())})
        kinds = [c["kind"] for c in told]
        text = "text" in kinds
        if not text and "number" not in kinds:
            rows = sum(s["rows"] for s in said)
            raise BadInput(f"column {name} has no value in any of the {rows} rows: ", drop(name))
        category = name in wanted.text or any(c.get("declared") for c in told)
        if text and not category and sum(c["numeric"] for c in told) * 2 > sum(c["filled"] for c in told):
            raise BadInput(
                f"column {name} is of numbers at {who[kinds.index('number')]} and of text at "
                f"{who[kinds.index('text')]}: ",
                *text_or_drop(name),
            )
        columns.append(Column(name, "text", max(c["width"] for c in told)) if text else Column(name, "number"))
    return columns


def _target(said: list[dict[str, Any]], wanted: TableOptions, names: tuple[str, ...] | None) -> Classes | None:
    """The target's classes; None for a regression. Errors: ``BadInput`` if there is nothing to learn."""
    name, told = wanted.target, [s["target"] for s in said]
    numeric = all(t["numeric"] for t in told)
    if numeric and (compared := comparison(wanted.positive)) is not None:
        check_both(name, compared, {w.encode() for t in told for w in t["labels"]})
        return Classes(compared.names, positive=compared.names[1])
    if any(t["compared"] for t in told):
        text = next(n for n, t in enumerate(told) if not t["compared"])
        raise BadInput(
            f"target {name} is of text at {_called(text, names)}, and positive, {wanted.positive!r}, compares numbers: "
            "name a label, or mend the file"
        )
    several = isinstance(wanted.positive, tuple)
    labels = {w for t in told for w in t["labels"] or ()}
    declared = any(t["declared"] for t in told)
    few = declared or are_few({float(w) for w in labels} if numeric else ())
    few = few and all(t["labels"] is not None for t in told)
    task = wanted.task or ("classification" if few or several else "regression")
    if task == "regression" and (not numeric or (declared and not wanted.task)):
        raise BadInput(
            f"target {name} is not a number at every node (or a category), and is an amount at some: ",
            CLASSIFICATION,
            " makes labels of it",
        )
    if task == "regression":
        refuse_positive(wanted)
        return None
    check_varies(name, np.array(sorted(w.encode() for w in labels)))
    if len(labels) > MOST_CLASSES and not several:
        raise BadInput(
            f"target {name} has more than {MOST_CLASSES} different labels, which are too many for classes: ",
            *((REGRESSION,) if numeric else (f"name another target; {listed(sorted(labels), 4)}",)),
        )
    return classes(name, sorted(labels), wanted.positive, wanted.ignore_case)
