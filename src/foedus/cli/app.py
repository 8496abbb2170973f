"""The application that commands are added to, and how everything that they print reaches the terminal.

Names of columns, files, nodes and classes come from elsewhere. Whatever is printed goes through ``output``,
``progress``, ``tell``, ``say``, ``print_json`` or the handler of ``warnings``, and each shows what would act on a
terminal, or hide there, as an escape (``core/text.py``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from foedus.cli import INTERRUPTED
from foedus.core.text import hidden, visible

if TYPE_CHECKING:
    from rich.console import Console

LOG = logging.getLogger("foedus")

_UsageError: Any = typer.BadParameter.__bases__[0]
"""What Typer raises for options and arguments that do not fit; it has no name of its own there."""


class _Commands(TyperGroup):
    """The commands, whose usage errors show the words that were given as all else is shown, and whose end by Ctrl-C is
    said: Typer would leave without a word.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _told():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _told():
            return super().invoke(ctx)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _UsageError as e:
        e.message = visible(e.message, lines=True)
        raise
    except KeyboardInterrupt as e:
        say(str(e) or "stopped")
        raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    name="foedus",
    help="Train one model on many machines, and see what it costs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the file, such as program.fedavg.local.lr=0.1. Repeat it."),
]
Accept = Annotated[
    bool, typer.Option("--accept-changes", help="Go on although the data or settings are not what they were.")
]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Follow import paths in a folder that was not made here: they run code."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and progress on standard error.")]


def _quiet(ctx: typer.Context, wanted: bool) -> bool:
    if wanted:
        _one_of_both(ctx)
        _heard_from(logging.ERROR)
    return wanted


def _verbose(ctx: typer.Context, wanted: bool) -> bool:
    if wanted:
        _one_of_both(ctx)
        _heard_from(logging.INFO)
    return wanted


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_quiet, help="The result and errors only: no progress, no notices.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", callback=_verbose, help="Also what is done meanwhile, why, and how long it takes."),
]


def _one_of_both(ctx: typer.Context) -> None:
    """Errors: of Typer's, if the other of ``--quiet`` and ``--verbose`` was given before."""
    if ctx.params.get("quiet") or ctx.params.get("verbose"):
        raise typer.BadParameter("--quiet and --verbose are opposites: give one of them")


def _heard_from(level: int) -> None:
    """From which level on what the library logs is printed, while this command runs: ``warnings`` undoes it."""
    LOG.setLevel(level)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Say of what is done meanwhile how long it took, to those who want to hear it."""
    started = time.monotonic()
    try:
        yield
    finally:
        if LOG.isEnabledFor(logging.INFO):
            from foedus.report.units import human_seconds

            LOG.info("%s took %s", what, human_seconds(time.monotonic() - started))


def _version(wanted: bool) -> None:
    if wanted:
        from foedus import __version__

        typer.echo(f"foedus {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options before the command."""


def output() -> Console:
    """Where results go."""
    from foedus.report.terminal import SafeConsole

    return SafeConsole()


def progress(quiet: bool) -> Console:
    """Where progress goes: standard error, so that results can be piped."""
    from foedus.report.terminal import SafeConsole

    return SafeConsole(stderr=True, quiet=quiet)


def tell(*lines: str) -> None:
    """Lines on standard output."""
    for line in lines:
        typer.echo(visible(line))


def word(path: Path) -> str:
    """A path as a word of a command that can be copied into a shell."""
    return shlex.quote(visible(str(path)))


def print_json(what: Any) -> None:
    """One JSON document on standard output. NaN and infinity, which JSON lacks, become null."""
    plain = _plain(what)
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    for c in hidden(text):
        if c != "\n":  # in a string it is an escape by now
            text = text.replace(c, json.dumps(c)[1:-1])
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(plain, indent=2)
    typer.echo(text)


def _plain(what: Any) -> Any:
    if isinstance(what, dict):
        return {str(k): _plain(v) for k, v in what.items()}
    if isinstance(what, list | tuple):
        return [_plain(v) for v in what]
    if isinstance(what, float) and what - what != 0.0:
        return None
    return str(what) if isinstance(what, Path) else what


def bad(message: str) -> NoReturn:
    """Errors: ``BadInput``, which is imported only then."""
    from foedus.core.errors import BadInput

    raise BadInput(message)


def say(what: object) -> None:
    """What went wrong or is worth knowing, on standard error: a line, or of an error with several problems one each."""
    lines = [visible(str(problem)) for problem in getattr(what, "problems", (what,))]
    if len(lines) == 1:
        print(f"foedus: {lines[0]}", file=sys.stderr)
        return
    print(f"foedus: {len(lines)} problems", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)


@contextlib.contextmanager
def warnings() -> Iterator[None]:
    """Meanwhile warnings of the library, and of a command that is to be verbose all that it logs, are printed to
    standard error: a warning is a line.
    """
    handler, level = logging.StreamHandler(), LOG.level
    handler.setFormatter(_Shown("foedus: %(message)s"))
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)


class _Shown(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        # What a node's job raised comes with its traceback, in lines, for those who want to hear it.
        return visible(super().formatMessage(record), lines=record.levelno < logging.WARNING)


def any_encoding() -> None:
    """Have standard output and error write an escape for what their encoding lacks, whatever the locale is."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # whoever has put another file in its place meanwhile keeps what it does
                stream.reconfigure(errors="backslashreplace")
