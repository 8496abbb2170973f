"""On which line of a TOML text each value stands. ``tomllib`` gives the values and no lines."""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_left

from foedus.plain.places import Path

_SPACE = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
# Longest first: three quotes before one. A text in three quotes may end in one or two quotes of its own.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2}(?!"))|' + r"'''.*?'''(?:'{0,2}(?!'))|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'",
    re.DOTALL,
)


def lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table, key and list element of a text that ``tomllib`` has read without an error.

    >>> lines("a = 1\\n[b]\\nc = [{ d = 2 },\\n  3]")[("b", "c", 1)]
    4
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with contextlib.suppress(ValueError, IndexError):  # of a later TOML that tomllib knows: a line less, no more
        scanner.scan()
    return scanner.found


class _Scanner:
    """Reads on from ``at``. That the text is valid TOML is known, so it only has to find where things begin and end."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[Path, int] = {}
        self._ends = [m.start() for m in re.finditer("\n", text)]
        self._elements: dict[Path, int] = {}  # of every array of tables, how many there are so far

    def scan(self) -> None:
        """Find everything."""
        table: Path = ()
        while self._skip(_SPACE) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        line = self._line()
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        keys = self._keys()
        self.at += 2 if array else 1
        path: Path = ()
        for i, key in enumerate(keys):
            path += (key,)
            if array and i == len(keys) - 1:
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:  # a header means the last element so far
                self.found.setdefault(path, line)
                path += (self._elements[path] - 1,)
            self.found.setdefault(path, line)
        self.found[path] = line  # its own header rather than one of a table in it
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path += (key,)
            self.found.setdefault(path, line)
        if self.text[self.at] != "=":
            raise ValueError(f"no key and value in line {self._line()}")  # rather than look at one place for ever
        self.at += 1
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "[{":
            self.at += 1
            element = 0
            while self._skip(_SPACE) < len(self.text) and self.text[self.at] not in "]}":
                if first == "{":
                    self._pair(path)
                else:
                    self.found[(*path, element)] = self._line()
                    self._value((*path, element))
                    element += 1
            self.at += 1
        else:
            self._skip(_STRING if first in "\"'" else _SCALAR)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            start = self.at
            if self.text[start] in "\"'":
                self._skip(_STRING)
                keys.append(str(tomllib.loads(f"k = {self.text[start : self.at]}")["k"]))
            else:
                self._skip(_BARE_KEY)
                keys.append(self.text[start : self.at])
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return self.at

    def _line(self) -> int:
        return bisect_left(self._ends, self.at) + 1
