"""The two files of a run's folder that get a line a commit: history and ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from foedus.core.errors import BadInput
from foedus.core.records.appended import Mark, read
from foedus.core.records.typed import as_costs, as_record

T = TypeVar("T")

HISTORY, LEDGER = "history.jsonl", "ledger.jsonl"

LINES: dict[str, Callable[[Any], Any]] = {HISTORY: as_record, LEDGER: as_costs}
"""Both, and what a line of each becomes."""


def belonging(path: Path, mark: Mark) -> bytes:
    """The part of such a file that a mark is of. Errors: ``BadInput`` that names the line, if a line says so."""
    try:
        return read(path, mark)
    except (OSError, ValueError) as e:
        if path.is_file():
            for _ in each_line(path, path.read_bytes(), LINES[path.name]):
                continue
        raise BadInput(f"{path} {e}; restore it from a copy, or start the run again elsewhere") from e


def each_line(path: Path, data: bytes, made: Callable[[Any], T]) -> Iterator[T]:
    """What every line of a file says, in order; one line a commit. Half a line at the end is none.

    Errors: ``BadInput`` that names file, line and field.
    """
    before: int | None = None
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            found = msgspec.json.decode(line)
            value = made(found)
            round = found.get("round")
            if type(round) is not int or round != (round if before is None else before + 1):
                raise ValueError(f"field round: expected {'an int' if before is None else before + 1}, got {round!r}")
            before = round
        except (ValueError, TypeError, RecursionError) as e:
            raise BadInput(f"{path} is damaged in line {number}: {_one_line(e)}; restore it from a copy") from None
        yield value


def _one_line(e: Exception) -> str:
    return " ".join(str(e).split()) or type(e).__name__
