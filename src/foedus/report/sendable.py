"""Text that may be sent on: a page tells a file by its name, not by where it lies on somebody's machine."""

from __future__ import annotations

import re

# An absolute path in quotes may hold spaces; one outside them ends with the word. A drive's letter begins one, too.
_QUOTED = re.compile(r"""(?P<quote>["'])(?:~|[A-Za-z]:)?[\\/](?:(?!(?P=quote))[^\n])*(?P=quote)""")
_BARE = re.compile(r"""(?<![\w.:/\\~<])(?:~|[A-Za-z]:)?(?:[\\/]+[^\s"'<>|,;:()\[\]\\/]+){2,}[\\/]?""")
_FOLDER = re.compile(r'^folder = "[^"\n]*"\n', re.MULTILINE)


def without_places(said: str) -> str:
    r"""The same with the last part of every absolute path in the place of it.

    >>> without_places("read from /home/anna/trial/site 1.csv") == "read from site 1.csv"
    True
    >>> without_places('path = "/home/anna/my trial/site 1.csv"')
    'path = "site 1.csv"'
    >>> without_places("PosixPath('/srv/data.csv'), 5 rows/second, and/or, mypackage/file.py, https://example.org/a/b")
    "PosixPath('data.csv'), 5 rows/second, and/or, mypackage/file.py, https://example.org/a/b"
    """
    return _BARE.sub(lambda m: _name(m[0]), _QUOTED.sub(lambda m: m["quote"] + _name(m[0][1:-1]) + m["quote"], said))


def without_folder(config: str) -> str:
    """A resolved settings file without the folder that its paths were written from."""
    return _FOLDER.sub("", config)


def _name(path: str) -> str:
    parts = [p for p in re.split(r"[\\/]+", path) if p]
    return parts[-1] if parts else path
