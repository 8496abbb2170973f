"""What a file may hold: every table, name and field, as the packages have them now."""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foedus.experiment.known import known
from foedus.experiment.tables import Network, Tables
from foedus.experiment.write import plain
from foedus.plain.build import expected
from foedus.plain.kinds import Kind, Parameter, Shape, parameters, shape
from foedus.plain.toml import inline

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


@dataclass(frozen=True)
class Field:
    """One key: its name, what may stand there, and what stands there if it is not given (None: it must be).

    ``meaning`` is what its class's docstring says of it, where that has a line for it.
    """

    name: str
    type: str
    default: str | None
    meaning: str = ""


@dataclass(frozen=True)
class Entry:
    """One name and its fields. ``summary`` is the first line of its docstring."""

    name: str
    summary: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Section:
    """What is of one kind. ``used`` are the fields that hold it; ``table``: it is a table of the file itself."""

    title: str
    entries: tuple[Entry, ...]
    used: list[str] = field(default_factory=list)
    table: bool = False


def describe() -> list[Section]:
    """Everything that a file may hold: the file itself first, then every kind that one of its fields is of."""
    sections: dict[Any, Section] = {Tables: Section("The file", (_entry("", Tables),), table=True)}
    queue = deque(_uses("", Tables))
    while queue:
        place, kind = queue.popleft()
        if kind.hint in sections:
            sections[kind.hint].used.append(place)
            continue
        names = known().candidates(kind)
        table = kind.direct is not None and kind.direct.__module__ == Tables.__module__
        word = known().word(kind)
        title = f"`[{place}]`" if table else f"{word[0].upper()}{word[1:]}"
        if not names:
            continue
        entries = [_entry(place if table else name, target) for name, target in names.items()]
        sections[kind.hint] = Section(title, tuple(entries), [place], table)
        for name, target in names.items():
            queue += _uses(place if table else name, target)
    return list(sections.values())


def reference() -> str:
    """``describe()`` as Markdown: the reference part of docs/file-format.md."""
    out = []
    for section in describe():
        out += [f"### {section.title}", ""]
        if section.used and not section.table:
            out += [f"In {', '.join(f'`{u}`' for u in section.used)}.", ""]
        for e in section.entries:
            if not section.table:
                out += [f"**`{e.name}`** {e.summary}".rstrip(), ""]
            if e.fields:
                told = any(f.meaning for f in e.fields)
                out += ["| key | value | default |" + " |" * told, "|---|---|---|" + "---|" * told]
                for f in e.fields:
                    default = "must be given" if f.default is None else f.default
                    out.append(f"| `{f.name}` | {f.type} | {default} |" + f" {f.meaning} |" * told)
                out.append("")
    return "\n".join(out).rstrip() + "\n"


def renew(page: str) -> str:
    """A page with the part between the markers written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _uses(name: str, target: Any) -> list[tuple[str, Kind]]:
    """The fields of a class that hold instances of a kind."""
    return [(f"{name}.{p.name}" if name else p.name, kind) for p in _takes(target).values() for kind in _kinds(p.hint)]


def _kinds(hint: Any) -> list[Kind]:
    s = shape(hint)
    inside = [k for item in s.items for k in _kinds(item)]
    return [*s.kinds, *inside, *([] if s.values is inspect.Parameter.empty else _kinds(s.values))]


def _takes(target: Any) -> Mapping[str, Parameter]:
    return parameters(target) if isinstance(target, type) or inspect.isroutine(target) else {}


def _entry(name: str, target: Any) -> Entry:
    takes = _takes(target)
    doc = (inspect.getdoc(target) or "") if takes or isinstance(target, type) else ""
    summary = doc.partition("\n\n")[0].replace("\n", " ")
    return Entry(name, _cell(summary), tuple(_field(target, p, _meaning(p.name, doc)) for p in takes.values()))


def _field(target: Any, p: Parameter, meaning: str) -> Field:
    def made(default: str | None) -> Field:
        return Field(p.name, _type(p.hint), default, meaning)

    if p.name in Network.later and any(target is f for f in Network.functions().values()):
        return made("the experiment's" if p.name == "seed" else "from the data")
    if p.required:
        return made(None)
    if target is Tables and p.name in ("name", "folder"):
        return made("the file's name" if p.name == "name" else "the file's folder")
    return made(f"`{inline(short(shape(p.hint), plain(p.hint, p.default, (p.name,))))}`")


def _meaning(name: str, doc: str) -> str:
    """What a docstring says of a field in a line of its own: the name in double backquotes, two spaces, the text."""
    match = re.search(rf"^``{name}``  +(\S.*(?:\n {{6,}}.*)*)", doc, re.MULTILINE)
    return _cell(re.sub(r"\s+", " ", match[1])) if match else ""


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _type(hint: Any) -> str:
    return _cell(expected(shape(hint), known(), names=False))


def short(s: Shape, value: Any) -> Any:
    """What a file says, without what it need not say: fields with their defaults, and the key of an only field."""
    if isinstance(value, list) and s.items:
        return [short(shape(s.items[0]), v) for v in value]
    if not isinstance(value, dict) or not s.kinds:
        return value
    for name, target in known().candidates(s).items():
        if not _takes(target) and plain(s.kinds[0].hint, target, ()) == value:
            return name  # a ready one
    if s.direct is not None and set(value) <= set(parameters(s.direct)):
        return _without_defaults(s.direct, value)
    ((name, fields),) = value.items()
    target = known().candidates(s).get(name)
    if target is None:
        return value
    fields = _without_defaults(target, fields)
    if list(fields) == list(parameters(target))[:1]:
        fields = next(iter(fields.values()))
    return {name: fields} if fields != {} else name


def _without_defaults(target: Any, fields: dict[str, Any]) -> dict[str, Any]:
    takes = parameters(target)
    return {
        k: short(shape(takes[k].hint), v)
        for k, v in fields.items()
        if takes[k].required or plain(takes[k].hint, takes[k].default, (k,)) != v
    }
