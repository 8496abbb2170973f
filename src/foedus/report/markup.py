"""Text as HTML."""

from __future__ import annotations

import re
from html import escape

from foedus.report.looks import Style

_UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMGTPE]?B|ms|s|min|h|d|points|rounds?|times)(?:\W|$))")
_PAIR = re.compile("(\\d\N{NO-BREAK SPACE}(?:min|h|d)) (?=\\d+\N{NO-BREAK SPACE}(?:s|min|h))")


def text(s: str) -> str:
    """Escaped, with numbers kept together with their units at the end of a line."""
    return _PAIR.sub("\\1\N{NO-BREAK SPACE}", _UNIT.sub("\N{NO-BREAK SPACE}", escape(s)))


def swatch(look: Style) -> str:
    """A short piece of a run's line."""
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    line = f'<line class="{look.css} line" x1="0" x2="22" y1="4" y2="4"{dash}/>'
    return f'<svg class="swatch" viewBox="0 0 22 8" aria-hidden="true">{line}</svg>'
