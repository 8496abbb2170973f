"""Cell: what a notebook shows of a thing, as HTML that takes its colours from the page, which may be dark or light.

Everything that comes from elsewhere (names of nodes, classes, columns) is text: nothing in it acts or hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from foedus.core.text import visible

_TABLE = "border-collapse:collapse;margin:.4em 0;border:none;font-size:inherit"
_CELL = "padding:.1em 1.2em .1em 0;border:none;vertical-align:top;background:none"
_SOFT = "opacity:.65;font-weight:normal"

MOST_ROWS = 12
"""Of more rows than these the first and the last are shown."""


def text(words: object) -> str:
    """Words as HTML."""
    return escape(visible(str(words)))


def framed(*blocks: str) -> str:
    """Blocks one below the other: all of what a cell shows."""
    return f'<div class="foedus" style="max-width:60em;line-height:1.5">{"".join(b for b in blocks if b)}</div>'


def paragraph(words: str, bold: bool = False, soft: bool = False) -> str:
    """A paragraph; ``bold`` for what it is all about, ``soft`` for a remark."""
    style = "margin:.4em 0" + (";font-weight:bold" if bold else "") + (f";{_SOFT}" if soft else "")
    return f'<p style="{style}">{text(words)}</p>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and what they are, one below the other; those that are nothing are left out."""
    rows = (
        f'<tr style="background:none"><th scope="row" style="{_CELL};{_SOFT};text-align:left;white-space:nowrap">'
        f'{text(name)}</th><td style="{_CELL};text-align:left;overflow-wrap:anywhere">{text(value)}</td></tr>'
        for name, value in pairs
        if value not in (None, "")
    )
    return f'<table style="{_TABLE}">{"".join(rows)}</table>'


def grid(heads: Sequence[str], rows: Sequence[Sequence[object]], raw: Sequence[int] = ()) -> str:
    """A table with heads; the first column is of names, the others of numbers. ``raw``: columns that are HTML."""
    top = "".join(
        f'<th scope="col" style="{_CELL};{_SOFT};text-align:{"left" if i == 0 else "right"}">{text(h)}</th>'
        for i, h in enumerate(heads)
    )
    body = "".join(
        '<tr style="background:none">'
        + "".join(
            f'<td style="{_CELL};text-align:{"left" if i == 0 else "right"}">{c if i in raw else text(c)}</td>'
            for i, c in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table style="{_TABLE}"><thead><tr style="background:none">{top}</tr></thead><tbody>{body}</tbody></table>'


def ends(rows: Sequence[Sequence[object]]) -> list[Sequence[object]]:
    """The rows, or of many the first and the last with a gap between them."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    half = MOST_ROWS // 2
    return [*rows[:half], ["..."] + [""] * (len(rows[0]) - 1), *rows[-half:]]
