"""What a user knows of a table, said to ``foedus init`` and ``foedus data``."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.core.text import visible

if TYPE_CHECKING:
    from foedus.core.advice import Option

Target = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column to be learned.")]
Node = Annotated[str | None, typer.Option("--node", metavar="COLUMN", help="The column that says whose row it is.")]
Id = Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="A column that is different in every row.")]
Group = Annotated[
    str | None, typer.Option("--group", metavar="COLUMN", help="A column whose rows are kept together: a patient's.")
]
Task = Annotated[str | None, typer.Option("--task", help="classification or regression.")]
Positive = Annotated[
    str | None,
    typer.Option("--positive", metavar="LABEL", help='Class 1 of two: a label, several with commas, or ">0".'),
]
Drop = Annotated[list[str] | None, typer.Option("--drop", metavar="COLUMN", help="A column to leave out. Repeat it.")]
Missing = Annotated[
    list[str] | None,
    typer.Option("--missing", metavar="[COLUMN=]VALUE", help="What stands for nothing, in a column or all. Repeat it."),
]


WORDS = ("target", "node", "id", "group", "task", "positive", "drop", "missing_values")
"""Options of a table that have one of these words on the command line."""


@contextlib.contextmanager
def advising() -> Iterator[None]:
    """Of errors inside, the options that they advise are written as the command takes them."""
    from foedus.core.errors import BadInput

    try:
        yield
    except BadInput as e:
        raise BadInput(e.said(_word)) from e


def _word(option: Option) -> str:
    from foedus.experiment.advice import in_set

    name, value = option.name, option.value
    if option.table != "data" or name not in WORDS or (isinstance(value, dict) and name != "missing_values"):
        return in_set(option, {})
    if isinstance(value, dict):
        said = [f"{column}={word}" for column, words in value.items() for word in words]
    elif isinstance(value, list) and name != "drop":
        said = [",".join(map(str, value))]
    else:
        said = value if isinstance(value, list) else [str(value)]
    return " ".join(f"--{name.removesuffix('_values')} {shlex.quote(visible(word))}" for word in said)


def known(
    missing: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    positive: str | None = None,
    **columns: str | None,
) -> dict[str, Any]:
    """What was said, as options of a table."""
    from foedus.data.tables.files import EVERY, MISSING

    given: dict[str, Any] = {name: value for name, value in columns.items() if value is not None}
    if drop:
        given["drop"] = list(drop)
    if positive is not None:
        given["positive"] = positive.split(",") if "," in positive else positive
    for word in missing or ():
        named = re.fullmatch(r"(.*[^<>=!])=(.*)", word, re.DOTALL)  # "<=5" is a value
        column, value = named.groups() if named is not None else (EVERY, word)
        of = given.setdefault("missing_values", {})
        of.setdefault(column, [*MISSING] if column == EVERY else []).append(value)
    return given
