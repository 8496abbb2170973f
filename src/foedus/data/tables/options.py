"""How tables are read from files: one object for every format. What each option means is said at ``csv``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from foedus.core.advice import Option
from foedus.core.errors import BadInput
from foedus.data.tables.agree import Options
from foedus.data.tables.beginning import Beginning, beginnings, named
from foedus.data.tables.files import EVERY, MISSING, Paths, Reading

F = TypeVar("F", bound=Callable[..., Any])

Positive = str | int | float | bool
"""One label of a target."""
Missing = str | int | float
"""What stands for nothing."""


@dataclass(frozen=True)
class TableOptions:
    """Which column is what, what becomes of its cells, and how many rows are held out."""

    target: str
    node: str | Mapping[str, str | int] | None = None
    _: KW_ONLY
    test: float | str | Path | None = 0.2
    test_seed: int = 0
    id: str | None = None
    group: str | Sequence[str] | Mapping[str, str | int] | None = None
    drop: Sequence[str] = ()
    rename: Mapping[str, str] | None = None
    text: Sequence[str] = ()
    numeric: Sequence[str] = ()
    task: str | None = None
    positive: Positive | Sequence[Positive] | None = None
    missing: str = "impute"
    missing_values: Sequence[Missing] | Mapping[str, Sequence[Missing]] = MISSING
    spelling: Mapping[str, Mapping[str, str]] | None = None
    decimal: str = "."
    mark_missing: bool = True
    scale: bool = True
    scale_target: bool = True
    max_categories: int = 100
    ignore_case: bool = True

    def __post_init__(self) -> None:
        for option in ("drop", "text", "numeric"):
            object.__setattr__(self, option, _words(option, getattr(self, option)))
        if self.group is not None and not isinstance(self.group, str | Mapping):
            object.__setattr__(self, "group", _words("group", self.group))
        object.__setattr__(self, "positive", _positive(self.positive))
        if self.test is False:  # how a file says that there is none
            object.__setattr__(self, "test", None)
        missing = self.missing_values
        by_column = missing if isinstance(missing, Mapping) else {EVERY: missing}
        by_column = {name: _values(f"missing_values of {name}", v) for name, v in by_column.items()}
        object.__setattr__(self, "missing_values", by_column if isinstance(missing, Mapping) else by_column[EVERY])
        object.__setattr__(self, "spelling", _spelling(self.spelling))

    @property
    def test_files(self) -> Paths | None:
        """Where rows of the test are, if they are in files of their own."""
        return self.test if isinstance(self.test, str | Path) else None

    @property
    def owner(self) -> Any:
        """The column that says whose row it is, by its name; None if no column does."""
        return named("node", self.node)

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns whose values together say which rows belong together."""
        group = named("group", self.group)
        return () if group is None else (group,) if isinstance(group, str) else tuple(group)

    @property
    def beginnings(self) -> tuple[Beginning, ...]:
        """Columns that are the first parts of others."""
        return beginnings({"node": self.node, "group": self.group})

    @property
    def not_learned_from(self) -> frozenset[str | None]:
        """The columns with another part to play."""
        return frozenset((self.target, self.owner, self.id, *self.groups, *(b.column for b in self.beginnings)))

    def reading(self) -> Reading:
        """How the files are read."""
        missing = self.missing_values
        by_column = dict(missing) if isinstance(missing, Mapping) else {EVERY: missing}
        return Reading(
            missing_values=tuple(map(str, by_column.pop(EVERY, MISSING))),
            missing_in=tuple((name, tuple(map(str, words))) for name, words in by_column.items()),
            spelling=tuple((name, tuple(words.items())) for name, words in (self.spelling or {}).items()),
            ignore_case=self.ignore_case,
            decimal=self.decimal,
            amounts=tuple(self.numeric),
        )

    def preparing(self) -> Options:
        """What the nodes need to know before they agree on how numbers are made."""
        return Options(
            self.target,
            None,
            self.missing,
            self.mark_missing,
            self.scale,
            self.scale_target,
            self.max_categories,
            self.ignore_case,
            self.reading(),
            tuple(dict(self.rename or {}).items()),
        )


@dataclass(frozen=True)
class CsvOptions(TableOptions):
    """The same, and what the text of a file is."""

    _: KW_ONLY
    encoding: str = "utf-8"
    delimiter: str | None = None
    names: Sequence[str] | None = None

    def reading(self) -> Reading:
        names = None if self.names is None else _words("names", self.names)
        return replace(super().reading(), encoding=self.encoding, delimiter=self.delimiter, names=names)


@dataclass(frozen=True)
class ExcelOptions(TableOptions):
    """The same, and which sheet of a workbook it is."""

    _: KW_ONLY
    sheet: str | int | None = None

    def reading(self) -> Reading:
        return replace(super().reading(), sheet=self.sheet)


@dataclass(frozen=True)
class TextOptions(TableOptions):
    """The same, and the encoding of the text."""

    _: KW_ONLY
    encoding: str = "utf-8"

    def reading(self) -> Reading:
        return replace(super().reading(), encoding=self.encoding)


@dataclass(frozen=True)
class AnyOptions(CsvOptions):
    """What there is to say of a file of any format."""

    _: KW_ONLY
    sheet: str | int | None = None

    def reading(self) -> Reading:
        return replace(super().reading(), sheet=self.sheet)


def taking(options: type) -> Callable[[F], F]:
    """Says of ``function(path, *args, **options)`` that it takes what ``options`` does, one by one.

    ``load`` checks options by a source's signature, and files by its annotations.
    """

    def say(function: F) -> F:
        path, *_ = inspect.signature(function, eval_str=True).parameters.values()
        takes = [path, *inspect.signature(options, eval_str=True).parameters.values()]
        returns = typing.get_type_hints(function)["return"]
        function.__signature__ = inspect.Signature(takes, return_annotation=returns)  # type: ignore[attr-defined]
        function.__annotations__ = {**{p.name: p.annotation for p in takes}, "return": returns}
        return function

    return say


def _words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(w, str) for w in given):
        raise BadInput(f"{option} must be a list of names, such as ", Option(option, [str(given)]), f"; got {given!r}")
    return tuple(given)


def _values(option: str, given: Any) -> tuple[str, ...]:
    """What stands for nothing, as text; numbers may be given as numbers."""
    known = isinstance(given, Sequence) and not isinstance(given, str)
    if not known or not all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in given):
        raise BadInput(f"{option} must be a list of texts or numbers, such as ['0', 'unknown']; got {given!r}")
    return tuple(map(str, given))


def _positive(given: Any) -> Any:
    """One label, or a tuple of several."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    if not all(isinstance(p, str | int | float) for p in (given if several else [given] if given is not None else [])):
        raise BadInput(f"positive must be a label, a list of labels or a comparison such as '>0', got {given!r}")
    if several and not given:
        raise BadInput("positive is an empty list: name the labels that are class 1")
    return tuple(given) if several else given


def _spelling(given: Any) -> dict[str, dict[str, str]] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(words, Mapping) for words in given.values()):
        raise BadInput(
            "spelling must say of columns what is read as what, such as ",
            Option("spelling", {"sex": {"M": "male"}}),
            f"; got {given!r}",
        )
    return {str(name): {str(old): str(new) for old, new in words.items()} for name, words in given.items()}
