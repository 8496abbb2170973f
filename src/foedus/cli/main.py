"""The entry point, and how errors are shown: lines on standard error, never a traceback."""

from __future__ import annotations

import logging
import os
import sys

from foedus.cli import demo, init, look, run, speedup  # noqa: F401  (each adds its commands)
from foedus.cli.app import any_encoding, app, say, warnings


def main() -> None:
    """Run the command line. Errors that a user can act on are lines, and their status is 2, or 1 if a run failed."""
    from foedus.core.errors import BadInput, FoedusError, trouble

    any_encoding()
    logging.getLogger("foedus").addHandler(warnings())
    try:
        app()
    except BadInput as e:
        sys.exit(_said(e, 2))
    except FoedusError as e:
        sys.exit(_said(e, 1))
    except KeyboardInterrupt as e:
        sys.exit(_said(str(e) or "stopped", 130))
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


def _where(e: OSError) -> str:
    """The file that it is about, as far as the system says: of a name as long as a page, its two ends."""
    if e.filename is None:
        return "a file that was asked for: " if e.errno is not None else ""
    name = os.fsdecode(e.filename) if isinstance(e.filename, bytes) else str(e.filename)
    return f"{name if len(name) <= 200 else f'{name[:90]}...{name[-90:]}'}: "


def _said(error: object, status: int) -> int:
    say(error)
    return status
