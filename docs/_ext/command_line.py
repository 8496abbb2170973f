"""The reference part of docs/command-line.md, from the commands themselves: ``python docs/_ext/command_line.py``."""

import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo

from foedus.cli.entry import app

PAGE = Path(__file__).parents[1] / "command-line.md"
BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"


def reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    out: list[str] = []
    for name, command in commands().items():
        parameters = _parameters(command)
        usage = " ".join(["foedus", name, "[OPTIONS]", *(_usage(*p) for p in parameters if _is_argument(p[1]))])
        out += [f"### foedus {name}", "", _one_line(command.__doc__), "", f"```text\n{usage}\n```", ""]
        out += ["| | meaning | default |", "|---|---|---|", *(_row(*p) for p in parameters), ""]
    return "\n".join(out).rstrip() + "\n"


def commands() -> dict[str, Callable[..., Any]]:
    """The function of every command by its name, in the order of the alphabet."""
    found = {c.name or c.callback.__name__: c.callback for c in app.registered_commands if c.callback is not None}
    return dict(sorted(found.items()))


def renew(page: str) -> str:
    """A page with the part between the markers written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _parameters(command: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any, Any]]:
    """Every parameter with what Typer is told of it, and with its type."""
    hints = typing.get_type_hints(command, include_extras=True)
    found = []
    for p in inspect.signature(command).parameters.values():
        kind, info = typing.get_args(hints[p.name])
        if isinstance(kind, types.UnionType):
            kind = next(k for k in typing.get_args(kind) if k is not type(None))
        found.append((p, info, kind))
    return found


def _is_argument(info: Any) -> bool:
    return isinstance(info, ArgumentInfo)


def _usage(p: inspect.Parameter, info: Any, kind: Any) -> str:
    name = p.name.upper() + ("..." if typing.get_origin(kind) is list else "")
    return name if p.default is p.empty else f"[{name}]"


def _row(p: inspect.Parameter, info: Any, kind: Any) -> str:
    if _is_argument(info):
        name = f"`{p.name.upper()}`"
    else:
        value = "" if kind is bool else f" {info.metavar or kind.__name__.upper()}"
        # In Annotated, what Typer calls the default is the first of the names, if names are given.
        given = [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str)]
        name = ", ".join(f"`{flag}{value}`" for flag in given or [f"--{p.name}"])
    # A flag that is off and a thing that is not given have no default worth a word; their meaning says it.
    nothing = p.default is None or p.default is False
    default = "must be given" if p.default is p.empty else "" if nothing else f"`{p.default}`"
    return f"| {name} | {_one_line(info.help)} | {default} |"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(renew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
