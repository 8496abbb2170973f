"""The way back: an object as the plain values that say it, every field with its value."""

from __future__ import annotations

import datetime
import enum
import inspect
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from foedus.core.errors import BadInput
from foedus.plain.kinds import Call, Shape, parameters, shape
from foedus.plain.names import NONE
from foedus.plain.places import Path, dotted, said
from foedus.plain.registry import Registry


class Writer:
    """Writes what a ``Builder`` with the same registry reads. ``none`` is what says ``None``."""

    none: Any = NONE

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    # -- what a kind of table may have otherwise ---------------------------------------------------------------------

    def scalar(self, value: Any) -> Any:
        """A number, text or date."""
        return value

    def name(self, target: Any) -> str:
        """The name of a class or function that is not in the registry. Errors: ``BadInput`` if it has none."""
        raise BadInput(f"{target!r} is not among what may be named here")

    # -- writing -----------------------------------------------------------------------------------------------------

    def plain(self, hint: Any, value: Any, path: Path) -> Any:
        """What says this value in a field with this annotation."""
        s = shape(hint)
        if value is None:
            if not (s.none or s.anything):
                raise BadInput(f"{dotted(path)} is None, which its type does not allow, so a file cannot say it")
            return self.none
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, str) and value == self.none and s.none:
            raise BadInput(f'{dotted(path)} is the text "{value}", which in a file means None: use another text')
        if isinstance(value, bool | int | float | str | datetime.date | datetime.time):
            return self.scalar(value)
        if isinstance(value, FilePath):
            return said(value)
        if isinstance(value, set | frozenset):
            value = sorted(value)
        table = isinstance(value, Mapping) and s.values is not inspect.Parameter.empty
        if s.items and not (s.scalars or s.kinds or s.anything or table) and not isinstance(value, list | tuple):
            value = [value]  # a single one where several may stand
        if isinstance(value, list | tuple):
            hints = s.items if s.length == len(value) else (s.items or (Any,)) * len(value)
            return [self.plain(h, v, (*path, i)) for i, (h, v) in enumerate(zip(hints, value, strict=False))]
        if isinstance(value, Mapping):
            inner = Any if s.values is inspect.Parameter.empty else s.values
            return {str(k): self.plain(inner, v, (*path, str(k))) for k, v in value.items()}
        if isinstance(value, Call):
            return self._call(value, path)
        if inspect.isfunction(value) or isinstance(value, type):
            return self._named(value, path)
        return self._object(s, value, path)

    def fields(self, cls: Any, value: Any, path: Path) -> dict[str, Any]:
        """The fields of an object of this class, by name."""
        out = {}
        for name, p in parameters(cls).items():
            if name == "**":
                continue
            if not hasattr(value, name):
                raise BadInput(f"{dotted(path)} cannot be written: it takes {name}, but has no attribute of that name")
            out[name] = self.plain(p.hint, getattr(value, name), (*path, name))
        return out

    def _object(self, s: Shape, value: Any, path: Path) -> Any:
        if type(value) is s.direct:
            return self.fields(type(value), value, path)
        names = self.registry.candidates(s)
        known = {target: name for name, target in names.items() if isinstance(target, type)}
        name = known.get(type(value)) or self._named(type(value), path)
        fields = self.fields(type(value), value, (*path, name))
        return {name: fields} if fields else name

    def _call(self, call: Call, path: Path) -> Any:
        options = {}
        for name, value in call.options.items():
            takes = parameters(call.function)
            hint = takes[name if name in takes else "**"].hint
            if value is None and shape(hint).anything:
                continue  # a place that takes anything would read the word for None as a text; unsaid it is None
            options[name] = self.plain(hint, value, (*path, call.name, name))
        return {call.name: options} if options else call.name

    def _named(self, target: Any, path: Path) -> str:
        try:
            return self.name(target)
        except BadInput as e:
            raise BadInput(f"{dotted(path)} cannot be written: {e}") from e
