"""What a first look comes to: a proposal with its reason, or a question where the table does not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Guess:
    """A column, and why it is taken for what it is taken for."""

    name: str
    why: str


@dataclass(frozen=True)
class Proposal:
    """A value for one option of ``load``, and why. ``parts``: of a list of columns, each with its own reason."""

    option: str
    value: Any
    why: str = ""
    parts: tuple[Guess, ...] = ()


@dataclass(frozen=True)
class Question:
    """An option that a person has to decide: what may be meant, the likeliest first, and what there is to know.

    In a file it is ``option = { choose = [...] }``, which cannot be run until somebody has chosen.
    """

    option: str
    choose: tuple[Any, ...]
    why: str


@dataclass(frozen=True)
class Note:
    """A sentence in which names from the data stand at ``{0}``, ``{1}``, ...: whoever shows it puts them in quotes."""

    words: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.words.format(*self.names)


Finding = Proposal | Question


def told(given: Mapping[str, Any], option: str) -> list[Finding]:
    """What a person said of an option; nothing where nothing was said."""
    return [Proposal(option, given[option], "as you said")] if given.get(option) is not None else []


def decided(findings: Iterable[Finding]) -> list[Proposal]:
    """Those that are no questions."""
    return [f for f in findings if isinstance(f, Proposal)]
