"""A file to start from, with a comment for every line that a person should look at."""

from __future__ import annotations

import math
import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.npz_file import headers, roles
from foedus.data.other_formats import refusal
from foedus.data.recognised import source_of
from foedus.data.tables.formats import FORMATS
from foedus.plain.places import said
from foedus.plain.toml import inline

MARK = "<-"
"""Stands in the comment of a guess."""


@dataclass(frozen=True)
class Said:
    """A value, and what a comment says of it: words of ours and numbers, never a word of the data's."""

    value: Any
    comment: str = ""


@dataclass(frozen=True)
class Section:
    """One table of the file: ``fields`` by their keys. A list of ``Said`` is written an element a line."""

    header: str
    fields: dict[str, Said]
    comment: str = ""


def starter(data: Path | None, file: Path) -> str:
    """The text of ``file``, an experiment on ``data`` (None: on handwritten digits).

    Whatever the data's names hold stands in quotes, as a value: the text, read again, says what is meant and no more.
    Errors: ``BadInput`` for data that is not there, that none of the sources can read, or whose name a file cannot say.
    """
    if data is None:
        about, fields, binary, flat = "handwritten digits, which come with the library", _digits(), False, True
    else:
        about, fields, binary, flat = _look(data, file)
    local = {"epochs": 2, "batch_size": 16, "lr": 0.1 if flat else 0.05}
    program = {"rounds": 30, "local": local}
    network = Said("logistic" if binary else {"mlp": {"hidden": [32]}} if flat else "resnet")
    network = replace(network, comment="sizes are taken from the data; docs/models.md has others")
    metrics = Said(["auc"], "two classes: the area under the ROC curve says more than accuracy")
    sections = [
        Section("data", fields),
        Section("model", {"network": network, **({"metrics": metrics} if binary else {})}),
        Section("runtime.simulation", {"network": Said("wan", "ideal, lan, wan or mobile")}),
        Section("evaluate", {"nodes": Said(5, "every fifth round each node evaluates the model on its own rows")}),
        Section(
            "sweep",
            {
                "program": Said([Said({name: program}) for name in ("local_only", "fedavg", "centralized")]),
                "seed": Said([0, 1, 2], "repeated, so that the spread is seen"),
            },
            "one run for every program: what nodes have alone, together, and with all data in one place",
        ),
    ]
    text = f"# An experiment on {about}. Run it: foedus run FILE\n" + "".join(map(_written, sections))
    meant: dict[str, Any] = {}
    for section in sections:
        table = meant
        for part in section.header.split("."):
            table = table.setdefault(part, {})
        table |= {k: _plain(v) for k, v in section.fields.items()}
    if tomllib.loads(text) != meant:
        raise BadInput("a name in the data cannot be written into a file as it is: give files and columns other names")
    return text


def _plain(field: Any) -> Any:
    value = field.value if isinstance(field, Said) else field
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _written(section: Section) -> str:
    lines = [(f"[{section.header}]", section.comment)]
    for key, field in section.fields.items():
        if isinstance(field.value, list) and any(isinstance(v, Said) for v in field.value):
            lines.append((f"{key} = [", field.comment))
            lines += [(f"  {inline(element.value)},", element.comment) for element in field.value]
            lines.append(("]", ""))
        else:
            lines.append((f"{key} = {inline(field.value)}", field.comment))
    width = min(44, max((len(line) for line, comment in lines if comment), default=0))
    aligned = (f"{line:<{width}}  # {comment}" if comment else line for line, comment in lines)
    return "\n" + "".join(f"{line}\n" for line in aligned)


def _digits() -> dict[str, Said]:
    return {
        "source": Said("digits", "1,797 images of 8 x 8"),
        **_dealt(),
        "holdout": Said(0.2, "every node keeps a fifth of its rows to evaluate on"),
    }


def _dealt() -> dict[str, Said]:
    return {
        "split": Said({"dirichlet": {"alpha": 0.3}}, "how unequal the nodes are: 100 is alike, 0.1 is not"),
        "nodes": Said(20),
    }


def _look(data: Path, file: Path) -> tuple[str, dict[str, Said], bool, bool]:
    """What the data is, the fields of ``[data]``, whether it has two classes, and whether its rows are flat."""
    if not data.exists():
        raise BadInput(f"there is no {data}: name a table, an .npz file, or a folder of tables, idx files or images")
    path = Said(said(os.path.relpath(data, file.parent)))
    source = source_of(data)
    if source in FORMATS:
        return _table(data, path)
    if source == "npz":
        return _arrays(data, path)
    if source == "idx":
        return "idx files", {"source": Said("idx"), "path": path, **_dealt()}, False, True
    if source == "images":
        size = Said([32, 32], f"{MARK} every image is brought to this height and width")
        return "images", {"source": Said("images"), "path": path, "size": size, **_dealt()}, False, False
    if source == "leaf":
        comment = "every user is a node, and keeps a fifth of its rows to evaluate on"
        return "LEAF's users", {"source": Said("leaf"), "path": path, "holdout": Said(0.2, comment)}, False, True
    if source == "libsvm":
        rows = {"source": Said("libsvm"), "path": path, **_dealt(), "holdout": Said(0.2)}
        beside = Path(f"{path.value}.t")  # so LIBSVM's own data sets name their test part
        if (file.parent / beside).is_file():
            rows["test"] = Said(str(beside))
        return "sparse rows", rows, False, True
    raise BadInput(refusal(data))


def _arrays(data: Path, path: Said) -> tuple[str, dict[str, Said], bool, bool]:
    found = roles(data)
    fields = {"source": Said("npz"), "path": path}
    guessed = found.options.items()
    fields |= {role: Said(name, f"{MARK} the array's name") for role, name in guessed if role != name}
    if "node" in found.options:
        fields["node"] = Said(found.node, f"{MARK} whose row it is")
    row = headers(data)[found.x].shape[1:]
    pictures = len(row) == 3 and row[0] in (1, 3)
    if len(row) > 1 and not pictures:
        fields["shape"] = Said([math.prod(row)], f"{MARK} a row is {' x '.join(map(str, row))}, and made flat here")
    return "arrays", {**fields, **({} if found.node else _dealt()), "holdout": Said(0.2)}, False, not pictures


def _table(data: Path, path: Said) -> tuple[str, dict[str, Said], bool, bool]:
    from foedus.data.tables import look  # PyArrow takes its time to import

    found = look(str(data))
    fields = {
        "source": Said(found.source),
        "path": path,
        "target": Said(found.target.name, f"{MARK} to be learned, {found.target.why}"),
    }
    if found.node is not None:
        fields["node"] = Said(found.node.name, f"{MARK} whose row it is, {found.node.why}")
    elif len(found.files) < 2:
        fields["split"] = Said("iid", f"{MARK} no column names a node: rows are dealt out at random")
        fields["nodes"] = Said(5, MARK)
    if len(found.drop) == 1:
        fields["drop"] = Said([found.drop[0].name], f"{MARK} left out, {found.drop[0].why}")
    elif found.drop:
        fields["drop"] = Said([Said(g.name, f"{MARK} left out, {g.why}") for g in found.drop])
    fields["holdout"] = Said(0.25, "every node keeps a quarter of its rows to evaluate on")
    target = next(c for c in found.columns if c.name == found.target.name)
    return f"a table, {found.rows:,} rows of {len(found.columns)} columns", fields, target.distinct == 2, True
