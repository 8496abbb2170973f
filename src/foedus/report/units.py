"""Numbers as people read them: bytes, seconds, counts, shares."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

MISSING = "–"
"""What stands where a number is missing (None, NaN or infinite)."""

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SECONDS = (("ns", 1e-9), ("\N{MICRO SIGN}s", 1e-6), ("ms", 1e-3))


def finite(x: float | None) -> float | None:
    """The number itself, or None for None, NaN and infinity."""
    return None if x is None or not math.isfinite(x) else float(x)


def three_digits(x: float) -> str:
    """Three significant digits without trailing zeros; very large or small ones as powers of ten.

    >>> three_digits(4.104), three_digits(12.0), three_digits(0.000012)
    ('4.1', '12', '1.2e-05')
    """
    if x == 0:
        return "0"
    if not 1e-4 <= abs(x) < 1e6:
        return f"{x:.3g}"
    places = max(0, 2 - math.floor(math.log10(abs(x))))
    text = f"{x:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def human_bytes(n: float | None) -> str:
    """Bytes in decimal units (1 kB = 1000 B), three significant digits.

    >>> human_bytes(999), human_bytes(4_104_000), human_bytes(999_999)
    ('999 B', '4.1 MB', '1 MB')
    """
    n = finite(n)
    if n is None:
        return MISSING
    unit = 0
    # 999.5 and more would be printed as 1000: that is one of the next unit.
    while abs(n) >= 999.5 and unit < len(_BYTES) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.0f} {_BYTES[unit]}" if unit == 0 else f"{three_digits(n)} {_BYTES[unit]}"


def human_seconds(s: float | None) -> str:
    """Seconds as one or two units from ns to days.

    >>> human_seconds(0.0421), human_seconds(12.345), human_seconds(725), human_seconds(7500)
    ('42.1 ms', '12.3 s', '12 min 5 s', '2 h 5 min')
    """
    s = finite(s)
    if s is None:
        return MISSING
    if s < 0:
        return "-" + human_seconds(-s)
    if s == 0:
        return "0 s"
    for name, size in _SECONDS:
        if s < 0.9995 * 1000 * size:
            return f"{three_digits(s / size)} {name}"
    if s < 59.95:
        return f"{three_digits(s)} s"
    if round(s) < _HOUR:
        return _two(round(s), _MINUTE, "min", 1, "s")
    if round(s / _MINUTE) * _MINUTE < _DAY:
        return _two(round(s / _MINUTE) * _MINUTE, _HOUR, "h", _MINUTE, "min")
    hours = round(s / _HOUR) * _HOUR
    return f"{hours / _DAY:,.0f} d" if hours >= 100 * _DAY else _two(hours, _DAY, "d", _HOUR, "h")


def _two(s: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = s % big // small
    return f"{s // big} {big_name}" + (f" {rest} {small_name}" if rest else "")


def human_count(n: float | None) -> str:
    """A count with thousands separators; fractions keep three significant digits.

    >>> human_count(12345), human_count(2.5)
    ('12,345', '2.5')
    """
    n = finite(n)
    if n is None:
        return MISSING
    return f"{n:,.0f}" if n == int(n) or abs(n) >= 100 else three_digits(n)


def percent(x: float | None, places: int = 1) -> str:
    """A share (0 to 1) in per cent.

    >>> percent(0.9512), percent(0.9, places=0)
    ('95.1 %', '90 %')
    """
    x = finite(x)
    return MISSING if x is None else f"{100 * x:.{places}f} %"


def small(x: float) -> str:
    """A share of which little is left: a decimal below a tenth, and never a 0 that is none.

    >>> small(0.4142), small(0.0312), small(0.0002), small(0.0)
    ('41 %', '3.1 %', 'under 0.1 %', '0 %')
    """
    if 0 < x < 0.0005:
        return "under 0.1 %"
    return percent(x, 0 if x >= 0.0995 or x == 0 else 1)


def times(more: float, less: float) -> str:
    """How many times ``more`` is ``less`` (> 0), as a word in a sentence.

    >>> times(24.0, 2.0), times(3.0, 2.0)
    ('12 times', '1.5 times')
    """
    ratio = more / less
    return f"{ratio:,.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times".replace(".0 ", " ")


def longer(more: float, less: float) -> str:
    """How much longer ``more`` is than ``less`` (> 0), before the name of what took less.

    >>> longer(5.2, 4.0), longer(12.0, 5.0)
    ('30 % longer than', '2.4 times as long as')
    """
    return f"{percent(more / less - 1, 0)} longer than" if more < 1.95 * less else f"{times(more, less)} as long as"


def fewer(more: float, less: float) -> str:
    """How much ``less`` (> 0) is below ``more``, before "less" or "fewer".

    >>> fewer(4.0, 3.0), fewer(12.0, 5.0)
    ('25 %', '2.4 times')
    """
    return percent(1 - less / more, 0) if more < 1.95 * less else times(more, less)


_DECIMALS = re.compile(r"(\D*[\d,]+)(?:\.(\d+))?(.*)")


def even(texts: Sequence[str]) -> tuple[str, ...]:
    """Exact numbers, as those of ticks are, with as many decimals each, where they are of one unit.

    >>> even(["0.75", "0.8", "1"]), even(["1 kB", "2.5 MB"])
    (('0.75', '0.80', '1.00'), ('1 kB', '2.5 MB'))
    """
    found = [_DECIMALS.fullmatch(t) for t in texts]
    parts = [(m[1], m[2] or "", m[3]) for m in found if m is not None]
    if len(parts) < len(texts) or len({unit for _, _, unit in parts}) > 1:
        return tuple(texts)
    places = max((len(decimals) for _, decimals, _ in parts), default=0)
    if not places:
        return tuple(texts)
    return tuple(f"{whole}.{decimals:0<{places}}{unit}" for whole, decimals, unit in parts)


# -- columns of a table ------------------------------------------------------------------------------------------------
# In a column all numbers have one unit and as many decimals, so that they can be compared by eye; where they are too
# far apart for that, each is written by itself.


_WIDEST, _PLACES = 5, 2
"""Digits of a number in a column, and decimals among them, at most."""


def bytes_column(values: Sequence[float | None]) -> list[str]:
    """Bytes, one below the other.

    >>> bytes_column([29_760, 4_634, 0]), bytes_column([5, 7_000_000])
    (['29.8 kB', '4.6 kB', '0 B'], ['5 B', '7 MB'])
    """
    units = [(name, 1000.0**i) for i, name in enumerate(_BYTES)]
    return _column(values, units, human_bytes)


def seconds_column(values: Sequence[float | None]) -> list[str]:
    """Seconds, one below the other; from a minute on each in its own two units.

    >>> seconds_column([0.0803, 0.722]), seconds_column([0.5, 90])
    (['80 ms', '722 ms'], ['500 ms', '1 min 30 s'])
    """
    if any(v is not None and v >= 59.95 for v in map(finite, values)):
        return [human_seconds(v) for v in values]
    return _column(values, [*_SECONDS, ("s", 1.0)], human_seconds)


def counts_column(values: Sequence[float | None]) -> list[str]:
    """Counts and means of counts, one below the other.

    >>> counts_column([20, 400]), counts_column([27.83, 300, 5.154])
    (['20', '400'], ['27.8', '300.0', '5.2'])
    """
    return _column(values, [("", 1.0)], human_count)


def numbers_column(values: Sequence[float | None]) -> list[str]:
    """Numbers without a unit: three digits of the smallest, but no more than two beyond those of the largest.

    >>> numbers_column([0.7241, 0.68086]), numbers_column([53.21, 4.0])
    (['0.724', '0.681'], ['53.21', '4.00'])
    """
    digits = places(values)
    written = []
    for v in map(finite, values):
        if v is None:
            written.append(MISSING)
        else:
            written.append(f"{v:,.{digits}f}" if not v or 1e-6 < abs(v) < 1e6 else three_digits(v))
    return written


def places(values: Sequence[float | None]) -> int:
    """Decimals that a column of such numbers needs: see ``numbers_column``."""
    sizes = [math.floor(math.log10(abs(v))) for v in map(finite, values) if v]
    if not sizes:
        return 0
    return min(8, max(0, min(2 - min(sizes), 4 - max(sizes))))


def _column(
    values: Sequence[float | None], units: Sequence[tuple[str, float]], by_itself: Callable[[float | None], str]
) -> list[str]:
    known = [abs(v) for v in map(finite, values) if v]
    if not known:
        return [by_itself(v) for v in values]
    most = max(known)
    name, size = next((u for u in reversed(units) if most >= 0.9995 * u[1]), units[0])
    digits = _digits([v / size for v in known])
    whole = digits and math.floor(math.log10(most / size))
    if digits > _PLACES or digits + whole > _WIDEST:
        return [by_itself(v) for v in values]
    unit = f" {name}" if name else ""
    return [
        by_itself(v) if v is None or (v == 0 and name) else f"{v / size:,.{digits}f}{unit}" for v in map(finite, values)
    ]


def _digits(values: Sequence[float]) -> int:
    """Decimals for two digits of the smallest and three of the largest, without zeros that all end in."""
    if all(v == int(v) for v in values):
        return 0
    digits = max(1 - math.floor(math.log10(min(values))), 2 - math.floor(math.log10(max(values))), 0)
    while digits and all(f"{v:.{digits}f}".endswith("0") for v in values):
        digits -= 1
    return digits
