"""``foedus run``, ``foedus compare`` and ``foedus reproduce``: files become runs, one or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from foedus.cli.app import (
    LOG,
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
from foedus.cli.attack import conduct
from foedus.core.records.nearby import USUAL

if TYPE_CHECKING:
    from foedus.core.errors import RunEnded
    from foedus.core.types.data import FederatedDataset
    from foedus.experiment import Case, Experiment
    from foedus.experiment.study import Outcome, Study
    from foedus.training import Run

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for what the run leaves; runs/NAME by default.")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Go on in this folder, from its last checkpoint.")]
Networks = Annotated[
    str | None,
    typer.Option("--networks", metavar="NAMES", help="Run every case on each of these: lan,wan,mobile; or all."),
]

CASES = 6
"""Cases of a comparison that an error names."""


@app.command()
def run(
    file: Annotated[Path | None, typer.Argument(help="An experiment, such as foedus init writes.")] = None,
    sets: Sets = None,
    networks: Networks = None,
    out: Out = None,
    resume: Resume = None,
    allow_code: AllowCode = False,
    accept_changes: Accept = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the experiment of a file, with its sweep if it has one; or go on with one that was stopped."""
    if (file is None) == (resume is None):
        raise typer.BadParameter("give the FILE of an experiment, or --resume FOLDER to go on with a run")
    _only_to_go_on(accept_changes, resume)
    from foedus import experiment

    if resume is not None:
        _go_on(resume, sets or [], networks, out, allow_code, accept_changes, json, quiet)
        return
    assert file is not None
    cases = _placed(experiment.expand(file, sets or []), networks)
    if len(cases) == 1:
        [case] = cases
        _one(case.experiment, _folder(out, case.experiment.name, quiet), False, json, quiet)
    else:
        _many(cases, _folder(out, cases[0].experiment.name, quiet), json, quiet)


@app.command()
def compare(
    files: Annotated[list[Path] | None, typer.Argument(help="Experiments; each may have a sweep.")] = None,
    sets: Sets = None,
    networks: Networks = None,
    out: Out = None,
    resume: Resume = None,
    allow_code: AllowCode = False,
    accept_changes: Accept = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run several experiments, or a sweep, one after the other, and write one page that compares them."""
    if bool(files) == (resume is not None):
        raise typer.BadParameter("give the FILES of experiments, or --resume FOLDER to go on with a comparison")
    _only_to_go_on(accept_changes, resume)
    if resume is not None:
        _go_on(resume, sets or [], networks, out, allow_code, accept_changes, json, quiet)
        return
    from foedus import experiment

    assert files is not None
    _many(_placed(experiment.expand_all(files, sets or []), networks), _folder(out, files[0].stem, quiet), json, quiet)


@app.command()
def reproduce(
    folder: Annotated[Path, typer.Argument(help="The folder of a run that was made from a file.")],
    allow_code: AllowCode = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run again what a folder says, and compare: exit status 0 if the model's bits are the same, else 1."""
    from foedus import AfterCommits, report
    from foedus.core.records.origin import differences, origin
    from foedus.experiment.instead import check_is
    from foedus.training import Run

    _one_run(folder)
    check_is("run", folder)
    before = Run.load(folder)
    if not before.history:
        bad(f"{folder} has no commit yet: there is nothing to reproduce")
    again_of = _experiment(folder, [], allow_code)
    with timed("reading and dividing the data"):
        data = again_of.data()
    elsewhere = differences(before.origin, origin(data))
    for difference in elsewhere:
        LOG.warning("%s", difference)
    commits = len(before.history)
    with report.LiveTable([again_of.name], progress(quiet)) as table:
        row = table.row(again_of.name, commits)
        again = again_of.train(progress=row.update, data=data, stop=[AfterCommits(commits)])
        row.finish(again)
    same = again.sha256 == before.sha256
    first = next((a.round for a, b in zip(before.history, again.history, strict=False) if a.loss != b.loss), None)
    if json:
        print_json(
            {
                "same": same,
                "sha256": {"before": before.sha256, "again": again.sha256},
                "commits": commits,
                "first_difference": first,
                "differences": elsewhere,
            }
        )
    elif same:
        tell(f"the same bits after {commits} rounds: SHA-256 {again.sha256}")
    else:
        where = "" if first is None else f"; the loss differs from round {first} on"
        tell(f"not the same: SHA-256 {before.sha256} before, {again.sha256} now{where}")
    raise typer.Exit(0 if same else 1)


def _one_run(folder: Path) -> None:
    """Errors: ``BadInput`` for the folder of a comparison, which names its cases."""
    from foedus import saved
    from foedus.experiment.study import Study

    if not (folder / saved.STUDY).exists():
        return
    cases = [folder / m.folder for m in Study.open(folder).members]
    listed = ", ".join(c.name for c in cases[:CASES]) + (f" and {len(cases) - CASES} more" * (len(cases) > CASES))
    bad(
        f"{folder} is a comparison, and one run at a time is reproduced, such as: foedus reproduce {word(cases[0])}. "
        f"Its cases are {listed}"
    )


def _folder(out: Path | None, name: str, quiet: bool) -> Path:
    """Where a run goes: where it was told to, or to a folder of its name that is still free, which is said."""
    from foedus.experiment.study import folder_name, next_free

    if out is not None:
        return out
    folder = next_free(name, USUAL)
    if folder.name != folder_name(name):
        taken = USUAL / folder_name(name)
        progress(quiet).print(f"{taken} is there already: this one goes to {folder}", soft_wrap=True)
    return folder


def _experiment(folder: Path, sets: list[str], allow_code: bool) -> Experiment:
    """What a folder says was run. Errors: ``BadInput``, also for code in a folder from elsewhere."""
    from foedus import saved
    from foedus.core.records.folder import ABOUT
    from foedus.experiment.document import from_file
    from foedus.experiment.made_here import made_here

    file = folder / saved.CONFIG
    if not file.is_file() and not (folder / ABOUT).is_file():
        raise saved.no_run(folder)
    if not file.is_file():
        bad(f"{folder} does not say what was run ({saved.CONFIG} is missing): was it made by foedus run?")
    return from_file(file, sets, code=allow_code or made_here(file.read_bytes())).experiment()


def _placed(cases: list[Case], networks: str | None) -> list[Case]:
    """The cases on each of the networks, if any are asked for."""
    if networks is None:
        return cases
    from foedus.experiment import on_networks
    from foedus.network import PRESETS

    names = [name.strip().lower() for name in networks.split(",")]
    if names == ["all"]:
        names = list(PRESETS)
    return on_networks(cases, list(dict.fromkeys(names)))


def _only_to_go_on(accept_changes: bool, resume: Path | None) -> None:
    if accept_changes and resume is None:
        bad("--accept-changes is for a run that goes on: give --resume FOLDER")


def _go_on(
    folder: Path,
    sets: list[str],
    networks: str | None,
    out: Path | None,
    allow_code: bool,
    accept_changes: bool,
    json: bool,
    quiet: bool,
) -> None:
    from foedus import saved
    from foedus.experiment import to_toml
    from foedus.experiment.instead import check_is
    from foedus.experiment.made_here import made_here
    from foedus.experiment.sets import parse_set
    from foedus.experiment.study import Study
    from foedus.experiment.unchanged import check_unchanged

    if networks is not None:
        bad("--networks is for a new run: what is resumed stays on the networks that it was begun on")
    if out is not None:
        bad("--out is for a new run: one that is resumed goes on in its own folder")
    check_is("run", folder)
    if not folder.is_dir():
        raise saved.no_run(folder)
    if (folder / saved.STUDY).exists():
        if sets:
            bad("--set is for a single run: the cases of a comparison stay what they were begun as")
        code = allow_code or made_here((folder / saved.STUDY).read_bytes())
        study = Study.open(folder, code)
        (_conduct if study.trial is None else conduct)(study, json, quiet, accept_changes)
        return
    found = _experiment(folder, sets, allow_code)
    if not accept_changes:
        check_unchanged(folder, to_toml(found), [".".join(parse_set(given)[0]) for given in sets])
    _one(found, folder, True, json, quiet, accept_changes)


def _one(
    experiment: Experiment, folder: Path, resume: bool, json: bool, quiet: bool, accept_changes: bool = False
) -> None:
    from foedus.core.errors import RunEnded
    from foedus.saved import commits

    done: Run | None = None
    failed: RunEnded | None = None
    try:
        try:
            done = _trained(experiment, folder, resume, quiet, accept_changes)
        except RunEnded as e:
            failed, done = e, e.run
        _shown(done, folder, failed, json)
    except KeyboardInterrupt:
        if done is None:
            _interrupted(folder, commits(folder))
        say(f"stopped; the run is {done.status}, and its page is written by: foedus report {word(folder)}")
        raise typer.Exit(130) from None
    if failed is not None:
        raise failed


def _trained(experiment: Experiment, folder: Path, resume: bool, quiet: bool, accept_changes: bool) -> Run:
    from foedus import report
    from foedus.core.errors import RunEnded
    from foedus.core.records.place import check_new_folder
    from foedus.experiment import to_toml
    from foedus.experiment.made_here import remember
    from foedus.experiment.study import rounds
    from foedus.saved import commits

    if not resume:
        check_new_folder(folder, "choose another folder, remove it, or go on with that run (--resume)")
    with timed("reading and dividing the data"):
        data = experiment.data()
    LOG.info("%s: %s rows at %s nodes; the run goes to %s", data.name, f"{sum(data.sizes):,}", data.nodes, folder)
    config = to_toml(experiment)
    if experiment.names_code:
        remember(config.encode())
    _announce(experiment, data, quiet)
    planned, begun = rounds(experiment), commits(folder)
    with report.LiveTable([experiment.name], progress(quiet)) as table:
        row = table.row(experiment.name, planned, begun)
        try:
            with timed("training"):
                done: Run = experiment.train(
                    out=folder, resume=resume, accept_changes=accept_changes, progress=row.update, data=data,
                    config=config,
                )  # fmt: skip
        except RunEnded as e:
            row.finish(e.run)
            raise
        row.finish(done)
    return done


def _shown(done: Run, folder: Path, failed: RunEnded | None, json: bool) -> None:
    """Print what came of it, and write its page. Leaves with status 1 if the page of a good run cannot be written."""
    from foedus import report
    from foedus.core.errors import BadInput, StorageFailed

    if not done.history:
        return
    page = None
    unseen: BadInput | None = None
    if folder.is_dir() and not isinstance(failed, StorageFailed):
        try:
            with timed("the page and its pictures"):
                page = _pictures(done, folder)
        except BadInput as e:  # the run is whole without them
            unseen = e
    if json:
        print_json(report.as_json(done))
    else:
        output().print(report.show(done))
        if page is not None:
            tell("", f"The page: {page.resolve()}")
    if unseen is not None and failed is None:
        say(f"the run is {done.status}, but {unseen}")
        raise typer.Exit(1)


def _announce(experiment: Experiment, data: FederatedDataset, quiet: bool) -> None:
    """Before the run: on how many rows; and over what graph peers talk, how fast it mixes."""
    from foedus.report.rows import rows_said

    progress(quiet).print(rows_said(data), soft_wrap=True, markup=False)
    prepare = getattr(experiment.program, "prepare", None)
    if prepare is not None:
        progress(quiet).print(prepare(data.nodes), soft_wrap=True, markup=False)


def _graph(done: Run) -> None:
    """Of a decentralised run, who talks to whom, in its folder."""
    from foedus import report

    topology = getattr(done.program, "topology", None)
    if topology is not None and done.out is not None:
        report.draw(topology, done.nodes, done.out / "graph.svg", getattr(done.program, "weights", None))


def _pictures(done: Run, folder: Path) -> Path:
    _graph(done)
    done.plot(folder / "run.png")
    return done.report(folder / "report.html")


def _many(cases: list[Case], folder: Path, json: bool, quiet: bool) -> None:
    from foedus import saved
    from foedus.experiment.made_here import remember
    from foedus.experiment.study import Study

    with timed("checking every case with its data"):
        study = Study.begin(cases, folder)
    for sentence in (*study.rows, *study.chosen):
        progress(quiet).print(sentence, soft_wrap=True, markup=False)
    if any(case.experiment.names_code for case in cases):
        remember((folder / saved.STUDY).read_bytes(), *(m.config.encode() for m in study.members))
    _conduct(study, json, quiet)


def _conduct(study: Study, json: bool, quiet: bool, accept_changes: bool = False) -> None:
    from foedus import report

    labels = [m.label for m in study.members]
    try:
        with report.LiveTable(labels, progress(quiet), cases=len(labels)) as table, timed("running the cases"):
            outcome = study.conduct(table, accept_changes)
        _told(study, outcome, json)
    except KeyboardInterrupt:
        _interrupted(study.folder)
    if outcome.errors:
        for label, error in outcome.errors.items():
            say(f"{label}: {error}")
        raise typer.Exit(1)


def _told(study: Study, outcome: Outcome, json: bool) -> None:
    from foedus import report

    if not outcome.runs:
        return
    with timed("the page and its pictures"):
        page = report.page(outcome.runs, study.folder / "report.html")
        report.plot(outcome.runs, study.folder / "comparison.png")
    for group in outcome.runs.values():
        for run in group:
            _graph(run)
    if json:
        print_json(report.as_json(outcome.runs))
    else:
        output().print(report.comparison(outcome.runs))
        tell("", f"The page: {page.resolve()}")


def _interrupted(folder: Path, at: int | None = None) -> NoReturn:
    kept = "" if at is None else f" at round {at}" if at else " before its first commit: nothing was kept"
    advice = f"; go on with: foedus run --resume {word(folder)}" if folder.exists() and at != 0 else ""
    say(f"stopped{kept}{advice}")
    raise typer.Exit(130)
