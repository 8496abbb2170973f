"""Notebook: one display in a cell that is written anew as a run goes on, and a page that a cell shows.

IPython is imported nowhere: where there is a notebook, it is there already.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

PACE = 0.25
"""Seconds between two states of a display, at least: each is a message to the browser."""


def in_notebook() -> bool:
    """Whether this is a kernel whose cells show HTML: Jupyter, VS Code, Colab. A terminal's IPython is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Display:
    """What one cell shows while it runs: always the last state, however often that changes.

    ``html``, ``plain``  functions that give the state for a notebook, and for what reads a notebook as text.
    """

    def __init__(self, html: Callable[[], str], plain: Callable[[], str]) -> None:
        self._html, self._plain = html, plain
        self._handle: Any = None
        self._shown = -PACE

    def update(self, last: bool = False) -> None:
        """Show the state as it is now, unless the one before is too fresh; the ``last`` is shown in any case."""
        now = time.monotonic()
        if not last and now - self._shown < PACE:
            return
        self._shown = now
        state = {"text/html": self._html(), "text/plain": self._plain()}
        if self._handle is None:
            self._handle = sys.modules["IPython"].display.display(state, raw=True, display_id=True)
        else:
            self._handle.update(state, raw=True)


class Page:
    """A page as HTML, which a cell shows in a frame of its own: its style and script touch nothing else there."""

    def __init__(self, html: str, height: int = 720) -> None:
        self.html, self.height = html, height

    def __repr__(self) -> str:
        return f"Page({len(self.html):,} characters of HTML; give report a path to write it)"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts allow-popups" title="report of foedus" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8886;background:#fff"></iframe>'
        )
