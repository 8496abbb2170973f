"""A file of a table as it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foedus.data.tables.arrow import Cells
    from foedus.data.tables.typed import Place


@dataclass(frozen=True)
class Opened:
    """``names`` of all columns of a file, the ``cells`` of those that are kept, and the ``place`` of a row (from 0)."""

    names: list[str]
    cells: dict[str, Cells]
    place: Place
