"""``foedus demo``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.app import AsJson, Quiet, Verbose, app, output, print_json, progress, say, tell


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for report.html; written anew each time.")] = Path("foedus-demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Worker processes; 1 runs inline. The model's bits are the same.")
    ] = 1,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train digits across twenty unequal nodes in four ways, and write a page that compares them."""
    from foedus import report
    from foedus.demo import demo as run_demo  # torch takes a second to import: not for --help

    started = time.monotonic()
    try:
        runs = run_demo(out, seed, workers, progress(quiet) if json or quiet else output())
    except KeyboardInterrupt:  # Typer would end without a word
        say("the demo was stopped; no page was written")
        raise typer.Exit(130) from None
    if json:
        print_json({"page": out / "report.html", **report.as_json(runs)})
        return
    # As on the page: where each run is judged, which need not be its last round.
    found = {label: report.interval([run], "accuracy") for label, run in runs.items()}
    quality = {label: 100 * (0.0 if i is None else i.value) for label, i in found.items()}
    tell(
        "",
        f"Each node alone {quality['LocalOnly']:.1f} %, together {quality['FedAvg']:.1f} %, "
        f"all data in one place {quality['Centralized']:.1f} %.  ({time.monotonic() - started:.0f} s)",
    )
    tell(f"The page: {(out / 'report.html').resolve()} (open it in a browser)")
