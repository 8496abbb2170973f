"""Problems that are found one by one and said together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foedus.core.errors import BadInput

MOST = 5
"""So many problems are told; of more it is said how many."""


class Problems:
    """What is wrong with several things, such as the files of a folder.

    >>> problems = Problems()
    >>> for size in (1, -2, -3):
    ...     with problems.one():
    ...         if size < 0: raise BadInput(f"{size} is below 0")
    >>> problems.check("sizes do not fit")
    Traceback (most recent call last):
    foedus.core.errors.BadInput: 2 sizes do not fit: (1) -2 is below 0; (2) -3 is below 0
    """

    def __init__(self) -> None:
        self.found: list[tuple[Any, ...]] = []
        """The parts of each one's message."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Note a ``BadInput`` that is raised inside, and go on."""
        try:
            yield
        except BadInput as e:
            self.found.append(e.args)

    def check(self, what: str) -> None:
        """Errors: ``BadInput`` with all that was noted, ``what`` being what happened to how many."""
        if len(self.found) == 1:
            raise BadInput(*self.found[0])
        if self.found:
            told = [part for i, parts in enumerate(self.found[:MOST], 1) for part in (f"; ({i}) ", *parts)]
            told[0] = "(1) "
            more = f"; and {len(self.found) - MOST} more" if len(self.found) > MOST else ""
            raise BadInput(f"{len(self.found)} {what}: ", *told, more)
