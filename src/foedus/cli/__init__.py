"""The command line: ``foedus``. Exit status 0, 1 when the run itself failed, 2 on bad input, 130 on Ctrl-C."""

import contextlib
import os
import signal
from typing import Any

__all__ = ["main"]

INTERRUPTED = 130
"""The status of a command that Ctrl-C has ended, as shells have it."""


def main() -> None:
    """Run the command line. Errors that a user can act on are lines, and their status is 2, or 1 if a run failed.

    To import the commands takes longer than anything else that a short command does: Ctrl-C ends that at once.
    """
    with contextlib.suppress(ValueError):  # in a thread, which hears no signals
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, leave)
    from foedus.cli.entry import main as run

    run()


def leave(*_: Any) -> None:
    """On Ctrl-C while nothing is begun that has to be ended in order: say so, and leave."""
    os.write(2, b"foedus: stopped\n")
    os._exit(INTERRUPTED)
