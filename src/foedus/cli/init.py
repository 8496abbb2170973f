"""``foedus init``: a file to start from, written after a look at the data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.app import AsJson, Quiet, Sets, Verbose, app, print_json, tell, word
from foedus.cli.table_options import Drop, Group, Id, Missing, Node, Positive, Target, Task, advising, known


@app.command()
def init(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A table (.csv, .xlsx, .parquet ... or a folder of them), .npz, LIBSVM, LEAF, idx or images."
        ),
    ] = None,
    target: Target = None,
    node: Node = None,
    id: Id = None,
    group: Group = None,
    task: Task = None,
    positive: Positive = None,
    drop: Drop = None,
    missing: Missing = None,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; named after the data by default.")] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a commented experiment to start from. Without data it is one on handwritten digits."""
    from foedus.core.errors import BadInput
    from foedus.experiment.instead import check_is, what_is
    from foedus.experiment.template import ASKED, MARK, starter
    from foedus.report.files import write_whole

    if data is not None:
        check_is("data", data)
    file = out if out is not None else Path(f"{data.stem if data is not None else 'digits'}.toml")
    if os.path.lexists(file):
        if what_is(file) == "data":
            raise BadInput(f"--out names {file}, which is data: foedus init {word(file)}, and --out is what it writes")
        raise BadInput(f"{file} already exists: remove it, or name another with --out")
    given = known(missing, drop, positive, target=target, node=node, id=id, group=group, task=task)
    with advising():
        text = starter(data, file, given, sets or [])
    write_whole(file, text.encode(), "the experiment")
    if json:
        print_json({"file": str(file), "text": text})
        return
    if quiet:
        tell(f"Written to {file}.")
        return
    tell(*text.splitlines(), "")
    marked = f" Look at the lines marked {MARK}, then:" if MARK in text else " Then:"
    if ASKED in text:
        marked = (
            f" Choose where {ASKED} stands (there, or by another foedus init with --target, --node and so on), look "
            f"at the lines marked {MARK}, then:"
        )
    tell(f"Written to {file}.{marked}", f"  foedus data {word(file)}", f"  foedus run {word(file)}")
