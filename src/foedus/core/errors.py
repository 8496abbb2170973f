"""Errors that a user can act on: each says what was wrong, what was expected and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import Any

from foedus.core.advice import Write, message


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that somebody who wrote this word may have meant; case, ``_`` and ``-`` make no difference.

    >>> closest("Trimmed-Maen", ["median", "trimmed_mean"])
    'trimmed_mean'
    """
    by_plain = {plain_name(k): k for k in reversed(list(known))}
    close = difflib.get_close_matches(plain_name(word), by_plain, n=1)
    return by_plain[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'? "``, to stand before what else there is; nothing where no known name is close."""
    close = closest(word, known)
    return "" if close in (None, word) else f"did you mean {close!r}? "


def plain_name(name: str) -> str:
    """A name without what makes no difference.

    >>> plain_name("FedAvg") == plain_name("fed_avg") == plain_name("fed-avg")
    True
    """
    return name.replace("_", "").replace("-", "").lower()


_ADVICE = {
    errno.ENOENT: "there is no such place: look at how it is written, or choose another",
    errno.EEXIST: "something is in its way that is no folder: remove it, or choose another place",
    errno.EISDIR: "it is a folder, and a file is wanted: name another, or remove it",
    errno.ENOTDIR: "what should be a folder on the way to it is a file: choose another place",
    errno.EACCES: "you have no permission: have it given to you, or choose another place",
    errno.EPERM: "you have no permission: have it given to you, or choose another place",
    errno.EROFS: "this file system can only be read: choose another place",
    errno.ELOOP: "it is a link that leads back to itself: remove it, or choose another place",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter one",
    errno.ENOSPC: "the disk is full: make room, or choose another place",
    errno.EDQUOT: "your share of the disk is used up: make room, or choose another place",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
}
"""What is wrong, and what to do, by the system's number."""


def trouble(e: OSError) -> str:
    """What the system refused, in words that say what to do.

    >>> trouble(IsADirectoryError(21, "Is a directory"))
    'it is a folder, and a file is wanted: name another, or remove it'
    """
    return _ADVICE.get(e.errno or 0) or e.strerror or str(e) or type(e).__name__


class FoedusError(Exception):
    """Any error that foedus raises on purpose.

    ``args`` are the parts of its message: text, and the options that it advises to give (``Option``). ``str`` writes
    these as Python does, ``said`` as the place where the error is read does.

    >>> from foedus.core.advice import Option
    >>> str(BadInput("column x holds dates: ", Option("drop", ["x"])))
    "column x holds dates: drop=('x',)"
    """

    def __str__(self) -> str:
        return message(self.args)

    def said(self, write: Write) -> str:
        """The message, its options written in this way."""
        return message(self.args, write)


class BadInput(FoedusError, ValueError):
    """Something the user gave does not fit: data, a model, a configuration, a folder."""


class ProgramError(FoedusError, RuntimeError):
    """A program broke a rule of its runtime, such as waiting on the wall clock in a simulation."""


class NoSuchPart(ProgramError, KeyError):
    """Named tensors were asked for a name that none of them has."""

    __str__ = Exception.__str__  # a KeyError's own puts quotes around a sentence


class NoSuchField(ProgramError, AttributeError):
    """A State was asked for a field that it does not have."""


class Deadlock(ProgramError):
    """Every coroutine waits and nothing is due."""


class WorkerError(FoedusError, RuntimeError):
    """A worker process died or could not be used."""


class RunEnded(FoedusError):
    """A run ended early. ``run`` holds everything up to the last commit."""

    run: Any = None


class NodeFailed(RunEnded):
    """A node's job raised an error and the program asked to stop when that happens. ``log`` is its traceback."""

    log: str = ""


class Diverged(RunEnded, ArithmeticError):
    """Loss or update became NaN or infinite. ``run.vector`` is the last good model."""


class NobodyInTime(RunEnded, BadInput):
    """Round after round no node met the deadline: none ever will, and it has to be raised."""


class StorageFailed(RunEnded):
    """The run's folder cannot be written to, for example because the disk is full. What it held before is whole."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. The run stopped at its last commit; ``run`` holds everything up to it."""

    def __init__(self, message: str, run: Any = None) -> None:
        super().__init__(message)
        self.run = run
