"""What colours and dashes mean, on every chart and page.

A colour, drawn through, is what was measured of a program that works together. Grey is what it is compared with:
**dashed** each node alone, or a machine's limit; **dotted** the ideal, be it all data in one place or no cost at all;
dash-dotted whatever else sends nothing. A colour in **dashes and dots** is computed by a formula, not measured.
How long nodes compute, send and wait are shades of grey-blue (``page.css``), which no program has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.report.summary import ALONE, POOLED, SILENT

COLORS = 8
"""Colours of programs; more than these are never told apart in one drawing (``summary.MANY``)."""

DASHED, DOTTED, DASH_DOT, DASH_DOT_DOT = "6 4", "2 3", "9 3 2 3", "9 3 2 3 2 3"


@dataclass(frozen=True)
class Style:
    """How one run is drawn everywhere: a CSS class for its colour, and a dash pattern (empty: drawn through)."""

    css: str
    dash: str = ""


REST = Style("rest")
"""How runs are drawn that are there for comparison only: a thin grey line without a name."""

TARGET = Style("target")
"""The quality whose price is compared: a thin grey line."""

LIMIT, IDEAL = Style("g0", DASHED), Style("g1", DOTTED)

_BY_ROLE = {ALONE: LIMIT, POOLED: IDEAL, SILENT: Style("g1", DASH_DOT), "rest": REST}


def program(i: int) -> Style:
    """The i-th program that works together."""
    return Style(f"s{i % COLORS}")


def computed(i: int, second: bool = False) -> Style:
    """What a formula says of the i-th program; ``second`` where there are two formulas."""
    return Style(f"s{i % COLORS}", DASH_DOT_DOT if second else DASH_DOT)


def dashes(style: Style) -> str:
    """How a style's line is called in a sentence."""
    return {"": "drawn through", DASHED: "dashed", DOTTED: "dotted"}.get(style.dash, "dashes and dots")


def styles(roles: Sequence[str]) -> list[Style]:
    """One style per setting by its role (``summary.Summary.role``); ``"rest"`` stays in the background.

    >>> [s.css + s.dash for s in styles(["pooled", "together", "alone", "together"])]
    ['g12 3', 's0', 'g06 4', 's1']
    """
    colored = 0
    made = []
    for role in roles:
        if role in _BY_ROLE:
            made.append(_BY_ROLE[role])
        else:
            made.append(program(colored))
            colored += 1
    return made
