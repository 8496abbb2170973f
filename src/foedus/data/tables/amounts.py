"""Numbers as people write them into cells: with a currency or another unit, with marks between thousands."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from foedus.data.tables.arrow import NUMBER

SHARES = frozenset("%\u2030")
"""Units that make another number of one that has none."""
_MINUS = str.maketrans("\u2212\u2019\u00a0\u202f\u2009", "-'   ")
"""A printed minus and apostrophe, spaces that do not break."""
_PARTS = re.compile(r"(?P<before>\D*?)(?P<number>[.,]?\d(?:[\d.,' _]*\d)?)(?P<after>\D*)")


@dataclass(frozen=True)
class Amount:
    """A plain number as text, and the unit that stood beside it ("" for none)."""

    number: str
    unit: str


def amount(word: str, decimal: str = ".") -> Amount | None:
    """What a cell says that may have a unit and marks between thousands; None for what is no amount.

    ``decimal`` is the decimal mark, and says thereby which mark divides thousands. A share such as 45 % is 45.

    >>> amount("-$1,234.50"), amount("1.234,50 EUR", ","), amount("45%"), amount("1,23")
    (Amount(number='-1234.50', unit='$'), Amount(number='1234.50', unit='EUR'), Amount(number='45', unit='%'), None)
    """
    word = word.translate(_MINUS).strip()
    if decimal == "." and NUMBER.fullmatch(word):
        return Amount(word, "")
    found = _PARTS.fullmatch(word)
    if found is None:
        return None
    before, after = found["before"].strip(), found["after"].strip()
    sign, before = ("-" if "-" in before else ""), before.replace("-", "", 1).replace("+", "", 1).strip()
    number = _plain(found["number"], decimal)
    if number is None or (before and (after or not _goes_before(before))) or (after and not _goes_after(after)):
        return None
    return Amount(sign + number, before or after)


def value(word: str) -> float | None:
    """The number that a text is; None for other texts, and for a code that begins with zeros such as ``007``."""
    return float(word) if NUMBER.fullmatch(word) and not re.match(r"[+-]?0\d", word) else None


def _plain(number: str, decimal: str) -> str | None:
    """Without marks between thousands, which stand between groups of three digits and are all the same."""
    mark = r"[,' _]" if decimal == "." else r"[.' _]"
    point = re.escape(decimal)
    if not re.fullmatch(rf"(\d{{1,3}}({mark})\d{{3}}(\2\d{{3}})*|\d*)({point}\d+)?", number):
        return None
    return re.sub(mark, "", number).replace(decimal, ".")


def _is_symbol(unit: str) -> bool:
    return unit in SHARES or unicodedata.category(unit[-1]) == "Sc"


def _goes_before(unit: str) -> bool:
    """A currency by its symbol or code: $, US$, EUR."""
    return _is_symbol(unit) or re.fullmatch(r"[A-Z]{3}", unit) is not None


def _goes_after(unit: str) -> bool:
    """A symbol, or a word: kg, mg/dl, years."""
    return _is_symbol(unit) or re.fullmatch(r"[^\W\d_]{1,12}\.?(/[^\W\d_]{1,12})?", unit) is not None
