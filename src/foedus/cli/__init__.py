"""The command line: ``foedus``. Exit status 0, 1 when the run itself failed, 2 on bad input."""

from foedus.cli.app import app
from foedus.cli.main import main

__all__ = ["app", "main"]
