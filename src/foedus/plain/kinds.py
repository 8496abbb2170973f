"""What may stand where: a field's annotation says of which kind its value is.

A value fits if it is an instance of a subclass of the annotated class, has what an annotated protocol asks for, or is
a callable of the annotated signature. What may be named there is a ``Registry``'s to say.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import functools
import inspect
import os
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Call:
    """A function and its options, to be called when the rest of what it needs is there.

    Subclasses say what functions there are, and which of their parameters a file may leave to be filled in later.
    """

    name: str
    function: Any
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    word: ClassVar[str]
    later: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def functions(cls) -> dict[str, Any]:
        """The functions that have a name."""
        raise NotImplementedError

    @classmethod
    def misfit(cls, target: Any) -> str | None:
        """Why this, of the user's own, cannot be called for it; None if it can."""
        return None if callable(target) else "it cannot be called"


@dataclass(frozen=True)
class Kind:
    """A class, a protocol or the type of a callable, of which a field holds an instance."""

    hint: Any

    @property
    def direct(self) -> Any:
        """The class, if it is one dataclass whose fields may be given without its name."""
        plain = isinstance(self.hint, type) and not is_protocol(self.hint) and not issubclass(self.hint, Call)
        return self.hint if plain and dataclasses.is_dataclass(self.hint) else None

    def misfit(self, target: Any) -> str | None:
        """Why a class, function or instance is not of this kind; None if it is."""
        if isinstance(target, types.ModuleType):
            return "it is a module: name something in it"
        if isinstance(self.hint, type) and issubclass(self.hint, Call):
            return self.hint.misfit(target)
        if inspect.isfunction(target):
            return _misfit_signature(target, self.hint)
        return misfit(target if isinstance(target, type) else type(target), self.hint, typed=False)


# -- whether a class is of a kind --------------------------------------------------------------------------------------


def misfit(cls: type, hint: Any, typed: bool = True) -> str | None:
    """Why a class is not of a kind; None if it is. ``typed``: by the annotations of a callable's arguments, too.

    ``issubclass`` refuses protocols with properties, and looks at names alone: here a method must also take as many
    arguments and be ``async`` or not as the protocol's is, which tells a cohort's ``draw`` from a jitter's.
    """
    if typing.get_origin(hint) is collections.abc.Callable:
        call = _attribute(cls, "__call__")
        return "it cannot be called" if call is None else _misfit_signature(call, hint, method=True, typed=typed)
    if not is_protocol(hint):
        return None if issubclass(cls, hint) else f"it is no subclass of {hint.__name__}"
    for name, wanted in _members(hint).items():
        have = _attribute(cls, name)
        if have is None:
            # A user's class that is no dataclass may get its attributes in __init__.
            known = typed or dataclasses.is_dataclass(cls) or inspect.isfunction(wanted)
            if known and name not in _annotated(cls):
                return f"it has no {name}"
            if inspect.isfunction(wanted) and dataclasses.is_dataclass(cls):
                return f"its {name} is no method"
        elif inspect.isfunction(wanted) and not inspect.isfunction(have):
            if not callable(have) and not isinstance(have, staticmethod | classmethod):
                return f"its {name} is no method"
        elif inspect.isfunction(wanted):
            n = len(inspect.signature(wanted).parameters)
            if not _takes(have, n):
                return f"its {name} does not take {n - 1} argument{'s' if n != 2 else ''}"
            if inspect.iscoroutinefunction(wanted) != inspect.iscoroutinefunction(have):
                return f"its {name} must {'' if inspect.iscoroutinefunction(wanted) else 'not '}be async"
            returned, returns = _hints(have).get("return"), _hints(wanted).get("return")
            plain = all(isinstance(t, type) and t is not Any and not is_protocol(t) for t in (returned, returns))
            if typed and plain and not issubclass(returned, returns):  # type: ignore[arg-type]
                return f"its {name} returns a {returned.__name__}"  # type: ignore[union-attr]
    return None


def _misfit_signature(function: Any, hint: Any, method: bool = False, typed: bool = False) -> str | None:
    """The same for a function where a callable is wanted, or a protocol whose only method is ``__call__``."""
    if is_protocol(hint) and list(_members(hint)) == ["__call__"]:
        wanted = _members(hint)["__call__"]
        arguments: Any = list(inspect.signature(wanted).parameters)[1:]
        returns, is_async = Any, inspect.iscoroutinefunction(wanted)
    elif typing.get_origin(hint) is collections.abc.Callable:
        (arguments, returns), is_async = typing.get_args(hint), False
    else:
        return "it is a function"
    if arguments is not Ellipsis and not _takes(function, len(arguments) + method):
        return f"it does not take {len(arguments)} argument{'s' if len(arguments) != 1 else ''}"
    if is_async != inspect.iscoroutinefunction(function):
        return f"it must {'' if is_async else 'not '}be async"
    if not typed or arguments is Ellipsis:
        return None
    hints = _hints(function)
    wanted = dict(zip(list(inspect.signature(function).parameters)[method:], arguments, strict=False))
    wanted["return"] = returns
    differ = any(hints.get(name, w) != w and Any not in (w, hints[name]) for name, w in wanted.items())
    return "its arguments are others" if differ else None


def returned(target: Any) -> tuple[type, ...]:
    """The classes of what a class or function makes when it is called; empty where it does not say.

    >>> def f() -> int | None: ...
    >>> returned(int), returned(f), returned(lambda: 1)
    ((<class 'int'>,), (<class 'int'>, <class 'NoneType'>), ())
    """
    if isinstance(target, type):
        return (target,)
    hint = _hints(target).get("return", Any)
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [typing.get_origin(part) or part for part in parts]
    known = all(isinstance(k, type) and k not in (Any, object) and not is_protocol(k) for k in kinds)
    return tuple(kinds) if known else ()


def is_protocol(hint: Any) -> bool:
    """Whether it is a protocol."""
    return isinstance(hint, type) and bool(getattr(hint, "_is_protocol", False))


def _members(protocol: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(protocol.__mro__):
        if base is not typing.Protocol and is_protocol(base):
            found |= {n: None for n in inspect.get_annotations(base)}
            found |= {n: v for n, v in vars(base).items() if n == "__call__" or not n.startswith("_")}
    return found


def _attribute(cls: type, name: str) -> Any:
    # Not getattr: of a class that cannot be called, __call__ would be that of its type.
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _annotated(cls: type) -> set[str]:
    return {n for base in cls.__mro__ for n in inspect.get_annotations(base)}


def _takes(function: Any, n: int) -> bool:
    try:
        inspect.signature(function).bind(*range(n))
    except TypeError:
        return False
    return True


# -- what a class or function takes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One field of a class or parameter of a function."""

    name: str
    hint: Any
    default: Any = MISSING

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING


@functools.cache
def parameters(target: Any) -> dict[str, Parameter]:
    """What a class or function takes by name, in its order.

    ``*args`` cannot be given by name and are left out. With ``**kwargs`` there is also a parameter ``**``: any name.
    """
    hints = _hints(target)
    fields = {f.name: f for f in dataclasses.fields(target)} if dataclasses.is_dataclass(target) else {}
    found: dict[str, Parameter] = {}
    for name, p in _signature(target).items():
        if p.kind is p.VAR_KEYWORD:
            found["**"] = Parameter("**", hints.get(name, Any), None)
        elif p.kind not in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY):
            default = p.default
            factory: Any = fields[name].default_factory if name in fields else dataclasses.MISSING
            if factory is not dataclasses.MISSING:
                default = factory()
            found[name] = Parameter(name, hints.get(name, Any), default)
    return found


def _signature(target: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # some that are written in C tell nothing
        return {}


def _hints(target: Any) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for part in (vars(target).get("__init__"), target) if isinstance(target, type) else (target,):
        try:
            hints |= typing.get_type_hints(part, include_extras=True)
        except Exception:  # names that only type checkers know: then anything goes, and the class itself must check
            continue
    return hints


# -- what an annotation allows -----------------------------------------------------------------------------------------

_SCALARS = (bool, int, float, str, datetime.datetime, datetime.date, datetime.time)
_LISTS = (list, tuple, set, frozenset, *(getattr(collections.abc, n) for n in ("Sequence", "Iterable", "Collection")))
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass(frozen=True)
class Shape:
    """What may stand in a field.

    ``scalars``  numbers, texts, choices, dates.   ``kinds``  instances of classes.   ``path``  a file or folder.
    ``items``    the annotation of a list's elements, ``make`` what it is made into, ``length`` how many (None: any).
    ``values``   the annotation of a table's values.   ``none``, ``anything``  None, or whatever it is.
    """

    scalars: tuple[Any, ...] = ()
    kinds: tuple[Kind, ...] = ()
    path: bool = False
    items: tuple[Any, ...] = ()
    make: Callable[[list[Any]], Any] = tuple
    length: int | None = None
    values: Any = MISSING
    none: bool = False
    anything: bool = False

    @property
    def direct(self) -> Any:
        """The one dataclass whose fields may be given without its name, or None."""
        return self.kinds[0].direct if len(self.kinds) == 1 else None

    def __or__(self, other: Shape) -> Shape:
        first = self if self.items else other
        return Shape(
            self.scalars + other.scalars,
            self.kinds + other.kinds,
            self.path or other.path,
            first.items,
            first.make,
            first.length,
            other.values if self.values is MISSING else self.values,
            self.none or other.none,
            self.anything or other.anything,
        )


@functools.cache
def shape(hint: Any) -> Shape:
    """What a field with this annotation may hold."""
    hint = getattr(hint, "__value__", hint)  # an alias made by a type statement
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is None or hint is types.NoneType:
        return Shape(none=True)
    if origin is typing.Annotated:
        constrained = any(isinstance(m, msgspec.Meta) for m in hint.__metadata__)
        return Shape(scalars=(hint,)) if constrained else shape(args[0])
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(Shape.__or__, map(shape, args))
    if origin is typing.Literal:
        return Shape(scalars=(hint,))
    if origin is typing.ClassVar or origin is typing.Final:
        return shape(args[0])
    base = origin or hint
    if base in _LISTS:
        make = base if base in (list, set, frozenset) else tuple
        if base is tuple and args and args[-1] is not Ellipsis:
            return Shape(items=args, make=tuple, length=len(args))
        return Shape(items=args[:1] or (Any,), make=make)
    if base in _MAPPINGS:
        return Shape(values=args[1] if args else Any)
    if base is collections.abc.Callable:
        return Shape(kinds=(Kind(hint),))
    if not isinstance(base, type) or base in (Any, object):  # Any has become a class
        return Shape(anything=True)
    if issubclass(base, pathlib.PurePath) or base is os.PathLike:
        return Shape(path=True)
    if base in _SCALARS or issubclass(base, enum.Enum):
        return Shape(scalars=(base,))
    return Shape(kinds=(Kind(base),))
