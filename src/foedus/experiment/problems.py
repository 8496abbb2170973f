"""What is wrong with a file: every problem with its place, all of them in one error."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.errors import BadInput

Path = tuple[str | int, ...]
"""Where a value stands in a file: the keys that lead to it, and its position in a list."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``where``  a file and a line, or the option that gave the value; ``path``  the keys that lead to it, dotted.
    """

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        named = not self.path or self.where.endswith(f" {self.path}")
        return f"{self.where}: {self.message}" if named else f"{self.where}: {self.path}: {self.message}"


class BadExperiment(BadInput):
    """An experiment file that cannot be used. ``problems`` holds all that is wrong with it; its text has one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def dotted(path: Path) -> str:
    """A path as it would be written.

    >>> dotted(("program", "mine:Alg", "transforms", 0, "top_k"))
    'program."mine:Alg".transforms[0].top_k'
    """
    out = ""
    for key in path:
        if isinstance(key, int):
            out += f"[{key}]"
        else:
            out += f".{quoted(key)}" if out else quoted(key)
    return out


def quoted(key: str) -> str:
    """A key as TOML has it: in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
