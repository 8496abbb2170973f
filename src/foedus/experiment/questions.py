"""Questions that ``init`` left open in a file, ``node = { choose = ["ward", "site"] }``: who runs it is asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foedus.plain.places import Path
from foedus.plain.toml import inline

CHOOSE = "choose"
"""The key of the table that stands where a value has to be chosen."""

_ASKED = {
    "target": ("which column is to be learned", "it is none of these: name another column of the table"),
    "node": (
        "which column says whose row each is",
        'no column does: write split = "iid" and nodes = 5 in its place, or nothing where each file is a node',
    ),
    "task": ("is the target classes or an amount", 'you want two classes of it: write positive = ">0" in its place'),
    "group": (
        "does each node count its own",
        "a value at two nodes is one and the same: leave its rows out at one of them and name that column alone",
    ),
    "test": ("are these rows the test set", "the file is a node: add it to path and write test = false"),
}
"""What is asked, and what to do if the choice is another, by the key in ``[data]``."""


def unanswered(raw: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """The places of a file's tables where a question stands, and what to say of each."""
    data = raw.get("data")
    found: list[tuple[Path, str]] = []
    for key, (question, otherwise) in _ASKED.items():
        value = data.get(key) if isinstance(data, Mapping) else None
        if not isinstance(value, Mapping) or set(value) != {CHOOSE}:
            continue
        choices = value[CHOOSE] if isinstance(value[CHOOSE], list) else []
        write = " or ".join(f"{key} = {inline(choice)}" for choice in choices)
        advice = f"write {write}; if {otherwise}" if write else f"if {otherwise}"
        found.append((("data", key), f"an open question: {question}? {advice[0].upper()}{advice[1:]}"))
    return found
