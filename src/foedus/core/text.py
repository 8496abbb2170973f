"""Text from elsewhere (names of columns, files, nodes, classes) as it may be shown: nothing in it acts or hides.

A terminal obeys control codes, bidirectional marks reorder what is read, and letters without a width make two names
look alike (Unicode Technical Report 36; "Trojan Source", Boucher and Anderson, 2021, CVE-2021-42574).
"""

from __future__ import annotations

import re

_BLANK = "\u115f\u1160\u3164\uffa0"
"""Letters, by their category, that are shown as nothing."""

# C0, DEL and C1; what Unicode calls format characters (Cf), tags included; line and paragraph separators; surrogates.
_HIDDEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    f"\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f{_BLANK}]"
)

# Persian, the scripts of India, and emoji join letters by these; between any others they only hide.
_JOINS = re.compile("[\u200c\u200d]")
_JOINED = re.compile("[\u0620-\u08ff\u0900-\u0fff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")


def visible(text: str, lines: bool = False) -> str:
    r"""The text with an escape for each character that would not be seen as what it is; ``lines``: new lines stay.

    An undecodable byte of a file's name is shown as that byte. What has been made visible stays as it is.

    >>> visible("red\x1b[31m\u202egnp.exe"), visible("caf\N{LATIN SMALL LETTER E WITH ACUTE} \udcff\n")
    ('red\\x1b[31m\\u202egnp.exe', 'café \\xff\\n')
    """

    def shown(match: re.Match[str]) -> str:
        c, at = match[0], match.start()
        if lines and c == "\n":
            return c
        if _JOINS.match(c) and _JOINED.match(text, at - 1) and _JOINED.match(text, at + 1) and at:
            return c
        if "\udc80" <= c <= "\udcff":
            return f"\\x{ord(c) - 0xDC00:02x}"
        if "\ud800" <= c <= "\udfff":
            return f"\\u{ord(c):04x}"
        return c.encode("unicode_escape").decode()

    return _HIDDEN.sub(shown, text)


def readable(file: str) -> str:
    r"""What a file's name is called where a text is wanted: bytes of it that are no UTF-8 are written as such.

    >>> readable("caf\udce9.csv")
    'caf\\xe9.csv'
    """
    return re.sub("[\ud800-\udfff]", lambda surrogate: visible(surrogate[0]), file)


def hidden(text: str) -> list[str]:
    """The characters that ``visible`` may replace, each once."""
    return sorted(set(_HIDDEN.findall(text)))
