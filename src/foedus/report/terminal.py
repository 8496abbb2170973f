"""Text for terminals and files: words, facts and tables that fit a width, in ASCII where that is all that shows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from foedus.core.cell import facts, framed, grid, paragraph
from foedus.core.text import visible
from foedus.report.units import MISSING

SPARKS = "▁▂▃▄▅▆▇█"
BAR = "━"
NONE = "·"
"""Stands for a zero beside small columns."""
_ASCII = dict(zip(SPARKS, ".:-=+*#@", strict=True))
_ASCII |= {MISSING: "-", "±": "+-", "\N{MINUS SIGN}": "-", "…": "...", "“": '"', "”": '"', BAR: "=", NONE: "_"}
_ASCII |= {"\N{MICRO SIGN}": "u", "\N{DAGGER}": "!", "\N{DEGREE SIGN}": "?"}
LEFT_OUT = "Too narrow for: "
"""Before the columns of a table that its width has no room for."""
_GAP = 2
_NARROWEST, _NAME, _LEAST = 8, 24, 24


class SafeConsole(Console):
    """A console on which names from elsewhere are text: no markup, no emoji, and nothing that acts or hides."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, in pieces. The codes for colours and cursor are Rich's own, and made of these later."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(visible(piece.text, lines=True), piece.style)


@dataclass(frozen=True)
class Words:
    """A paragraph, wrapped at the width."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and what they are, one below the other."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A head, which may have several lines, and a cell a row.

    ``spare``  where the width does not suffice, columns with the highest are left out first; 0 stays.
    ``left``   left-justified; the first column of a table should be, for it folds.
    """

    head: str
    cells: tuple[str, ...]
    spare: int = 0
    left: bool = False


@dataclass(frozen=True)
class Grid:
    """Columns side by side, without lines."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Sheet:
    """Blocks one below the other, with an empty line between them. Print it with Rich, or as ``plain`` text."""

    blocks: tuple[Words | Facts | Grid, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        fancy = console.is_terminal and not console.is_dumb_terminal and not options.ascii_only
        for line in self.lines(options.max_width, fancy):
            shown = line
            if options.ascii_only:  # the output could not take a label's own letters either
                shown = Text(line.plain.encode("ascii", "replace").decode())
            yield from shown.render(console)
            yield Segment.line()

    def _repr_html_(self) -> str:
        return framed(*map(_as_html, self.blocks))

    def plain(self, width: int = 80) -> str:
        """Lines of at most that width (24 at least), without colours; all but the users' own names is ASCII."""
        return "\n".join(line.plain for line in self.lines(width, fancy=False))

    def lines(self, width: int, fancy: bool) -> list[Text]:
        """Every line. ``fancy``: with colours, bars and small curves."""
        width = max(_LEAST, width)
        found: list[Text] = []
        for block in self.blocks:
            made = _lay_out(block, width, fancy)
            if made and found:
                found.append(Text())
            found += made
        return found


def _as_html(block: Words | Facts | Grid) -> str:
    """A block as a notebook shows it, all columns of a table included."""
    match block:
        case Words():
            return paragraph(block.text, bold=block.style == "bold", soft=block.style == "dim")
        case Facts():
            return facts(block.pairs)
        case Grid():
            heads = [c.head.replace("\n", " ").strip() for c in block.columns]
            return grid(heads, list(zip(*(c.cells for c in block.columns), strict=True)))


def sparkline(values: Sequence[float], width: int, low: float | None = None, high: float | None = None) -> str:
    """Values as small columns from ``low`` to ``high`` (theirs by default); of more than ``width``, means of stretches.

    >>> sparkline([0.0, 0.5, 1.0], 10), sparkline([1.0, 1.0], 10)
    ('▁▅█', '▄▄')
    """
    count = min(len(values), max(1, width))
    edges = [i * len(values) // count for i in range(count + 1)] if values else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    if not means:
        return ""
    low = min(means) if low is None else low
    high = max(means) if high is None else high
    top = len(SPARKS) - 1
    if high <= low:
        return SPARKS[top // 2] * count
    return "".join(SPARKS[min(top, max(0, round((v - low) / (high - low) * top + 1e-9)))] for v in means)


def bar(share: float, width: int) -> str:
    """A line as long as the share (0 to 1) of the width."""
    return BAR * max(1 if share > 0 else 0, round(share * width))


def _glyphs(s: str, fancy: bool) -> str:
    s = visible(s)
    return s if fancy else in_ascii(s)


def in_ascii(s: str) -> str:
    """The report's own signs in ASCII; letters of the users' names stay as they are."""
    return "".join(_ASCII.get(c, c) for c in s)


def _wrap(s: str, width: int) -> list[str]:
    """At most ``width`` cells a line, broken at spaces where there are any."""
    if cell_len(s) <= width:
        return [s]
    lines = []
    for line in textwrap.wrap(s, width, break_on_hyphens=False) or [""]:
        # Letters that take two cells: textwrap counts them once.
        while cell_len(line) > width:
            cut = next(i for i in range(len(line), 0, -1) if cell_len(line[:i]) <= width or i == 1)
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return lines


def _lay_out(block: Words | Facts | Grid, width: int, fancy: bool) -> list[Text]:
    match block:
        case Words():
            return _words(block, width, fancy)
        case Facts():
            return _facts(block, width, fancy)
        case Grid():
            return _grid(block, width, fancy)


def _words(block: Words, width: int, fancy: bool) -> list[Text]:
    style = block.style if fancy else ""
    return [Text(line, style) for line in _wrap(_glyphs(block.text, fancy), width)]


def _facts(block: Facts, width: int, fancy: bool) -> list[Text]:
    pairs = [(_glyphs(k, fancy), _glyphs(v, fancy)) for k, v in block.pairs if v]
    first = max((cell_len(k) for k, _ in pairs), default=0) + _GAP
    lines = []
    for name, value in pairs:
        for i, part in enumerate(_wrap(value, max(_NARROWEST, width - first))):
            head = set_cell_size(name if i == 0 else "", first)
            lines.append(Text().append(head, "dim" if fancy else Style.null()).append(part, Style.null()))
    return lines


def _grid(block: Grid, width: int, fancy: bool) -> list[Text]:
    columns = every = [
        Column(
            "\n".join(_glyphs(h, fancy) for h in c.head.split("\n")),
            tuple(_glyphs(x, fancy) for x in c.cells),
            c.spare,
            c.left,
        )
        for c in block.columns
    ]
    # The first column folds only when it is long, or when nothing more can go.
    least = min(_natural(columns[0]), _NAME)
    while True:
        others = sum(_natural(c) + _GAP for c in columns[1:])
        droppable = [c for c in columns if c.spare]
        if others + least <= width or not droppable:
            break
        most = max(droppable, key=lambda c: c.spare)
        columns = [c for c in columns if c is not most]
    widths = [min(_natural(columns[0]), max(_NARROWEST, width - others)), *(_natural(c) for c in columns[1:])]
    heads = [c.head.split("\n") for c in columns]
    dim, tall = "dim" if fancy else "", max(map(len, heads))
    lines = []
    for i in range(tall):
        parts = [h[i - tall + len(h)] if i >= tall - len(h) else "" for h in heads]
        lines += _row(parts, columns, widths, dim, dim)
    for i in range(len(columns[0].cells)):
        lines += _row([c.cells[i] for c in columns], columns, widths, "bold" if fancy else "", "")
    lines = [line if line.cell_len <= width else line[:width] for line in lines]
    left_out = [c.head.replace("\n", " ").strip() for c in every if c not in columns]
    if left_out:
        lines += [Text(line, dim) for line in _wrap(f"{LEFT_OUT}{', '.join(left_out)}", width)]
    return lines


def _row(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], first: str, rest: str) -> list[Text]:
    folded = _wrap(cells[0], widths[0])
    lines = []
    for i, part in enumerate(folded):
        line = Text().append(set_cell_size(part, widths[0]), first or Style.null())
        # Numbers stand beside the last line of a name.
        for cell, c, w in zip(cells[1:], columns[1:], widths[1:], strict=True):
            shown = cell if i == len(folded) - 1 else ""
            pad = " " * (w - cell_len(shown))
            line.append(" " * _GAP + (shown + pad if c.left else pad + shown), rest or Style.null())
        line.rstrip()
        lines.append(line)
    return lines


def _natural(c: Column) -> int:
    return max(cell_len(s) for s in (*c.head.split("\n"), *c.cells))
