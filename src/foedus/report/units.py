"""Numbers as people read them: bytes, seconds, counts, shares."""

from __future__ import annotations

import math

MISSING = "–"
"""What stands where a number is missing (None, NaN or infinite)."""

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


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
    """Seconds as one or two units from ms to days.

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
    if s < 0.9995:
        return f"{three_digits(s * 1000)} ms"
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


def times(more: float, less: float) -> str:
    """How many times ``more`` is ``less`` (> 0), as a word in a sentence.

    >>> times(24.0, 2.0), times(3.0, 2.0)
    ('12 times', '1.5 times')
    """
    ratio = more / less
    return f"{ratio:,.0f} times" if ratio >= 9.95 else f"{ratio:.1f} times".replace(".0 ", " ")
