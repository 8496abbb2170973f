"""A file as text: its tables, the line of everything in it, and what was set from outside."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from foedus import attacks
from foedus.core.advice import Option
from foedus.core.errors import BadInput, FoedusError, plain_name
from foedus.core.text import readable
from foedus.core.types.keys import Key
from foedus.data.files import kind_of
from foedus.experiment.advice import in_file, in_set
from foedus.experiment.builder import FileBuilder
from foedus.experiment.experiment import Experiment
from foedus.experiment.instead import instead, what_is
from foedus.experiment.lines import lines
from foedus.experiment.problems import BadExperiment, Problem
from foedus.experiment.questions import unanswered
from foedus.experiment.sets import parse_set
from foedus.experiment.tables import Tables, cohort_of
from foedus.plain.build import BAD, FIRST, Builder
from foedus.plain.kinds import Kind
from foedus.plain.names import written
from foedus.plain.places import Path, dotted
from foedus.sampling import Cohort

SWEEP = "sweep"
LARGEST = 1 << 22
"""Bytes of a file at most."""


@dataclass
class Document:
    """``raw``, the tables of a file as TOML has them, and the place of everything in them. ``set`` makes changes.

    ``overlays`` are the paths that were set from outside, each with what to call it; the last one counts.
    ``code`` says whether import paths may be followed, ``imported`` which ones were.
    """

    raw: dict[str, Any]
    origin: str
    folder: FilePath
    lines: dict[Path, int] = field(default_factory=dict)
    overlays: list[tuple[Path, str]] = field(default_factory=list)
    code: bool = True
    imported: set[str] = field(default_factory=set)

    def copy(self) -> Document:
        """Another one whose tables can be changed."""
        return Document(copy.deepcopy(self.raw), self.origin, self.folder, self.lines, list(self.overlays), self.code)

    # -- places ----------------------------------------------------------------------------------------------------

    def where(self, path: Path) -> str:
        """The line of a path, or of what it stands in; or the option that set it."""
        path = _normal(path)
        for start, label in reversed(self.overlays):
            if path[: len(start)] == _normal(start):
                return label
        if path not in self._lines:
            for start, label in reversed(self.overlays):
                if _normal(start)[: len(path)] == path:
                    return label
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.origin}:{self._lines[path]}" if path else self.origin

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return {_normal(path): line for path, line in self.lines.items()}

    def problem(self, path: Path, wrong: str | FoedusError) -> Problem:
        """A problem at this path. The options that an error advises are written as its place has them."""
        where = self.where(path)
        if isinstance(wrong, FoedusError):
            at = str(path[0]) if path else ""
            by_set = where.startswith("--set ")
            wrong = wrong.said(lambda o: in_set(o, self.raw) if by_set or self._is_set(o) else in_file(o, self.raw, at))
        return Problem(where, dotted(path), wrong)

    def _is_set(self, option: Option) -> bool:
        """Whether an option was set from outside, where the file's own does not count."""
        path = _normal((*filter(None, option.table.split(".")), option.name))
        return any(path[: len(start)] == _normal(start) for start, _ in self.overlays)

    def in_order(self, problems: Sequence[Problem]) -> list[Problem]:
        """Each once, by line; what has none comes first."""

        def line(p: Problem) -> int:
            number = p.where.removeprefix(f"{self.origin}:")
            return int(number) if number.isdecimal() else 0

        return sorted(dict.fromkeys(problems), key=line)

    # -- changes ---------------------------------------------------------------------------------------------------

    def set(self, keys: Sequence[str], value: Any, label: str) -> None:
        """Give a place another value. Tables on the way to it are made where there are none.

        Errors: ``BadInput`` for a position that a list does not have.
        """
        here: Any = self.raw
        path: Path = ()
        for depth, key in enumerate(keys):
            at: str | int = key
            if isinstance(here, list):
                if not key.isdecimal() or int(key) >= len(here):
                    raise BadInput(f"{dotted(path)} is a list of {len(here)}, it has no element {key!r}: count from 0")
                at = int(key)
            elif key not in here:
                at = next((k for k in here if plain_name(k) == plain_name(key)), key)
            path += (at,)
            if depth == len(keys) - 1:
                here[at] = value
                break
            below: Any = here.get(at, {}) if isinstance(here, dict) else here[at]
            if not isinstance(below, dict | list):
                if isinstance(below, str) and plain_name(below) == plain_name(keys[depth + 1]):
                    below = {below: {}}  # program = "fedavg" is fedavg with its defaults
                else:
                    below = {FIRST: below}  # cohort = { fixed = 10 } is the value of fixed's first field
                self.overlays.append((path, label))  # that it is a table now was not the file's doing
            here[at] = below
            here = below
        self.overlays.append((path, label))

    def may_import(self, name: str) -> None:
        """Note that this import path is to be followed. Errors: ``BadInput`` if none may be."""
        if not self.code:
            raise BadInput(
                f"{name} is code that would run, and this folder was not made here: look at what it is, and if you "
                "trust whoever made it, say --allow-code"
            )
        self.imported.add(name)

    # -- objects ---------------------------------------------------------------------------------------------------

    def experiment(self) -> Experiment:
        """The experiment. Errors: ``BadExperiment`` with all that can be known to be wrong without the data."""
        if questions := unanswered(self.raw):
            raise BadExperiment(self.in_order([self.problem(p, m) for p, m in questions]))
        tables = {k: v for k, v in self.raw.items() if k != SWEEP}
        builder = FileBuilder(self.folder, self.may_import)
        folder = tables.pop("folder", None)
        if folder is not None:
            built = builder.build(FilePath, folder, ("folder",))
            if built is not BAD and built.is_dir():
                builder.folder = built
            elif built is not BAD:
                builder.fail(("folder",), f"there is no folder {built}")
        built = builder.build(Tables, {"name": readable(FilePath(self.origin).stem), **tables, "folder": "."}, ())
        if built is not BAD and built.data.nodes is not None:
            _check_cohorts(built, builder, built.data.nodes)
            _check_dishonest(built, builder, built.data.nodes)
        if builder.problems:
            raise BadExperiment(self.in_order([self.problem(p, m) for p, m in builder.problems]))
        return Experiment(built, self)


def _normal(path: Path) -> Path:
    return tuple(plain_name(k) if isinstance(k, str) else k for k in path)


def _check_cohorts(t: Tables, builder: Builder, nodes: int) -> None:
    """A cohort larger than the federation: neither table can know it by itself."""
    for name, value in getattr(t.program, "__dict__", {}).items():
        if Kind(Cohort).misfit(value) is None:
            try:
                value.draw(nodes, Key(0))
            except BadInput as e:
                builder.fail(("program", written(type(t.program)), name), e)


def _check_dishonest(t: Tables, builder: Builder, nodes: int) -> None:
    """More dishonest nodes than there are, or ids of others; names are known with the data."""
    for key, table in (("adversary", t.adversary), ("attack", t.attack)):
        if table is None or table.nodes is None:
            continue
        which = cohort_of(table.nodes)
        if isinstance(which, tuple):
            which = tuple(n for n in which if isinstance(n, int))
        try:
            attacks.Adversary(which).members(nodes, t.seed)
        except BadInput as e:
            builder.fail((key, "nodes"), e)


# -- from text and files ---------------------------------------------------------------------------------------------


def from_text(text: str, origin: str, folder: FilePath, sets: Sequence[str] = (), code: bool = True) -> Document:
    """A document. ``code``: whether import paths may be followed.

    Errors: ``BadExperiment`` for a text that is not TOML, and sets that are none.
    """
    try:
        tables = tomllib.loads(text.removeprefix("\ufeff"))
        found = lines(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as e:
        raise BadExperiment([_syntax(str(e), origin, text)]) from e
    except RecursionError as e:
        raise BadExperiment([Problem(origin, "", "this is nested too deeply to be read")]) from e
    if not tables and not sets:
        raise BadExperiment([Problem(origin, "", "it is empty: an experiment needs [data], [model] and a program")])
    document = Document(tables, origin, folder.absolute(), found, code=code)
    problems = []
    for given in sets:
        try:
            name, value = parse_set(given)
            document.set(name, value, f"--set {dotted(tuple(name))}")
        except BadInput as e:
            problems.append(Problem(f"--set {given}", "", str(e)))
    if problems:
        raise BadExperiment(problems)
    return document


def from_file(path: str | FilePath, sets: Sequence[str] = (), code: bool = True) -> Document:
    """A document. Errors: ``BadExperiment`` for a file that cannot be read as text, and as ``from_text``."""
    file = FilePath(path)

    def bad(message: str) -> BadExperiment:
        return BadExperiment([Problem(str(path), "", message)])

    found = what_is(file) if file.exists() else None
    if found not in (None, "experiment"):
        raise bad(f"this {instead(file, found)}")
    kind = kind_of(file)
    if kind not in ("a file", "a folder", None):  # what a device or a pipe says cannot be read again to go on
        raise bad(f"this is {kind}: an experiment is a TOML file")
    try:
        with file.open("rb") as f:
            raw = f.read(LARGEST + 1)
    except FileNotFoundError:
        raise bad("there is no such file") from None
    except IsADirectoryError:
        raise bad("this is a folder: an experiment is a TOML file") from None
    except PermissionError as e:
        raise bad("this is a folder" if file.is_dir() else "you have no permission to read it") from e
    except (OSError, ValueError) as e:
        raise bad(f"it cannot be read: {getattr(e, 'strerror', None) or e}") from e
    if len(raw) > LARGEST:
        raise bad(
            f"this has more than {LARGEST:,} bytes: an experiment is a TOML file of some lines, and data has its own"
        )
    if b"\0" in raw:
        raise bad("this is a binary file: an experiment is a TOML file")
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise BadExperiment([Problem(f"{path}:{line}", "", "this is not UTF-8 text: save it as UTF-8")]) from e
    return from_text(text, str(path), file.parent, sets, code)


def _syntax(message: str, origin: str, text: str) -> Problem:
    what, _, place = message.rpartition(" (at ")
    at = re.match(r"line (\d+), column (\d+)", place)
    line = at[1] if at else str(text.count("\n") + 1)
    return Problem(f"{origin}:{line}" + (f":{at[2]}" if at else ""), "", f"this is not TOML: {what or message}")
