"""Docstrings for autodoc: plain text with ``literals``, examples and aligned lists of names, made reST.

    ``alpha``    how unequal.      becomes a definition list;
    ``seed``     of the division.

every other sign of the text means itself, so that |x| and n_k * d need no care where they are written.
"""

import re
from collections.abc import Iterator
from typing import Any

LITERAL = re.compile(r"(``.+?``(?!`))")
TERM = re.compile(r"((?:``[^`]+``(?:, | and )?)+) {2,}(?=\S)")
NEXT_TERM = re.compile(r"(?<=\S) {3,}(?=``[^`]+``(?:, ``[^`]+``)* {2})")
BULLET = re.compile(r"(- |\d+\. )")
EMPHASIS = re.compile(r"(?<![\w*])\*(?=\w)([^*]*[\w.,:])\*(?![\w*])")
SIGNS = re.compile(r"[*|`\\]|(?<=\w)_(?!\w)")


def plain_to_rest(lines: list[str]) -> list[str]:
    """A docstring, as reST."""
    out: list[str] = []
    before = "text"
    for kind, text in _pieces(lines):
        if kind != before and out and out[-1]:  # reST wants a blank line between a paragraph and whatever else
            out.append("")
        if kind == "term":
            term = TERM.match(text)
            assert term is not None
            out += [term[1].rstrip(), f"    {escaped(text[term.end() :])}"]
        elif kind == "bullet":
            out.append(text[:2] + escaped(text[2:]))
        else:
            out.append(text if kind == "example" else escaped(text))
        before = kind
    return [re.sub(r"(?:^|(?<=\. ))Errors: ", r"**Errors:** ", line) for line in out]


def _pieces(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Kind (text, term, bullet, example) and text of every line; a term or a bullet comes with what continues it."""
    held: tuple[str, str] | None = None
    example = False
    for line in lines:
        text = line.strip()
        example = bool(text) and (example or text.startswith(">>>"))
        if held is not None and text and line[0] == " " and not example:
            held = (held[0], f"{held[1]} {text}")
            continue
        listed = held is not None and held[0] == "term"
        if held is not None:
            yield held
            held = None
        if example:
            yield "example", line
        elif TERM.match(line):
            *first, last = NEXT_TERM.split(line)  # two names can share a line
            yield from (("term", part) for part in first)
            held = ("term", last)
        elif BULLET.match(line):
            held = ("bullet", line)
        elif listed and (named := re.match(r"(``[^`]+``) (?=\w)", line)):  # a name as long as its column is wide
            held = ("term", f"{named[1]}  {line[named.end() :]}")
        else:
            yield "text", text
    if held is not None:
        yield held


def escaped(text: str) -> str:
    """Text in which nothing but ``literals`` is a sign to reST."""
    parts = LITERAL.split(text)
    parts[::2] = [
        "".join(f"*{piece}*" if i % 2 else SIGNS.sub(r"\\\g<0>", piece) for i, piece in enumerate(EMPHASIS.split(part)))
        for part in parts[::2]
    ]
    for i in range(1, len(parts), 2):  # a literal that touches a letter, such as that of ``Update``s
        if parts[i + 1][:1].isalnum():
            parts[i + 1] = "\\ " + parts[i + 1]
    return "".join(parts)


def _process(_app: Any, _what: str, _name: str, obj: object, _options: Any, lines: list[str]) -> None:
    foreign = not isinstance(obj, type) and getattr(obj, "__doc__", None) == type(obj).__doc__
    lines[:] = [] if foreign and not callable(obj) else plain_to_rest(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
