"""Commands, and how errors are shown: one line on standard error, never a traceback."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="foedus",
    help="Train one model on many machines, and see what it costs.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for report.html; written anew each time.")] = Path("foedus-demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Worker processes; 1 runs inline. The model's bits are the same.")
    ] = 1,
) -> None:
    """Train digits across twenty unequal nodes in four ways, and write a page that compares them."""
    from foedus.demo import demo as run_demo  # torch takes a second to import: not for --help

    started = time.monotonic()
    try:
        runs = run_demo(out, seed, workers)
    except KeyboardInterrupt:  # Typer would end without a word
        typer.echo("foedus: the demo was stopped; no page was written", err=True)
        raise typer.Exit(130) from None
    quality = {label: 100 * (run.history[-1].accuracy or 0.0) for label, run in runs.items()}
    typer.echo(
        f"\nEach node alone {quality['LocalOnly']:.1f} %, together {quality['FedAvg']:.1f} %, "
        f"all data in one place {quality['Centralized']:.1f} %.  ({time.monotonic() - started:.0f} s)"
    )
    typer.echo(f"The page: {(out / 'report.html').resolve()}")


def main() -> None:
    """Run the command line. Errors that a user can act on are one line."""
    from foedus.core.errors import BadInput, FoedusError

    try:
        app()
    except BadInput as e:
        sys.exit(_say(e, 2))
    except FoedusError as e:
        sys.exit(_say(e, 1))
    except KeyboardInterrupt as e:
        sys.exit(_say(str(e) or "stopped", 130))
    except OSError as e:
        sys.exit(_say(f"{e.strerror or e}: {e.filename}" if e.filename else str(e), 2))


def _say(error: object, status: int) -> int:
    print(f"foedus: {error}", file=sys.stderr)
    return status
