"""The application that commands are added to, and what they share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="foedus",
    help="Train one model on many machines, and see what it costs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the file, such as program.fedavg.local.lr=0.1. Repeat it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and progress on standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


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
    from rich.console import Console

    return Console(highlight=False)


def progress(quiet: bool) -> Console:
    """Where progress goes: standard error, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False)


def print_json(what: Any) -> None:
    """One JSON document on standard output. NaN and infinity, which JSON lacks, become null."""
    typer.echo(json.dumps(_plain(what), indent=2, ensure_ascii=False))


def _plain(what: Any) -> Any:
    if isinstance(what, dict):
        return {str(k): _plain(v) for k, v in what.items()}
    if isinstance(what, list | tuple):
        return [_plain(v) for v in what]
    if isinstance(what, float) and what - what != 0.0:
        return None
    return str(what) if isinstance(what, Path) else what


def say(text: object) -> None:
    """One line, or several, of what went wrong or is worth knowing, on standard error."""
    lines = str(text).splitlines()
    if len(lines) == 1:
        print(f"foedus: {lines[0]}", file=sys.stderr)
        return
    print(f"foedus: {len(lines)} problems", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)
