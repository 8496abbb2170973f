"""Options that errors about tables advise to give."""

from __future__ import annotations

from foedus.core.advice import Option

Parts = tuple[str | Option, ...]
"""Part of an error's message."""

CLASSIFICATION = Option("task", "classification")
REGRESSION = Option("task", "regression")


def drop(name: str) -> Option:
    """Leave a column out."""
    return Option("drop", [name], adds=True)


def as_text(name: str) -> Option:
    """Read a column as text, whatever it looks like."""
    return Option("text", [name], adds=True)


def missing(name: str, word: str) -> Option:
    """Read a text in a column as nothing there."""
    return Option("missing_values", {name: [word]}, adds=True)


def text_or_drop(name: str) -> Parts:
    """What is done about a column that is no number."""
    return as_text(name), " or ", drop(name)
