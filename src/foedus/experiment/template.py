"""A file to start from, with a comment for every line that a person should look at."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foedus.core.errors import BadInput
from foedus.data.npz_file import headers, roles
from foedus.data.other_formats import refusal
from foedus.data.recognised import has_text, source_of
from foedus.data.tables.formats import FORMATS
from foedus.data.tables.overview.proposal import Note, Proposal, Question
from foedus.experiment.questions import CHOOSE
from foedus.experiment.sets import of_data, parse_set
from foedus.plain.places import said
from foedus.plain.toml import inline, key

MARK = "<-"
"""Stands in the comment of a guess."""
ASKED = f"{{ {CHOOSE} = ["
"""How an open question begins in the text."""


@dataclass(frozen=True)
class Said:
    """A value, and what a comment says of it: words of ours and numbers; a name from the data only in quotes."""

    value: Any
    comment: str = ""


@dataclass(frozen=True)
class Section:
    """One table of the file: ``fields`` by their keys. A list of ``Said`` is written an element a line."""

    header: str
    fields: dict[str, Said]
    comment: str = ""


@dataclass(frozen=True)
class Found:
    """What the data is, the fields of ``[data]``, whether it has two classes, and whether its rows are flat.

    ``sections`` are tables below ``[data]``, ``notes`` lines that are worth reading. ``network``: where none of the
    usual ones fits.
    """

    what: str
    fields: dict[str, Said]
    binary: bool = False
    flat: bool = True
    network: str | None = None
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()


def starter(data: Path | None, file: Path, given: Mapping[str, Any] | None = None, sets: Sequence[str] = ()) -> str:
    """The text of ``file``, an experiment on ``data`` (None: on handwritten digits).

    ``given`` are options of a table that are known, ``sets`` are changes such as ``"evaluate.nodes=1"``.
    Whatever the data's names hold stands in quotes: the text, read again, says what is meant and no more.
    Errors: ``BadInput`` for data that is not there, that none of the sources can read, or whose name a file cannot say.
    """
    if data is not None and not data.exists():
        raise BadInput(f"there is no {data}: name a table, an .npz file, or a folder of tables, idx files or images")
    if data is not None and source_of(data) in FORMATS:
        options, sets = of_data(sets)
        found = _table(data, file, {**options, **(given or {})})
    elif given:
        raise BadInput(f"{next(iter(given))} is an option of tables (.csv, .xlsx, .parquet ...): name one")
    else:
        found = _digits() if data is None else _look(data, file)
    binary, flat = found.binary, found.flat
    local = {"epochs": 2, "batch_size": 16, "lr": 0.1 if flat else 0.05}
    program = {"rounds": 30, "local": local}
    usual = "logistic" if binary else {"mlp": {"hidden": [32]}} if flat else "resnet"
    network = Said(usual if found.network is None else found.network)
    network = replace(network, comment="sizes are taken from the data; docs/models.md has others")
    metrics = Said(["auc"], "two classes: the area under the ROC curve says more than accuracy")
    sections = [
        Section("data", found.fields),
        *found.sections,
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
    for keys, value in map(parse_set, sets):
        _set(sections, keys, value)
    head = f"# An experiment on {found.what}. Run it: foedus run FILE\n" + "".join(f"# {n}\n" for n in found.notes)
    text = head + "".join(map(_written, sections))
    meant: dict[str, Any] = {}
    for section in sections:
        table = meant
        for part in section.header.split("."):
            table = table.setdefault(part, {})
        table |= {k: _plain(v) for k, v in section.fields.items()}
    if tomllib.loads(text) != meant:
        raise BadInput("a name in the data cannot be written into a file as it is: give files and columns other names")
    return text


def _set(sections: list[Section], keys: Sequence[str], value: Any) -> None:
    """Write a value where these keys lead, in a section that is there or in a new one at the end."""
    *header, last = keys
    if not header:
        raise BadInput(f"{last} is in no table: a key of the file is meant, such as evaluate.nodes=1")
    name = ".".join(map(key, header))
    section = next((s for s in sections if s.header == name), None)
    if section is None:
        sections.append(section := Section(name, {}))
    section.fields[last] = Said(value, "as you said")


def _plain(field: Any) -> Any:
    value = field.value if isinstance(field, Said) else field
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _written(section: Section) -> str:
    lines = [(f"[{section.header}]", section.comment)]
    for name, field in ((key(k), f) for k, f in section.fields.items()):
        if isinstance(field.value, list) and any(isinstance(v, Said) for v in field.value):
            lines.append((f"{name} = [", field.comment))
            lines += [(f"  {inline(element.value)},", element.comment) for element in field.value]
            lines.append(("]", ""))
        else:
            lines.append((f"{name} = {inline(field.value)}", field.comment))
    width = min(44, max((len(line) for line, comment in lines if comment), default=0))
    aligned = (f"{line:<{width}}  # {comment}" if comment else line for line, comment in lines)
    return "\n" + "".join(f"{line}\n" for line in aligned)


def _digits() -> Found:
    fields = {
        "source": Said("digits", "1,797 images of 8 x 8"),
        **_dealt(),
        "holdout": Said(0.2, "every node keeps a fifth of its rows to evaluate on"),
    }
    return Found("handwritten digits, which come with the library", fields)


def _dealt() -> dict[str, Said]:
    return {
        "split": Said({"dirichlet": {"alpha": 0.3}}, "how unequal the nodes are: 100 is alike, 0.1 is not"),
        "nodes": Said(20),
    }


def _look(data: Path, file: Path) -> Found:
    """Data that is no table. Errors: ``BadInput`` for what no source can read."""
    path = Said(said(os.path.relpath(data, file.parent)))
    source = source_of(data)
    if source == "npz":
        return _arrays(data, path)
    if source == "idx":
        return Found("idx files", {"source": Said("idx"), "path": path, **_dealt()})
    if source == "images":
        size = Said([32, 32], f"{MARK} every image is brought to this height and width")
        return Found("images", {"source": Said("images"), "path": path, "size": size, **_dealt()}, flat=False)
    if source == "leaf":
        comment = "every user is a node, and keeps a fifth of its rows to evaluate on"
        fields = {"source": Said("leaf"), "path": path, "holdout": Said(0.2, comment)}
        return Found("LEAF's users", fields, network="char_lstm" if has_text(data) else None)
    if source == "libsvm":
        rows = {"source": Said("libsvm"), "path": path, **_dealt(), "holdout": Said(0.2)}
        beside = Path(f"{path.value}.t")  # so LIBSVM's own data sets name their test part
        if (file.parent / beside).is_file():
            rows["test"] = Said(str(beside))
        return Found("sparse rows", rows)
    raise BadInput(refusal(data))


def _arrays(data: Path, path: Said) -> Found:
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
    return Found("arrays", {**fields, **({} if found.node else _dealt()), "holdout": Said(0.2)}, flat=not pictures)


def _table(data: Path, file: Path, given: Mapping[str, Any]) -> Found:
    from foedus.data.tables import look  # PyArrow takes its time to import

    found = look(str(data), **given)
    seen = [found.path] if isinstance(found.path, str) else [*found.path]
    paths = [said(os.path.relpath(p, file.parent)) for p in seen]
    fields = {"source": Said(found.source), "path": Said(paths[0] if isinstance(found.path, str) else paths)}
    tables: dict[str, Section] = {}
    for f in found.findings:
        if f.option == "test" and not isinstance(f, Proposal):
            choose = [said(os.path.relpath(c, file.parent)) if isinstance(c, str) else c for c in f.choose]
            fields["test"] = Said({CHOOSE: choose}, f"{MARK} {f.why}")
        elif isinstance(f, Question):
            fields[f.option] = Said({CHOOSE: [*f.choose]}, f"{MARK} {_QUESTIONS.get(f.option, '')}{f.why}")
        elif isinstance(f.value, dict) and any(isinstance(v, dict | list) for v in f.value.values()):
            reasons = {g.name: f"{MARK} {g.why}" for g in f.parts}
            rows = {k: Said(v, reasons.get(k, "")) for k, v in f.value.items()}
            tables[f.option] = Section(f"data.{f.option}", rows, _TABLES.get(f.option, ""))
        elif len(f.parts) > 1:
            fields[f.option] = Said([Said(g.name, f"{MARK} {_ROLES.get(f.option, '')}{g.why}") for g in f.parts])
        else:
            why = f.parts[0].why if f.parts else f.why
            comment = f"{MARK} {_ROLES.get(f.option, '')}{why}" if why else _PLAIN.get(f.option, "")
            fields[f.option] = Said(f.value, comment)
    notes = [*(f"{MARK} {_quoted(note)}" for note in found.notes), found.size]
    what = f"a table, {found.rows:,} rows of {len(found.columns)} columns"
    return Found(what, fields, found.classes == 2, sections=tuple(tables.values()), notes=tuple(notes))


_ROLES = {
    "target": "to be learned, ",
    "node": "whose row it is, ",
    "drop": "left out, ",
    "id": "not learned from, ",
    "group": "not learned from, ",
}
_QUESTIONS = {"target": "which is to be learned? ", "node": "whose row it is? ", "task": "classes or an amount? "}
_PLAIN = {
    "test": "no rows beside those that the nodes hold out",
    "holdout": "the share of its rows that every node keeps to evaluate on",
}
_TABLES = {"missing_values": "what stands for nothing in a column, beside an empty cell, ?, NA, N/A, NaN, null"}


def _quoted(note: Note) -> str:
    """A note whose names stand in quotes, on one line, whatever they hold."""
    return note.words.format(*map(inline, note.names))
