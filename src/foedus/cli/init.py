"""``foedus init``: a file to start from, written after a look at the data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foedus.cli.app import AsJson, app, print_json, tell, word


@app.command()
def init(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A table (.csv, .xlsx, .parquet ... or a folder of them), .npz, LIBSVM, LEAF, idx or images."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; named after the data by default.")] = None,
    json: AsJson = False,
) -> None:
    """Write a commented experiment to start from. Without data it is one on handwritten digits."""
    from foedus.core.errors import BadInput
    from foedus.experiment.instead import check_is, what_is
    from foedus.experiment.template import MARK, starter
    from foedus.report.files import write_whole

    if data is not None:
        check_is("data", data)
    file = out if out is not None else Path(f"{data.stem if data is not None else 'digits'}.toml")
    if os.path.lexists(file):
        if what_is(file) == "data":
            raise BadInput(f"--out names {file}, which is data: foedus init {word(file)}, and --out is what it writes")
        raise BadInput(f"{file} already exists: remove it, or name another with --out")
    text = starter(data, file)
    write_whole(file, text.encode(), "the experiment")
    if json:
        print_json({"file": str(file), "text": text})
        return
    tell(*text.splitlines(), "")
    marked = f" Look at the lines marked {MARK}, then:" if MARK in text else " Then:"
    tell(f"Written to {file}.{marked}", f"  foedus data {word(file)}", f"  foedus run {word(file)}")
