"""What of a target is class 1: a label of two, several labels of many, or numbers for which a comparison holds."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.advice import Option
from foedus.core.errors import BadInput, did_you_mean
from foedus.data.files import listed
from foedus.data.tables.recipe import label_order, same_label

_HOLDS: dict[str, Callable[[Any, float], Any]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "=": "!=", "!=": "="}
_COMPARISON = re.compile(r"\s*(>=|<=|!=|=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_NAMED = 4
"""So many labels stand in the name of the class that they are."""


@dataclass(frozen=True)
class Comparison:
    """Two classes of a target of numbers: those for which ``sign number`` holds, which are class 1, and all others."""

    sign: str
    number: str

    @property
    def names(self) -> tuple[str, str]:
        """What the classes are called: ``<=0`` and ``>0``."""
        return f"{_OPPOSITE[self.sign]}{self.number}", f"{self.sign}{self.number}"

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.bytes_]:
        """The class of each number (N,) by its name, empty where there is none (NaN)."""
        other, this = (name.encode() for name in self.names)
        known: NDArray[np.bytes_] = np.array([other, this, b""])
        return known[np.where(np.isnan(values), 2, _HOLDS[self.sign](values, float(self.number)))]


def comparison(positive: Any) -> Comparison | None:
    """The comparison that a text is; None for a label.

    >>> comparison("> 0").names, comparison(">50K")
    (('<=0', '>0'), None)
    """
    found = _COMPARISON.fullmatch(positive) if isinstance(positive, str) else None
    return None if found is None else Comparison(found[1], found[2])


@dataclass(frozen=True)
class Classes:
    """The classes of a target's labels, in their order, and which class each label is (None: its own; of labels that
    are not named, the first).

    ``positive`` is the class that is the last whatever its name, or None.
    """

    names: tuple[str, ...]
    of: Mapping[str, str] | None = None
    positive: str | None = None

    def apply(self, labels: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
        """The class of each label (N,), empty where there is none."""
        if self.of is None:
            return labels
        found, place = np.unique(labels, return_inverse=True)
        named = [self.of.get(w.decode(), self.names[0]).encode() if w else b"" for w in found.tolist()]
        known: NDArray[np.bytes_] = np.array(named, dtype=np.bytes_)
        return known[place.reshape(-1)]


def classes(target: str, labels: Collection[str], positive: Any, ignore_case: bool) -> Classes:
    """The classes of these labels. ``positive`` is a label, several, or None.

    Errors: ``BadInput`` for what is none of the labels, one of more than two, and several that leave none for class 0.
    """
    if positive is None:
        return Classes(label_order(labels, None))
    several = isinstance(positive, tuple)
    wanted = [same_label(p, ignore_case) for p in (positive if several else (positive,))]
    for given, label in zip(positive if several else (positive,), wanted, strict=True):
        if label not in labels:
            hint = ", and a comparison is for a target of numbers" if comparison(given) is not None else ""
            raise BadInput(
                f"positive: the target {target} has no label {given!r}{hint}: {did_you_mean(label, labels)}"
                f"It has {listed(label_order(labels, None))}"
            )
    if not several:
        if len(labels) != 2:
            raise BadInput(
                f"positive is for two classes, the target {target} has {len(labels)}: "
                f"{listed(label_order(labels, None))}; ",
                Option("positive", [positive]),
                " makes two of them, it and all others",
            )
        return Classes(label_order(labels, wanted[0]), positive=wanted[0])
    others = [w for w in labels if w not in wanted]
    if not others:
        raise BadInput(f"positive names all labels of the target {target} ({listed(wanted)}): leave some for class 0")
    this = _joined(label_order(set(wanted), None))
    other = others[0] if len(others) == 1 else "other" if this != "other" else "not other"
    return Classes((other, this), {w: this if w in wanted else other for w in labels}, this)


def _joined(names: Sequence[str]) -> str:
    shown = names if len(names) <= _NAMED + 1 else (*names[:_NAMED], f"{len(names) - _NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
