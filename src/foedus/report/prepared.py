"""How the tables were prepared: what the nodes agreed on before the training."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from foedus.core.records.run import Run
from foedus.report.markup import text
from foedus.report.sendable import without_places
from foedus.report.summary import Comparison
from foedus.report.units import human_bytes
from foedus.report.verdict import join

if TYPE_CHECKING:
    from foedus.core.types.data import FederatedDataset


_HEAD = "<h2>How the tables were prepared</h2>"
_LINES = 12


def prepared(c: Comparison) -> str:
    """The section as HTML, one block for all settings with the same preparation; empty where there was none.

    Other seeds divide the rows otherwise, so that their means differ a little: the first seed's stand for them.
    """
    blocks: dict[tuple[tuple[str, ...], int], list[str]] = {}
    seeds = False
    for s in c.programs:
        found = [(tuple(map(str, p.lines)), int(p.bytes)) for run in s.runs if (p := preparation(run)) is not None]
        if found:
            blocks.setdefault(found[0], []).append(s.label)
            seeds = seeds or len(set(found)) > 1
    if not blocks:
        return ""
    several = len(blocks) > 1
    first = " with the first seed" if seeds else ""
    parts = [_block(*key, (f" for {join(labels)}" if several else "") + first) for key, labels in blocks.items()]
    return f"{_HEAD}{''.join(parts)}"


def prepared_data(data: FederatedDataset) -> str:
    """The same of a data set."""
    p = preparation(data)
    return "" if p is None else _HEAD + _block(tuple(map(str, p.lines)), int(p.bytes), "")


def preparation(what: Run | FederatedDataset) -> Any | None:
    """What the nodes agreed on: ``lines`` and ``bytes``; None where there was nothing to agree on."""
    return what.preparation


def _block(lines: tuple[str, ...], sent: int, whose: str) -> str:
    cost = f", which took {human_bytes(sent)} of messages" if sent else ""
    return f'<p class="lead">{text(f"What the nodes agreed on{whose}{cost}.")}</p>{_list(lines)}'


def _list(lines: tuple[str, ...]) -> str:
    def items(some: tuple[str, ...]) -> str:
        return (
            f'<ul class="facts-list">{"".join(f"<li>{escape(without_places(line))}</li>" for line in some)}</ul>'
            if some
            else ""
        )

    if len(lines) <= _LINES + 1:
        return items(lines)
    more = f"<details><summary>{len(lines) - _LINES:,} more</summary>{items(lines[_LINES:])}</details>"
    return items(lines[:_LINES]) + more
