"""Options that an error advises to give, apart from how they are written: that depends on where the error is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option and its value, as part of an error's message.

    ``name``, ``value``  as Python takes them.
    ``adds``   whether the value is for a list or a table of lists, and joins what is given already.
    ``table``  where it stands in an experiment's file, such as ``"runtime.processes"``; "" at its top.
    ``call``   what to write in Python, where that is no keyword argument of the call that failed.

    As text it is Python's; a file and a command line write it otherwise (``experiment/advice.py``).

    >>> str(Option("drop", ["name"])), str(Option("source", "excel", call='load("excel", ...)'))
    ("drop=('name',)", 'load("excel", ...)')
    """

    name: str
    value: Any
    table: str = "data"
    call: str = ""
    adds: bool = False

    def __str__(self) -> str:
        value = tuple(self.value) if isinstance(self.value, list) else self.value
        return self.call or f"{self.name}={value!r}"


Write = Callable[[Option], str]
"""How an option is written in one place."""


def message(parts: tuple[Any, ...], write: Write = str) -> str:
    """The parts of a message, text and options, as one text."""
    return "".join(write(p) if isinstance(p, Option) else str(p) for p in parts)
