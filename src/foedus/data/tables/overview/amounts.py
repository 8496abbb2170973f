"""Numbers that are written as text: amounts with a currency or marks between thousands, shares with a percent sign."""

from __future__ import annotations

import re

from foedus.data.tables.overview.column import Column
from foedus.data.tables.typed import are_numbers

_UNIT = r"[$€£¥₹₽]|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|BRL|AUD|CAD"
_AMOUNT = re.compile(rf"[+-]?\s*(?:{_UNIT})?\s*\d{{1,3}}(?:[ ,.'\u00a0\u202f]?\d{{3}})*(?:[.,]\d+)?\s*(?:%|{_UNIT})?")
MOST = 0.95
"""The share that has to be amounts, of its different values that are no plain numbers."""


def is_amount(c: Column) -> bool:
    """Whether a column of text is one of numbers, written with signs that numbers do not have."""
    if c.kind not in ("text", "mixed") or not c.words:
        return False
    signed = [w for w in c.words if not are_numbers([w])]
    return sum(_AMOUNT.fullmatch(w) is not None for w in signed) >= MOST * len(signed)


def leading_zeros(c: Column) -> bool:
    """Whether its numbers are codes such as 01067: digits of one length, of which some begin with a zero."""
    if c.kind != "number" or not all(w.isdecimal() for w in c.words):
        return False
    lengths = {len(w) for w in c.words}
    return len(lengths) == 1 and lengths != {1} and any(w.startswith("0") for w in c.words)
