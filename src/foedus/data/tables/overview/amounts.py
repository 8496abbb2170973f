"""Numbers that are written as text: amounts with a unit or marks between thousands, and codes that begin with zeros."""

from __future__ import annotations

import unicodedata

from foedus.data.tables.amounts import SHARES, amount
from foedus.data.tables.overview.column import Column
from foedus.data.tables.typed import are_numbers

CURRENCIES = frozenset(
    ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "BRL", "AUD", "CAD")
)
"""Letters that may stand before an amount; before other numbers they make an identifier of it."""
MOST = 0.95
"""The share that has to be amounts, of its different values that are no plain numbers."""


def is_amount(c: Column) -> bool:
    """Whether a column of text is one of numbers with signs that numbers do not have, in one unit."""
    signed = [w for w in c.words if not are_numbers([w])] if c.kind in ("text", "mixed") else []
    found = [(w, a) for w in signed if (a := amount(w, c.decimal)) is not None]
    units = {a.unit for _, a in found}
    named = units - {""}
    if not found or len(found) < MOST * len(signed) or len(named) > 1:
        return False
    if named & SHARES and (len(signed) < len(c.words) or "" in units):
        return False  # 45 % and 0.45 are not one unit
    if any(w[0].isalpha() and a.unit not in CURRENCIES and not _is_symbol(a.unit) for w, a in found):
        return False
    return not all(a.number.startswith("0") and len(a.number) > 1 and "." not in a.number for _, a in found)


def _is_symbol(unit: str) -> bool:
    return bool(unit) and unicodedata.category(unit[-1]) == "Sc"


def leading_zeros(c: Column) -> bool:
    """Whether its numbers are codes such as 01067: digits of one length, of which some begin with a zero."""
    if c.kind != "number" or not all(w.isdecimal() for w in c.words):
        return False
    lengths = {len(w) for w in c.words}
    return len(lengths) == 1 and lengths != {1} and any(w.startswith("0") for w in c.words)
