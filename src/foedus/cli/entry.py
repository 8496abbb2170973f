"""The command line from its first command to its last word: errors are lines on standard error, never a traceback."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from foedus.cli import INTERRUPTED, attack, demo, init, leave, look, run, speedup  # noqa: F401  (each adds its commands)
from foedus.cli.app import any_encoding, app, say, timed, warnings
from foedus.core.interrupts import heard_once, in_main_thread

if TYPE_CHECKING:
    from foedus.core.errors import FoedusError


def main() -> None:
    """Run the command that the process was given."""
    any_encoding()
    with warnings(), timed("the command"):
        _run()


def _run() -> None:
    from foedus.core.errors import BadInput, FoedusError, trouble

    try:
        with _interrupts():
            app()
    except BadInput as e:
        sys.exit(_said(_as_options(e), 2))
    except FoedusError as e:
        sys.exit(_said(_as_options(e), 1))
    except KeyboardInterrupt as e:
        sys.exit(_said(str(e) or "stopped", INTERRUPTED))
    except BrokenPipeError:  # whoever read us has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as e:
        sys.exit(_said(_where(e) + trouble(e), 2))
    except UnicodeEncodeError as e:  # where the locale's encoding lacks what is to be written
        lacking = f"{e.object[e.start : e.end]!a} cannot be written as {e.encoding}"
        sys.exit(_said(f"{lacking}: set PYTHONUTF8=1", 2))
    except UnicodeError as e:
        sys.exit(_said(f"what was read is no text: {e}", 2))
    except (MemoryError, RuntimeError) as e:
        from foedus.data.memory import available, gib, is_shortage

        if not is_shortage(e):
            raise
        limit = gib(available())
        sys.exit(_said(f"memory ran out (this process can have {limit}): take fewer rows, nodes or a smaller model", 1))


def _hear(number: int, frame: FrameType | None) -> None:
    """A ``KeyboardInterrupt``; or, until torch is imported and so before any run has begun, the end at once: in the
    middle of a library's import somebody may catch whatever is raised, and the command would go on.
    """
    torch = sys.modules.get("torch")
    if torch is None or getattr(getattr(torch, "__spec__", None), "_initializing", False):
        leave()
    signal.default_int_handler(number, frame)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Meanwhile Ctrl-C is a ``KeyboardInterrupt``; before, it ends the process at once.

    After it all is done or said, and a Ctrl-C more shall not end Python's own end with a traceback.
    """
    if not in_main_thread() or not callable(signal.getsignal(signal.SIGINT)):  # a shell's "&" has it ignored
        yield
        return
    try:
        signal.signal(signal.SIGINT, _hear)
        with heard_once():
            yield
    finally:
        signal.signal(signal.SIGINT, lambda *_: None)  # to be ignored is what children would inherit
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # Python's last steps hear no handlers of its own


def _as_options(e: FoedusError) -> object:
    """What an error says, the options that it advises written as this command line takes them."""
    from foedus.experiment.advice import in_set

    return e if hasattr(e, "problems") else e.said(lambda option: in_set(option, {}))


def _where(e: OSError) -> str:
    """The file that it is about, as far as the system says: of a name as long as a page, its two ends."""
    if e.filename is None:
        return "a file that was asked for: " if e.errno is not None else ""
    name = os.fsdecode(e.filename) if isinstance(e.filename, bytes) else str(e.filename)
    return f"{name if len(name) <= 200 else f'{name[:90]}...{name[-90:]}'}: "


def _said(error: object, status: int) -> int:
    say(error)
    return status
