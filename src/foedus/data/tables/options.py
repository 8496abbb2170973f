"""How tables are read from files: one object for every format. What each option means is said at ``csv``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeVar

from foedus.core.errors import BadInput
from foedus.data.tables.agree import Options
from foedus.data.tables.files import MISSING, Reading

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TableOptions:
    """Which column is what, what becomes of its cells, and how many rows are held out."""

    target: str
    node: str | None = None
    _: KW_ONLY
    test: float | None = 0.2
    id: str | None = None
    drop: Sequence[str] = ()
    rename: Mapping[str, str] | None = None
    text: Sequence[str] = ()
    numeric: Sequence[str] = ()
    task: str | None = None
    positive: str | int | float | bool | None = None
    missing: str = "impute"
    missing_values: Sequence[str] = MISSING
    mark_missing: bool = True
    scale: bool = True
    scale_target: bool = True
    max_categories: int = 100
    ignore_case: bool = True

    def __post_init__(self) -> None:
        for option in ("missing_values", "drop", "text", "numeric"):
            object.__setattr__(self, option, _words(option, getattr(self, option)))

    def reading(self) -> Reading:
        """How the files are read."""
        return Reading(tuple(self.missing_values))

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
    decimal: str = "."
    names: Sequence[str] | None = None

    def reading(self) -> Reading:
        names = None if self.names is None else _words("names", self.names)
        return Reading(tuple(self.missing_values), self.encoding, self.delimiter, self.decimal, names)


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
    if isinstance(given, str) or not all(isinstance(w, str) for w in given):
        raise BadInput(f"{option} must be a list of names, such as {option}=({str(given)!r},); got {given!r}")
    return tuple(given)
