"""What is wrong with a file: every problem with its place, all of them in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.errors import BadInput


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
