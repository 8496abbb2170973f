"""``foedus attack``: what dishonest nodes can do to a file's program, and which rule stops them at what price."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from foedus.cli.app import (
    Accept,
    AllowCode,
    AsJson,
    Quiet,
    Sets,
    Verbose,
    app,
    bad,
    output,
    print_json,
    progress,
    say,
    tell,
    timed,
    word,
)
from foedus.core.records.nearby import USUAL

if TYPE_CHECKING:
    from foedus.experiment.study import Study
    from foedus.report.attack import Found


@app.command()
def attack(
    file: Annotated[Path | None, typer.Argument(help="An experiment; its [attack] says more than options can.")] = None,
    attacks: Annotated[
        str | None, typer.Option(metavar="NAMES", help="What dishonest nodes do, such as sign_flip,alie.")
    ] = None,
    rules: Annotated[
        str | None, typer.Option(metavar="NAMES", help="What joins updates in turn, such as mean,median,krum.")
    ] = None,
    nodes: Annotated[
        str | None, typer.Option(metavar="WHICH", help="Dishonest nodes: a share (0.2), how many (4), or names (a,b).")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds; 3 by default.")] = None,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for all runs; runs/NAME-attack by default.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on in this folder, with what is missing.")] = None,
    allow_code: AllowCode = False,
    accept_changes: Accept = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a program under every attack and every rule, and with honest nodes: what breaks it, and what holds."""
    if (file is None) == (resume is None):
        raise typer.BadParameter("give the FILE of an experiment, or --resume FOLDER to go on with a trial")
    options = _options(attacks, rules, nodes, seeds)
    if resume is not None:
        given = [f"--{name}" for name in options] + ["--set"] * bool(sets) + ["--out"] * (out is not None)
        if given:
            bad(f"{given[0]} is for a new trial: one that is resumed stays as it was begun")
        study = _trial(resume, allow_code)
        conduct(study, json, quiet, accept_changes)
        return
    if accept_changes:
        bad("--accept-changes is for a trial that goes on: give --resume FOLDER")
    assert file is not None
    conduct(_begun(file, sets or [], options, out, quiet), json, quiet)


def _begun(file: Path, sets: list[str], options: dict[str, Any], out: Path | None, quiet: bool) -> Study:
    from foedus import saved
    from foedus.experiment.made_here import remember
    from foedus.experiment.study import Study, next_free
    from foedus.experiment.trial import trials

    with timed("reading the file and its data"):
        cases, plan = trials(file, sets, options)
    folder = out if out is not None else next_free(f"{plan.name}-attack", USUAL)
    with timed("checking every case with its data"):
        study = Study.begin(cases, folder, plan)
    told = progress(quiet)
    for sentence in (*study.rows, *plan.unfit):
        told.print(sentence, soft_wrap=True, markup=False)
    told.print(
        f"{len(cases)} runs: {len(plan.rules)} rules, {len(plan.attacks)} attacks and none, {len(plan.seeds)} seeds; "
        f"{plan.dishonest} of {plan.nodes:,} nodes are dishonest. They go to {folder}",
        soft_wrap=True,
        markup=False,
    )
    if any(case.experiment.names_code for case in cases):
        remember((folder / saved.STUDY).read_bytes(), *(m.config.encode() for m in study.members))
    return study


def _options(attacks: str | None, rules: str | None, nodes: str | None, seeds: int | None) -> dict[str, Any]:
    """What was given, as fields of ``[attack]``."""
    given: dict[str, Any] = {}
    if attacks is not None:
        given["attacks"] = _listed(attacks)
    if rules is not None:
        given["rules"] = _listed(rules)
    if nodes is not None:
        given["nodes"] = _which(nodes)
    if seeds is not None:
        given["seeds"] = seeds
    return given


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _which(text: str) -> Any:
    """A share, a number, or a list of names and ids."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return [int(part) if part.isdecimal() else part for part in _listed(text)]


def trial_in(folder: Path, allow_code: bool = False) -> Study | None:
    """The trial of attacks that a folder holds; None if it holds something else."""
    from foedus import saved

    if not (folder / saved.STUDY).exists():
        return None
    from foedus.experiment.made_here import made_here
    from foedus.experiment.study import Study

    study = Study.open(folder, allow_code or made_here((folder / saved.STUDY).read_bytes()))
    return None if study.trial is None else study


def _trial(folder: Path, allow_code: bool) -> Study:
    """The trial in a folder. Errors: ``BadInput`` for one that holds none."""
    from foedus import saved
    from foedus.experiment.instead import what_is

    study = trial_in(folder, allow_code)
    if study is None and what_is(folder) == "run":
        bad(f"{folder} holds no trial of attacks: foedus run --resume {word(folder)} goes on with it")
    if study is None:
        raise saved.no_run(folder)
    return study


def conduct(study: Study, json: bool, quiet: bool, accept_changes: bool = False) -> None:
    """Run what is missing, print what was found, and write its page."""
    from foedus import report

    labels = [m.label for m in study.members]
    try:
        with report.LiveTable(labels, progress(quiet), cases=len(labels)) as table, timed("running the cases"):
            outcome = study.conduct(table, accept_changes)
        found = study.found(outcome)
        with timed("the page"):
            page = write_tried(found, study.folder / "report.html")
        say_tried(found, json, None if json else page)
    except KeyboardInterrupt:
        _interrupted(study.folder)


def write_tried(found: Found, path: Path) -> Path:
    """Its page; ``path`` is a file that ends in ``.html``, or a folder."""
    from foedus.report import attack as report

    return report.page(found, path if path.suffix.lower() in (".html", ".htm") else path / "report.html")


def say_tried(found: Found, json: bool, page: Path | None = None) -> None:
    """Print it; ``page`` is where its page was written."""
    from foedus.report import attack as report

    if json:
        print_json(({} if page is None else {"page": str(page)}) | report.as_json(found))
        return
    output().print(report.show(found))
    if page is not None:
        tell("", f"The page: {page.resolve()}")


def _interrupted(folder: Path) -> NoReturn:
    say(f"stopped; go on with: foedus attack --resume {word(folder)}")
    raise typer.Exit(130)
