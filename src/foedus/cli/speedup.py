"""``foedus speedup``: what is faster with more processes on this machine, and what would be with more machines."""

from __future__ import annotations

from dataclasses import replace
from json import dumps as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.cli.app import AsJson, Quiet, Sets, Verbose, app, output, print_json, progress, say, tell
from foedus.core.records.nearby import USUAL

if TYPE_CHECKING:
    from foedus.report.speedup import Found

FILES = ("speedup.json", "speedup.csv", "speedup.png", "speedup.html")


@app.command()
def speedup(
    file: Annotated[Path, typer.Argument(help="An experiment with sync_sgd or fedavg; its rows are divided anew.")],
    processes: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="How many processes, such as 1,2,4; by default up to twice the cores."),
    ] = None,
    exchange: Annotated[
        str, typer.Option(metavar="NAMES", help="How answers become one: server, tree, ring, gloo; or several.")
    ] = "server",
    wire: Annotated[
        str, typer.Option(metavar="NAMES", help="What bytes go over: shared (memory), sockets (TCP); or both.")
    ] = "shared",
    rounds: Annotated[int, typer.Option(help="Rounds of every run that are counted.")] = 15,
    nodes_max: Annotated[
        int, typer.Option("--nodes-max", help="How far the simulator goes on; 0 leaves it out.")
    ] = 1024,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results; runs/NAME-speedup by default.")
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how much faster real processes are than one, against laws, a cost model and the machine's own limit."""
    from foedus import experiment
    from foedus.core.errors import FoedusError
    from foedus.experiment.study import next_free
    from foedus.report import speedup as report
    from foedus.speedup.measurement import Measurement, Plan
    from foedus.speedup.subject import subject

    plan = Plan(exchanges=_names(exchange), wires=_names(wire), rounds=rounds, nodes_max=nodes_max)
    if processes is not None:
        plan = replace(plan, processes=_numbers(processes))
    measured = subject(experiment.read(file, sets or []))
    folder = out if out is not None else next_free(f"{measured.name}-speedup", USUAL)
    _check(folder)
    told = progress(quiet)
    measurement = Measurement(measured, plan, lambda line: told.print(line, soft_wrap=True, markup=False))
    ended: BaseException | None = None
    try:
        measurement.run()
    except (KeyboardInterrupt, FoedusError) as e:
        ended = e
    found = measurement.found()
    if found is None:
        if isinstance(ended, FoedusError):
            raise ended
        say("stopped before anything was measured: nothing was written")
        raise typer.Exit(130)
    page = _write(found, folder)
    if json:
        print_json(report.as_json(found) | {"out": str(folder)})
    else:
        output().print(report.show(found))
        tell("", f"The page: {page.resolve()}")
    if ended is not None:
        say(f"stopped: {folder} has what was measured by then")
        if isinstance(ended, FoedusError):
            raise ended
        raise typer.Exit(130)


def _numbers(text: str) -> tuple[int, ...]:
    from foedus.core.errors import BadInput

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--processes takes whole numbers such as 1,2,4; got {text!r}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))


def _check(folder: Path) -> None:
    """Before minutes of measuring: that there will be a place for what they find."""
    from foedus.core.errors import BadInput
    from foedus.core.records.place import check_new_folder

    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: --out names a folder")
    if any((folder / name).exists() for name in FILES):
        raise BadInput(f"{folder} already holds a measurement: choose another folder, or remove it")
    if not folder.is_dir():
        check_new_folder(folder, "choose another folder")


def _write(found: Found, folder: Path) -> Path:
    from foedus.report import speedup as report
    from foedus.report.files import write_whole

    # No number here can be NaN or infinite: Found has None for what is not known.
    written = to_json(report.as_json(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(folder / "speedup.json", written.encode(), "the measurement")
    write_whole(folder / "speedup.csv", report.as_csv(found).encode(), "the measurement")
    report.plot(found, folder / "speedup.png")
    return report.page(found, folder / "speedup.html")
