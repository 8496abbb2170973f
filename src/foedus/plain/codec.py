"""Values as plain tables that travel, and back: numbers, texts, lists and tables of these, as JSON has them.

What may travel is a table that whoever reads and whoever writes gives: nothing is imported by a name that arrived, and
nothing is built before all of it fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from foedus.core.coordination.executor import Plan
from foedus.core.errors import BadInput
from foedus.plain.build import Builder, given
from foedus.plain.kinds import shape
from foedus.plain.places import Path, dotted
from foedus.plain.registry import Registry
from foedus.plain.write import Writer

FLOAT = "float"
"""The key of a number that JSON cannot write: ``{"float": "inf"}``."""

_ODD = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

DEEPEST = 64
"""Tables and lists in one another, at the most."""

MOST = 1_000_000
"""Values and characters of texts in a table, at the most."""


class Codec:
    """Writes and reads values of the classes in ``types``, by the names they have there.

    A field whose annotation is one dataclass holds that class's fields, and needs no name. ``read(hint, write(hint,
    x))`` equals x and has its text, for everything made of such classes, numbers, texts, lists and tables.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._registry = Registry(types.items())

    def write(self, hint: Any, value: Any) -> Any:
        """What says this value, of this type or protocol.

        Errors: ``BadInput`` with the place of what cannot travel: tensors, functions, other classes.
        """
        try:
            table = _Writer(self._registry).plain(hint, value, (_name(hint),))
        except RecursionError:
            raise BadInput(f"{_name(hint)} is nested too deeply to travel: at most {DEEPEST} levels") from None
        check_size(table, _name(hint))
        return table

    def read(self, hint: Any, table: Any) -> Any:
        """The value. Errors: ``BadInput`` with all that is wrong and its place, a line each."""
        check_size(table, _name(hint))
        reader = _Reader(self._registry)
        value = reader.build(hint, table, (_name(hint),))
        if reader.problems:
            raise BadInput("\n".join(f"{dotted(path)}: {message}" for path, message in reader.problems))
        return value


def encode_plan(plan: Plan, types: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as a plain table: its job, its transforms, its aggregator. Errors: as ``Codec.write``."""
    table: dict[str, Any] = Codec(types).write(Plan, plan)
    return table


def decode_plan(table: Any, types: Mapping[str, Any]) -> Plan:
    """The plan that a table says. Errors: as ``Codec.read``."""
    plan: Plan = Codec(types).read(Plan, table)
    return plan


def check_size(table: Any, name: str, deepest: int = DEEPEST, most: int = MOST) -> None:
    """Errors: ``BadInput`` for more values and characters than this, more levels, and what is no plain value."""
    left, level, layer = most, 0, [table]
    while layer:
        below: list[Any] = []
        for value in layer:
            if type(value) is dict:
                strange = [k for k in value if type(k) is not str]
                if strange:
                    raise BadInput(f"{name} has a key that is no text: {strange[0]!r}")
                left -= sum(map(len, value))
                below += value.values()
            elif type(value) is list:
                below += value
            elif type(value) is str:
                left -= len(value)
            elif type(value) is int:
                left -= value.bit_length() // 64
            elif value is not None and type(value) not in (bool, float):
                raise BadInput(f"{name} holds {given(value)}: only numbers, texts, lists and tables can travel")
        left -= len(layer)
        if left < len(below):
            raise BadInput(f"{name} is too large to travel: at most {most:,} values and characters of texts")
        level += 1
        if below and level >= deepest:
            raise BadInput(f"{name} is nested too deeply to travel: at most {deepest} levels")
        layer = below


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", "value")).lower()


class _Writer(Writer):
    none = None

    def scalar(self, value: Any) -> Any:
        if isinstance(value, bool) or value is None:
            return value
        for plain in (str, int, float):  # a number of NumPy's own types is one of these
            if isinstance(value, plain):
                value = plain(value)
                odd = isinstance(value, float) and not math.isfinite(value)
                return {FLOAT: str(value)} if odd else value
        raise BadInput(f"{value!r} is a {type(value).__name__}, which cannot travel")

    def name(self, target: Any) -> str:
        if not isinstance(target, type):
            raise BadInput(f"{target!r} is a function, and code does not travel: make it a frozen dataclass")
        if hasattr(target, "__array__") or hasattr(target, "numpy"):
            raise BadInput(f"it is a {target.__name__}, and a plan holds none: pass it among the arguments of the call")
        raise BadInput(f"{target.__name__} is not among the types that may travel")


class _Reader(Builder):
    none = None

    def build(self, hint: Any, value: Any, path: Path) -> Any:
        if isinstance(value, dict) and list(value) == [FLOAT] and float in shape(hint).scalars:
            odd = value[FLOAT]
            return _ODD[odd] if isinstance(odd, str) and odd in _ODD else self.fail(path, "expected inf, -inf or nan")
        return super().build(hint, value, path)

    def scalar(self, hint: Any, value: Any) -> Any:
        # A whole number stays one where a float may stand: what transforms remember is kept by their text.
        if hint is float and type(value) is int:
            return value
        return super().scalar(hint, value)


__all__ = ["DEEPEST", "MOST", "Codec", "check_size", "decode_plan", "encode_plan"]
