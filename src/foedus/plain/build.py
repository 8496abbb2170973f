"""Plain values become the objects that their places ask for. What does not fit is collected, not raised."""

from __future__ import annotations

import datetime
import enum
import inspect
import re
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import msgspec

from foedus.core.errors import BadInput, did_you_mean, plain_name
from foedus.plain.kinds import Call, Kind, Shape, parameters, shape
from foedus.plain.names import NONE, among, counted
from foedus.plain.places import Path, meant
from foedus.plain.registry import Registry

FIRST = "\0"
"""The key of a class's first field where a value was given without a key and other fields were set beside it."""


class Bad:
    """Stands for a value that was not built; why is among the problems."""


BAD = Bad()


class Builder:
    """Builds objects of what a registry names. ``problems`` are paths and what is wrong there.

    Relative paths start from ``folder``. ``none`` is what says ``None``.
    """

    none: Any = NONE

    def __init__(self, registry: Registry, folder: FilePath = FilePath()) -> None:
        self.registry = registry
        self.folder = folder
        self.problems: list[tuple[Path, str | BadInput]] = []

    def fail(self, path: Path, wrong: str | BadInput) -> Bad:
        """Note a problem."""
        self.problems.append((path, wrong))
        return BAD

    # -- what a kind of table may have otherwise ---------------------------------------------------------------------

    nothing: str = "there is none that may stand here"
    """What is said where nothing can be named."""

    def scalar(self, hint: Any, value: Any) -> Any:
        """A number, text, choice or date. Errors: ``msgspec.ValidationError``."""
        return msgspec.convert(value, hint)

    def imports(self, name: str) -> bool:
        """Whether a name is that of code to import. Only where whoever runs the program wrote the table, too."""
        return False

    def load(self, name: str) -> Any:
        """What a name for which ``imports`` holds stands for. Errors: ``BadInput``."""
        raise NotImplementedError

    def label(self, target: Any, path: Path) -> str:
        """What takes the keys, in a sentence."""
        return str(target.__name__)

    def rearranged(self, target: Any, arguments: Any, path: Path) -> Any:
        """The arguments of a class, where some stand elsewhere than in a table of their own."""
        return arguments

    # -- building ----------------------------------------------------------------------------------------------------

    def build(self, hint: Any, value: Any, path: Path) -> Any:
        """The value as a field with this annotation holds it, or ``BAD``."""
        s = shape(hint)
        if s.none and (value is None or (type(value) is type(self.none) and value == self.none)):
            return None
        if s.kinds and isinstance(value, str) and (self.imports(value) or find(value, self.registry.candidates(s))):
            return self._named(s, value, {}, path, path)
        if s.path and isinstance(value, str) and value:
            return self.folder / meant(value).expanduser()
        for scalar in sorted(s.scalars, key=lambda h: type(value) is not h):  # 1 stays whole in int | float
            try:
                return self.scalar(scalar, value)
            except msgspec.ValidationError as e:
                if len(s.scalars) == 1 and typing.get_origin(scalar) is typing.Annotated:
                    return self.fail(path, str(e).replace("`", ""))
        if isinstance(value, list) and s.items:
            return self._list(s, value, path)
        if isinstance(value, dict) and s.items and _named_elements(s):
            # A table where a list is expected: an element a key, as in [stop].
            return self._join(s, [self.build(s.items[0], {k: v}, path) for k, v in value.items()])
        tables = s.values is not inspect.Parameter.empty
        if isinstance(value, dict) and s.kinds and not (tables and self._names_nothing(s, value)):
            return self._table(s, value, path)
        if isinstance(value, dict) and tables:
            built = {k: self.build(s.values, v, (*path, k)) for k, v in value.items()}
            return BAD if any(b is BAD for b in built.values()) else built
        if s.anything:
            return value
        if (
            s.kinds
            and isinstance(value, str)
            and value
            and not s.path
            and (s.direct is None or len(self.registry.candidates(s)) > 1)
        ):
            return self._named(s, value, {}, path, path)
        return self.fail(path, f"expected {expected(s, self.registry)}, got {given(value)}")

    def _names_nothing(self, s: Shape, value: dict[str, Any]) -> bool:
        """Whether no key of a table is the name of a class or function."""
        known = self.registry.candidates(s)
        return not any(self.imports(k) or find(k, known) for k in value)

    def _list(self, s: Shape, value: list[Any], path: Path) -> Any:
        if s.length is not None and len(value) != s.length:
            return self.fail(path, f"expected a list of {s.length}, got one of {len(value)}")
        hints = s.items if s.length is not None else s.items * len(value)
        return self._join(s, [self.build(h, v, (*path, i)) for i, (h, v) in enumerate(zip(hints, value, strict=True))])

    def _join(self, s: Shape, built: list[Any]) -> Any:
        return BAD if any(b is BAD for b in built) else s.make(built)

    # -- classes ---------------------------------------------------------------------------------------------------

    def _table(self, s: Shape, value: dict[str, Any], path: Path) -> Any:
        """A table where a class is expected: its one key names it, or its keys are the only class's fields."""
        keys = list(value)
        names = self.registry.candidates(s)
        if s.direct is not None:
            fields = parameters(s.direct)
            if not any(not find(k, fields) and (self.imports(k) or find(k, names)) for k in keys):
                also = f", or it names {a(self.registry.word(s.kinds[0]))}: {counted(names)}" if len(names) > 1 else ""
                return self._make(s.direct, value, path, names, also)
        word = self.registry.word(s.kinds[0])
        if not keys:
            return self.fail(path, f"expected the name of {a(word)}: {counted(names)}")
        if len(keys) > 1:
            keys = [str(value[k]) if k == FIRST else k for k in keys]
            unknown = [k for k in keys if not self.imports(k) and not find(k, names)]
            if len(unknown) == len(keys):
                wanted = f"the name of {a(word)}, with its fields in a table of its own: {counted(names)}"
                return self.fail(path, f"expected {wanted}")
            for key in unknown:
                self.fail((*path, key), f"unknown {word} {key!r} beside another; {among(key, names)}")
            if not unknown:
                self.fail(path, f"{_number(len(keys))} {word}s where one is expected: {counted(keys)}")
            return BAD
        return self._named(s, keys[0], value[keys[0]], path, (*path, keys[0]))

    def _named(self, s: Shape, name: str, arguments: Any, at: Path, path: Path) -> Any:
        """The class with this name, made from these arguments. ``at`` is where the name stands."""
        target = self._target(s, name, at if isinstance(arguments, Options) else path)
        if target is BAD:
            return BAD
        call = _call_kind(s)
        if call is not None:
            return self._call(call, name, target, arguments, path)
        if not isinstance(target, type):  # a ready instance, or the user's own function
            if arguments:
                return self.fail(path, f"{name} is ready as it is and takes no fields")
            return target
        return self._make(target, arguments, path)

    def _target(self, s: Shape, name: str, path: Path) -> Any:
        word = self.registry.word(s.kinds[0])
        if self.imports(name):
            try:
                target = self.load(name)
            except BadInput as e:
                return self.fail(path, e)
            reasons = [kind.misfit(target) for kind in s.kinds]
            return self.fail(path, f"{name} is not {a(word)}: {reasons[0]}") if all(reasons) else target
        known = self.registry.candidates(s)
        key = find(name, known)
        if key is None:
            have = among(name, known) if known else self.nothing
            return self.fail(path, f"unknown {word} {name!r}; {have}")
        return known[key]

    def _make(self, target: Any, arguments: Any, path: Path, others: Iterable[str] = (), also: str = "") -> Any:
        arguments = self.rearranged(target, arguments, path)
        values = self._arguments(target, arguments, path, self.label(target, path), others=others, also=also)
        if isinstance(values, Bad):
            return BAD
        try:
            return target(**values)
        except BadInput as e:
            return self.fail(_blamed(str(e), values, parameters(target), path), e)
        except Exception as e:
            first = (str(e).strip().splitlines() or ["no message"])[0]
            return self.fail(path, f"{target.__name__} refused its values: {type(e).__name__}: {first}")

    def _arguments(
        self,
        target: Any,
        arguments: Any,
        path: Path,
        label: str,
        later: Collection[str] = (),
        others: Iterable[str] = (),
        also: str = "",
    ) -> dict[str, Any] | Bad:
        """The arguments by their names, defaults left out. All that is wrong with them is noted.

        ``later`` may be missing. ``others`` could have been meant by an unknown key too, and ``also`` says so.
        """
        takes = dict(parameters(target))
        any_name = takes.pop("**", None)
        if not isinstance(arguments, dict):
            arguments = {FIRST: arguments}
        before = len(self.problems)
        values: dict[str, Any] = {}
        where: dict[str, Path] = {}
        for key, value in arguments.items():
            at: Path = path if key == FIRST else (*path, key)
            if isinstance(value, Moved):
                at, value = value.path, value.value
            name = next(iter(takes), None) if key == FIRST else find(key, takes)
            if name is None and any_name is not None and key != FIRST:
                values[key] = self.build(any_name.hint, value, at)
            elif name is None and key == FIRST:
                self.fail(at, f"{label} takes no fields, got {given(value)}")
            elif name is None:
                self.fail(
                    at, f"unknown key; {did_you_mean(key, [*takes, *others])}{label} takes: {counted(takes)}{also}"
                )
            elif key == FIRST and any(find(k, takes) == name for k in arguments):
                continue  # given by its name as well
            elif name in values:
                self.fail(at, f"given twice, as {where[name][-1]!r} and as {key!r}")
            else:
                values[name], where[name] = self.build(takes[name].hint, value, at), at
        for name, p in takes.items():
            if p.required and name not in values and name not in later:
                self.fail((*path, name), f"missing: {label} needs {expected(shape(p.hint), self.registry)}")
        return BAD if len(self.problems) > before else values

    # -- functions that are called later -------------------------------------------------------------------------------

    def _call(self, kind: type[Call], name: str, target: Any, arguments: Any, path: Path) -> Any:
        known = kind.functions()
        name = name if self.imports(name) else find(name, known) or name
        others: Iterable[str] = ()
        also = ""
        if isinstance(arguments, Options):
            path, others, also, arguments = arguments.path, arguments.others, arguments.also, arguments.options
        if not isinstance(target, type) and not inspect.isroutine(target):
            return self.fail(path, f"{name} is ready as it is and takes no fields") if arguments else kind(name, target)
        values = self._arguments(target, arguments, path, name, kind.later, others, also)
        if isinstance(values, Bad):
            return BAD
        for key, value in values.items():
            # Whatever a call is given is read by it. A name with a pattern in it may be none.
            if isinstance(value, FilePath) and not value.exists() and not re.search(r"[*?\[]", str(value)):
                return self.fail((*path, key), f"there is no {value}")
        rest = {p.name: p.default for p in parameters(target).values() if not p.required}
        rest = {n: d for n, d in rest.items() if n not in values and n not in kind.later and n != "**" and _plain(d)}
        return kind(name, target, {**rest, **values})


class Moved:
    """A value that stands elsewhere than its key says."""

    def __init__(self, path: Path, value: Any) -> None:
        self.path, self.value = path, value


class Options:
    """Options of a call that stand in the table around it."""

    def __init__(self, options: dict[str, Any], path: Path, others: tuple[str, ...], also: str) -> None:
        self.options, self.path, self.others, self.also = options, path, others, also


def find(name: str, known: Mapping[str, Any]) -> str | None:
    """The known name that is this one but for case, ``_`` and ``-``."""
    if name in known:
        return name
    wanted = plain_name(name)
    return next((k for k in known if plain_name(k) == wanted), None)


def _call_kind(s: Shape) -> type[Call] | None:
    hints = [k.hint for k in s.kinds if isinstance(k.hint, type) and issubclass(k.hint, Call)]
    return hints[0] if hints else None


def _named_elements(s: Shape) -> bool:
    element = shape(s.items[0])
    return s.length is None and bool(element.kinds) and element.direct is None


def _blamed(message: str, values: Collection[str], takes: Collection[str], path: Path) -> Path:
    """The field that a class's complaint is about: the one that it begins with, or the only one that was given."""
    words = re.findall(r"\w+", message)[:3]
    named = [name for name in takes if name in words or name.removesuffix("s") in words]
    if len(named) != 1:
        named = list(values)
    return (*path, named[0]) if len(named) == 1 else path


def _plain(value: Any) -> bool:
    """Whether a default can be written in a file."""
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str | FilePath | enum.Enum)


# -- sentences -------------------------------------------------------------------------------------------------------


def a(word: str) -> str:
    """The word with its article."""
    return f"an {word}" if word[0].lower() in "aeiou" else f"a {word}"


def _number(n: int) -> str:
    return {2: "two", 3: "three"}.get(n, str(n))


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def expected(s: Shape, registry: Registry, names: bool = True) -> str:
    """What may stand in a field of this shape; with the names there are."""
    options = [_scalar(h) for h in s.scalars if not (s.path and h is str)]
    if s.path:
        options.append("a path")
    for kind in s.kinds:
        options.append(_class(kind, registry, names))
    if s.items:
        each = " and ".join(expected(shape(h), registry, names) for h in s.items)
        lists = "a list or table" if _named_elements(s) else "a list"
        options.append(f"{lists}, each {each}" if s.length is None else f"a list of {s.length}: {each}")
    if s.values is not inspect.Parameter.empty:
        options.append("a table")
    if s.none:
        options.append(f'"{NONE}"')
    return " or ".join(options) or "a value"


def _class(kind: Kind, registry: Registry, names: bool) -> str:
    candidates = registry.candidates(kind)
    if kind.direct is not None and len(candidates) <= 1:
        return "a table" if registry.is_table(kind.direct) else f"a table of {kind.direct.__name__}'s fields"
    return f"{a(registry.word(kind))} ({counted(candidates)})" if names and candidates else a(registry.word(kind))


def _scalar(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Annotated:
        return _scalar(typing.get_args(hint)[0])
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(given_plainly, typing.get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(given_plainly(m.value) for m in hint)
    return _WORDS.get(hint, f"a {getattr(hint, '__name__', hint)}")


def given_plainly(value: Any) -> str:
    """A value as a file writes it, cut short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def given(value: Any) -> str:
    """What was given, in a sentence."""
    if isinstance(value, bool):
        return given_plainly(value)
    if isinstance(value, str):
        return f"the text {given_plainly(value)}" if value else "an empty text"
    if isinstance(value, int | float):
        return f"the number {given_plainly(value)}"
    if isinstance(value, dict):
        return "a table" if value else "an empty table"
    if isinstance(value, Sequence):
        return "a list" if value else "an empty list"
    if isinstance(value, datetime.date | datetime.time):
        return f"the date {value}" if isinstance(value, datetime.date) else f"the time {value}"
    return a(type(value).__name__)


__all__ = ["BAD", "FIRST", "Bad", "Builder", "Moved", "Options", "expected", "find", "given"]
