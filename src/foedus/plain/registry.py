"""What there is: the one table of names from which values may be made. A name that is not in it makes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from foedus.core.errors import BadInput
from foedus.plain.kinds import Call, Kind, Shape, is_protocol, misfit
from foedus.plain.names import snake, written


class Registry:
    """Names, each with what it names: a class, a ready instance, or the type of a callable.

    What a field may hold are those that fit its annotation, so that one name may be of several kinds (an
    ``exponential`` jitter, and topology), but not two things of one kind. ``tables``: the module whose classes are
    tables of a file, which are called by their headers and not by their names.
    """

    def __init__(self, entries: Iterable[tuple[str, Any]], tables: str = "") -> None:
        self._entries = tuple(entries)
        self._tables = tables
        self._found: dict[Any, dict[str, Any]] = {}

    def candidates(self, of: Kind | Shape) -> dict[str, Any]:
        """What can be named where this may stand: classes, and ready instances such as network presets, by name.

        Errors: ``BadInput`` if one name stands for two things of one kind.
        """
        kinds = of.kinds if isinstance(of, Shape) else (of,)
        return {name: target for kind in kinds for name, target in self._of_kind(kind.hint).items()}

    def word(self, kind: Kind) -> str:
        """What a kind is called in a sentence."""
        if kind.direct is not None:
            return str(kind.hint.__name__)
        if isinstance(kind.hint, type) and issubclass(kind.hint, Call):
            return kind.hint.word
        if isinstance(kind.hint, type):
            return snake(kind.hint.__name__).replace("_", " ")
        named = [name for name, target in self._entries if target == kind.hint]
        return snake(named[0]).replace("_", " ") if named else "function"

    def is_table(self, cls: Any) -> bool:
        """Whether a class is a table of a file."""
        return bool(self._tables) and cls.__module__ == self._tables

    def _of_kind(self, hint: Any) -> dict[str, Any]:
        if hint not in self._found:
            self._found[hint] = self._look(hint)
        return self._found[hint]

    def _look(self, hint: Any) -> dict[str, Any]:
        if isinstance(hint, type) and issubclass(hint, Call):
            return hint.functions()
        found: dict[str, Any] = {}
        for name, target in self._entries:
            cls = target if isinstance(target, type) else type(target)
            if not _is_configured(cls) or misfit(cls, hint) is not None:
                continue
            if found.setdefault(name, target) is not target:
                raise BadInput(f"{name!r} names both {found[name]!r} and {target!r}: give one of them another name")
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and not is_protocol(hint):
            found.setdefault(written(hint), hint)
        return dict(sorted(found.items()))


def _is_configured(cls: type) -> bool:
    """Whether users configure it: it is a frozen dataclass, as everything that they do."""
    made = getattr(cls, "__dataclass_params__", None)
    return made is not None and made.frozen and not is_protocol(cls)
