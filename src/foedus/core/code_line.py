"""Code line: which line of somebody's code something was asked on, for an error that is his to mend."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from types import CodeType, FrameType, TracebackType

_CORE = os.path.dirname(__file__) + os.sep
_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep
_CELL = re.compile(r"[/\\]ipykernel_\d+[/\\]|^<ipython-input")


def of_others(file: str) -> bool:
    """Whether a file is neither the core's nor asyncio's: a program's, a job's, a notebook's."""
    return not file.startswith((_CORE, _ASYNCIO))


def place(file: str, line: int) -> str:
    """A line as an error begins with it: ``mine.py:14``, from here if the file is below; or of a notebook's cell."""
    if _CELL.search(file):
        return f"line {line} of the cell"
    here = os.path.relpath(file) if os.path.isabs(file) and os.path.splitdrive(file)[0] == "" else file
    return f"{file if here.startswith(os.pardir) else here}:{line}"


def calling_line() -> str:
    """The innermost line that is not the core's, of those that run now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_back is not None and not of_others(frame.f_code.co_filename):
        frame = frame.f_back
    assert frame is not None
    return place(frame.f_code.co_filename, frame.f_lineno)


def raising_line(trace: TracebackType | None) -> str:
    """The innermost line that is not the core's, of those that an error came through; empty if there is none."""
    found = ""
    while trace is not None:
        code: CodeType = trace.tb_frame.f_code
        if of_others(code.co_filename):
            found = place(code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return found
