"""The entry point, and how errors are shown: lines on standard error, never a traceback."""

from __future__ import annotations

import logging
import os
import sys

from foedus.cli import demo, init, look, run, speedup  # noqa: F401  (each adds its commands)
from foedus.cli.app import any_encoding, app, say, warnings


def main() -> None:
    """Run the command line. Errors that a user can act on are lines, and their status is 2, or 1 if a run failed."""
    from foedus.core.errors import BadInput, FoedusError

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
        sys.exit(_said(f"{e.strerror or e}: {e.filename}" if e.filename else str(e), 2))


def _said(error: object, status: int) -> int:
    say(error)
    return status
