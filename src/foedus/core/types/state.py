"""State: everything that a program must remember between two commits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foedus.core.code_line import calling_line
from foedus.core.errors import NoSuchField, did_you_mean


class State:
    """A frozen record with the fields you give it.

    Fields hold tensors, numbers, strings, ``None``, and dicts, lists, tuples or States of these, so that a
    checkpoint can hold them without executing code when it is read.

    >>> s = State(w=1.0, server=State(m=0.0))
    >>> s.replace(w=2.0).w, s.w
    (2.0, 1.0)
    """

    __slots__ = ("_fields",)
    _fields: dict[str, Any]

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            have = ", ".join(self._fields) or "none"
            raise NoSuchField(
                f"{calling_line()}: this State has no field {name!r}: {did_you_mean(name, self._fields)}"
                f"Its fields are: {have}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a State is frozen: use state.replace({name}=...)")

    def replace(self, **changes: Any) -> State:
        """A new State with these fields changed or added."""
        return State(**{**self._fields, **changes})

    __replace__ = replace  # copy.replace of Python 3.13

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._fields.items())

    def __repr__(self) -> str:
        return "State(" + ", ".join(f"{k}={v!r}" for k, v in self._fields.items()) + ")"

    def __reduce__(self) -> Any:
        return (_make_state, (self._fields,))


def _make_state(fields: dict[str, Any]) -> State:
    return State(**fields)


def replace(state: State, **changes: Any) -> State:
    """``state`` with these fields changed or added."""
    return state.replace(**changes)
