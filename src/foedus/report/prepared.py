"""How the tables were prepared: what the nodes agreed on before the training."""

from __future__ import annotations

from html import escape
from typing import Any

from foedus.core.run import Run
from foedus.report.markup import text
from foedus.report.summary import Comparison
from foedus.report.units import human_bytes
from foedus.report.verdict import join

_LINES = 12


def prepared(c: Comparison) -> str:
    """The section as HTML, one block for all settings with the same preparation; empty where there was none."""
    blocks: dict[tuple[tuple[str, ...], int], list[str]] = {}
    for s in c.programs:
        found = {(tuple(map(str, p.lines)), int(p.bytes)) for run in s.runs if (p := preparation(run)) is not None}
        for key in sorted(found):
            blocks.setdefault(key, []).append(s.label)
    if not blocks:
        return ""
    parts = []
    for (lines, sent), labels in blocks.items():
        cost = f"Agreeing took {human_bytes(sent)} of messages, which are part of no run's traffic." if sent else ""
        whose = f"For {join(labels)}: " if len(blocks) > 1 else ""
        parts.append(f'<p class="lead">{text((whose + cost) or "What the nodes agreed on.")}</p>{_list(lines)}')
    return f"<h2>How the tables were prepared</h2>{''.join(parts)}"


def preparation(run: Run) -> Any | None:
    """What the nodes of a run agreed on: ``lines`` and ``bytes``."""
    return getattr(run, "preparation", None)


def _list(lines: tuple[str, ...]) -> str:
    def items(some: tuple[str, ...]) -> str:
        return f'<ul class="facts-list">{"".join(f"<li>{escape(line)}</li>" for line in some)}</ul>' if some else ""

    if len(lines) <= _LINES + 1:
        return items(lines)
    more = f"<details><summary>{len(lines) - _LINES:,} more</summary>{items(lines[_LINES:])}</details>"
    return items(lines[:_LINES]) + more
