"""Values as TOML on one line. Whatever a text holds, it stays inside its quotes."""

from __future__ import annotations

import re
from typing import Any

from foedus.core.errors import BadInput
from foedus.core.text import hidden, visible

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def text(value: str) -> str:
    r"""A basic string. What a terminal or an editor would not show is an escape.

    Errors: ``BadInput`` for half of a surrogate pair, which TOML cannot say: so Python holds a byte that is no UTF-8.

    >>> text('a "b"\n'), text("\x7f\u202e")
    ('"a \\"b\\"\\u000a"', '"\\u007f\\u202e"')
    """
    out = value.replace("\\", "\\\\").replace('"', '\\"')
    for c in hidden(value):
        if "\ud800" <= c <= "\udfff":
            raise BadInput(f"{visible(value)} is no UTF-8 text, which a file cannot say: give it another name")
        out = out.replace(c, f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}")
    return f'"{out}"'


def key(name: str) -> str:
    """A key: in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else text(name)


def inline(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{key(k)} = {inline(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return str(value)
