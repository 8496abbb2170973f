"""``foedus show``, ``foedus report`` and ``foedus data``: looking at what is there."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.cli.app import AsJson, Quiet, Sets, Verbose, app, bad, output, print_json, tell, word
from foedus.cli.attack import say_tried, trial_in, write_tried
from foedus.cli.table_options import Drop, Group, Id, Missing, Node, Positive, Target, Task, advising, known
from foedus.core.text import visible

if TYPE_CHECKING:
    from foedus.core.records.run import Run
    from foedus.data.tables.overview.proposal import Question

Folder = Annotated[Path, typer.Argument(help="The folder of a run or of a comparison.")]


@app.command()
def show(folder: Folder, json: AsJson = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Say what a run was, how good it got and what it cost; finished, stopped or still going on."""
    from foedus import report

    if (tried := trial_in(folder)) is not None:
        say_tried(tried.found(), json)
        return
    found = _runs(folder)
    if isinstance(found, dict):
        print_json(report.as_json(found)) if json else output().print(report.comparison(found))
    else:
        print_json(report.as_json(found)) if json else output().print(report.show(found))


@app.command(name="report")
def report_(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs or comparisons.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; report.html in the first folder by default.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="The quality whose price is compared; 95 % of the best by default.")
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the page of one run, or one page that compares several."""
    from foedus import report

    if len(folders) == 1 and (tried := trial_in(folders[0])) is not None:
        if target is not None:
            bad("--target is for runs and comparisons: how near a rule must stay is in the file, within under [attack]")
        written = write_tried(tried.found(), out if out is not None else folders[0] / "report.html")
        if json:
            say_tried(tried.found(), json, written)
        else:
            tell(f"The page: {written.resolve()}")
        return
    found = [_runs(f) for f in folders]
    if len(found) == 1:
        runs = found[0]
    else:
        runs = {}
        for folder, some in zip(folders, found, strict=True):
            groups = some if isinstance(some, dict) else {some.name: [some]}
            for label, group in groups.items():
                runs.setdefault(label if label not in runs else _also_in(label, folder), []).extend(group)
    page = report.page(runs, out if out is not None else folders[0] / "report.html", target=target)
    if json:
        print_json({"page": str(page), **report.as_json(runs, target)})
    else:
        tell(f"The page: {page.resolve()}")


@app.command()
def data(
    file: Annotated[
        Path,
        typer.Argument(help="An experiment (.toml), a table (.csv, .xlsx, .parquet ... or a folder of them), .npz."),
    ],
    target: Target = None,
    node: Node = None,
    id: Id = None,
    group: Group = None,
    task: Task = None,
    positive: Positive = None,
    drop: Drop = None,
    missing: Missing = None,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write a page (.html) or a picture (.png, .svg).")
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Who holds what: the rows and classes of every node, as text and as a picture; of a table, its columns.

    Options from --target to --missing are about a table; in an experiment they are changed by --set.
    """
    given = known(missing, drop, positive, target=target, node=node, id=id, group=group, task=task)
    if file.suffix.lower() != ".toml":
        _table(file, given, sets or [], json, quiet)
        return
    if given:
        option = next(iter(given))
        said = option.removesuffix("_values")
        bad(f"--{said} is about a table, and {file} is an experiment: change it by --set data.{option}=...")
    from foedus import experiment, report

    held = experiment.expand(file, sets or [])[0].experiment.data()
    written = None
    if out is not None:
        pictures = out.suffix.lower() in (".png", ".svg", ".pdf")
        written = report.holdings_figure(held, out) if pictures else report.holdings_page(held, out)
    if json:
        print_json(report.as_json(held) | {"out": None if written is None else str(written)})
    else:
        output().print(report.holdings_text(held))
        if written is not None:
            tell("", f"The {'picture' if pictures else 'page'}: {written.resolve()}")


def _table(path: Path, given: dict[str, Any], sets: list[str], json: bool, quiet: bool) -> None:
    """What is in a table, before anything is decided about it."""
    from dataclasses import asdict

    from foedus.data.recognised import source_of
    from foedus.data.tables import look
    from foedus.experiment.instead import SHOWN, check_is, instead
    from foedus.experiment.sets import of_data

    check_is("data", path)
    source = source_of(path)
    if source == "npz":
        _arrays(path, json)
        return
    if path.exists() and source is not None and source not in SHOWN:
        bad(f"{path} {instead(path, 'data')}; foedus data shows who holds what by that")
    options, others = of_data(sets)
    if others:
        bad(f"--set {others[0]}: of a table only what stands in [data] can be set, such as data.decimal=','")
    with advising():
        found = look(str(path), **options | given)
    if json:
        print_json(asdict(found))
    else:
        tell(*found.lines)
    if not (json or quiet):
        answers = "".join(map(_answer, found.questions))
        so = "with your answers" if answers else "that says so"
        tell("", f"Write an experiment {so}: foedus init {word(path)}{answers}")


def _answer(question: Question) -> str:
    """How a question is answered on the command line."""
    from foedus.plain.toml import inline

    if question.option not in ("target", "node", "task"):
        return ""
    made = next((c for c in question.choose if isinstance(c, dict)), None)
    if made is None:
        return f" --{question.option} NAME"
    return f" --set {quote(visible(f'data.{question.option}={inline(made)}'))}"


def _arrays(path: Path, json: bool) -> None:
    """The arrays of an .npz file, and which of them are taken for what."""
    from foedus.data.npz_file import headers, roles

    found, taken = headers(path), roles(path).options
    if json:
        arrays = {name: {"shape": h.shape, "dtype": str(h.dtype)} for name, h in found.items()}
        print_json({"arrays": arrays, "options": taken})
        return
    as_what = {name: role for role, name in taken.items()}
    tell(*(f"{n}: {h.line}" + (f", taken as {as_what[n]}" if n in as_what else "") for n, h in found.items()))
    tell("", f"Write an experiment that says so: foedus init {word(path)}")


def _also_in(label: str, folder: Path) -> str:
    """A label that another folder has as well."""
    from foedus.report import On

    also = f" ({folder.name})"
    return On(label.subject + also, label.network) if isinstance(label, On) else label + also


def _runs(folder: Path) -> Run | dict[str, list[Run]]:
    from foedus import saved
    from foedus.core.errors import BadInput
    from foedus.experiment.instead import check_is

    check_is("run", folder)
    if not (folder / saved.STUDY).exists():
        return saved.glance(folder)
    from foedus.experiment.study import Study

    found = Study.open(folder).runs()
    if not found:
        raise BadInput(f"no case of {folder} has a commit yet: go on with foedus run --resume {word(folder)}")
    return {label: [*runs] for label, runs in found.items()}
