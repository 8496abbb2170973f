"""Errors that a user can act on: each says what was wrong, what was expected and what to do."""

from __future__ import annotations

from typing import Any


class FoedusError(Exception):
    """Any error that foedus raises on purpose."""


class BadInput(FoedusError, ValueError):
    """Something the user gave does not fit: data, a model, a configuration, a folder."""


class ProgramError(FoedusError, RuntimeError):
    """A program broke a rule of its runtime, such as waiting on the wall clock in a simulation."""


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
