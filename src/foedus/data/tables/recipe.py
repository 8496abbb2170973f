"""How the rows of a table become numbers: what the nodes have agreed on, as a value that can be kept and used again.

Legend: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.types.statistics import predicted_classes
from foedus.data.files import listed
from foedus.data.tables.arrow import Cells
from foedus.data.tables.files import Paths, Reading
from foedus.data.tables.meant import meant
from foedus.data.tables.read import Sheet, read
from foedus.data.tables.schema import Columns, Kind
from foedus.data.tables.typed import canonical, numbers, refuse_missing, texts

VERSION = 2


@dataclass(frozen=True)
class Number:
    """A column of numbers becomes ``(value - shift) / scale``, and ``fill`` where nothing is.

    ``marked``: a second feature is 1 where nothing was, else 0.
    """

    name: str
    fill: float
    shift: float = 0.0
    scale: float = 1.0
    marked: bool = False

    @property
    def kind(self) -> Kind:
        return "number"

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what it becomes."""
        return (self.name, f"{self.name} missing") if self.marked else (self.name,)

    def apply(self, values: NDArray[np.float64]) -> list[NDArray[Any]]:
        """Its features, each (N,)."""
        missing = np.isnan(values)
        scaled = (np.where(missing, self.fill, values) - self.shift) / self.scale
        return [scaled, missing] if self.marked else [scaled]


@dataclass(frozen=True)
class Category:
    """A column of text becomes one feature for each of ``words``: 1 where it is that word, else 0.

    ``fill`` stands in where nothing is. ``other``: one more feature is 1 for all words that are not among these (they
    were too rare); without it a word that was never seen becomes all zeros. ``marked`` as in ``Number``.
    """

    name: str
    words: tuple[str, ...]
    fill: str
    other: bool = False
    marked: bool = False
    ignore_case: bool = True

    @property
    def kind(self) -> Kind:
        return "text"

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what it becomes."""
        named = [f"{self.name} = {w}" for w in self.words]
        if self.other:
            named.append(f"{self.name} = other")
        return (*named, f"{self.name} missing") if self.marked else tuple(named)

    def apply(self, values: NDArray[np.bytes_]) -> list[NDArray[Any]]:
        """Its features, each (N,)."""
        missing = values == b""
        filled = np.where(missing, self.fill.encode(), values)
        columns: list[NDArray[Any]] = [filled == w.encode() for w in self.words]
        if self.other:
            columns.append(~np.logical_or.reduce(columns))
        return [*columns, missing] if self.marked else columns


@dataclass(frozen=True)
class Target:
    """What is learned: one of ``labels`` (class i is ``labels[i]``), or a number, ``(value - shift) / scale``."""

    name: str
    labels: tuple[str, ...] | None = None
    shift: float = 0.0
    scale: float = 1.0
    ignore_case: bool = True

    def apply(self, values: NDArray[Any]) -> Tensor:
        """Labels (N,) int64, or targets (N,) float32. Errors: ``BadInput`` for a label that is none of these."""
        if self.labels is None:
            return torch.from_numpy(((values - self.shift) / self.scale).astype(np.float32))
        y = np.full(len(values), -1, np.int64)
        for i, label in enumerate(self.labels):
            y[values == label.encode()] = i
        unknown = np.flatnonzero(y < 0)
        if len(unknown):
            raise BadInput(
                f"target {self.name}: {values[unknown[0]].decode()!r} is the label of {len(unknown)} rows that are "
                f"evaluated and of none that is trained on ({', '.join(self.labels)}): hold out fewer rows, or leave "
                "these out"
            )
        return torch.from_numpy(y)


@dataclass(frozen=True)
class Recipe:
    """What the nodes have agreed on: for every column how it becomes numbers, and what the target's values are.

    ``apply`` makes numbers of columns that are in memory, ``transform`` of a file or of Python values, ``answers``
    makes labels (or numbers in the target's unit) of a model's outputs. ``to_dict`` holds only what JSON has.
    """

    columns: tuple[Number | Category, ...]
    target: Target
    reading: Reading = Reading()
    rename: tuple[tuple[str, str], ...] = ()
    missing: str = "impute"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name for each of the F features: ``age``, ``chest pain = typical``, ``chol missing``."""
        return tuple(f for c in self.columns for f in c.features)

    def apply(self, columns: Columns) -> Tensor:
        """The features (N, F) float32 of columns by name."""
        x: NDArray[np.float32] = np.empty((len(columns[self.columns[0].name]), len(self.feature_names)), np.float32)
        at = 0
        for c in self.columns:
            for feature in c.apply(np.ascontiguousarray(columns[c.name])):
                x[:, at] = feature
                at += 1
        return torch.from_numpy(x)

    def transform(self, source: Paths | Mapping[str, Sequence[Any]]) -> Tensor:
        """The features (N, F) of new rows: of files, or of columns by name. The target need not be there.

        Errors: ``BadInput`` for a column that is missing, and for text where numbers are expected.
        """
        if isinstance(source, Mapping):
            sheet = _sheet(source, self.reading)
        else:
            needed = {c.name for c in self.columns}
            sheet = read(source, None, self.reading, dict(self.rename), needed.__contains__)
        columns: dict[str, NDArray[Any]] = {}
        for c in self.columns:
            if c.name not in sheet.cells:
                raise BadInput(
                    f"the recipe needs a column {c.name!r}, and the new rows have none: "
                    f"{did_you_mean(c.name, sheet.cells)}They have {listed(sheet.cells) or 'none that it knows'}"
                )
            cells = sheet.cells[c.name]
            if self.missing == "refuse":
                refuse_missing(c.name, cells, sheet.place)
            if isinstance(c, Category):
                columns[c.name] = texts(c.name, cells, sheet.place, c.ignore_case)
            else:
                columns[c.name] = numbers(c.name, cells, sheet.place)
        return self.apply(columns)

    def answers(self, output: Tensor) -> list[str] | list[float]:
        """What a model's outputs (N, ...) mean: the likeliest label of each row, or its target in its own unit."""
        if self.target.labels is None:
            numbers: list[float] = (output.double().flatten() * self.target.scale + self.target.shift).tolist()
            return numbers
        return [self.target.labels[i] for i in predicted_classes(output).tolist()]

    def to_dict(self) -> dict[str, Any]:
        """A dict of what JSON has, from which ``from_dict`` makes an equal recipe."""
        return {
            "version": VERSION,
            "columns": [{"kind": c.kind, **asdict(c)} for c in self.columns],
            "target": asdict(self.target),
            "reading": asdict(self.reading),
            "rename": dict(self.rename),
            "missing": self.missing,
        }

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Recipe:
        """The recipe of a dict. Errors: ``BadInput`` for one that ``to_dict`` did not make."""
        try:
            if not 1 <= said["version"] <= VERSION:  # one of version 1 says less of how its table is read
                raise BadInput(f"the recipe has version {said['version']}, this foedus reads version {VERSION}")
            kinds: dict[str, Any] = {"number": Number, "text": Category}
            return cls(
                tuple(_built(kinds[c["kind"]], {k: v for k, v in c.items() if k != "kind"}) for c in said["columns"]),
                _built(Target, said["target"]),
                _built(Reading, said["reading"]),
                tuple(said["rename"].items()),
                said["missing"],
            )
        except (KeyError, TypeError, AttributeError) as e:
            raise BadInput(f"this is no recipe of a table ({type(e).__name__}: {e}): Recipe.to_dict makes one") from e


def _built(kind: Any, said: Mapping[str, Any]) -> Any:
    """JSON has lists where a frozen value has tuples."""
    known = {f.name for f in fields(kind)}
    return kind(**{k: _frozen(v) for k, v in said.items() if k in known})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _sheet(source: Mapping[str, Sequence[Any]], reading: Reading) -> Sheet:
    cells = {str(name): Cells.of(list(values), reading) for name, values in source.items()}
    lengths = {name: len(c) for name, c in cells.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput(f"the columns have different lengths: {listed(f'{n} {k}' for n, k in lengths.items())}")

    def place(row: int) -> str:
        return f"row {row}"

    return Sheet({name: meant(name, c, reading, place) for name, c in cells.items()}, (), place)


def label_order(labels: Iterable[str], positive: str | None) -> tuple[str, ...]:
    """Labels in the order of their classes: by value where all are numbers, else as text; ``positive`` is the last."""
    labels = sorted(labels)
    with suppress(ValueError):
        labels.sort(key=float)
    return tuple(sorted(labels, key=lambda w: w == positive))


def same_label(given: Any, ignore_case: bool) -> str:
    """A label as it is spelled in a recipe."""
    return canonical(str(given).lower() if isinstance(given, bool) else str(given).strip(), ignore_case)
