"""What the pages tell a reader to type can be typed: scripts, targets, options and files that commands name exist."""

import argparse
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable
from itertools import dropwhile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foedus.cli.entry import app

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    )
    if not {"_build", "api"} & set(page.relative_to(ROOT).parts)
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")


def lines_of_code(text: str) -> list[str]:
    """What stands in a shell's blocks after the prompt, in indented lines and between single backquotes."""
    found = []
    for kind, block in FENCE.findall(text):
        if kind in ("console", "sh", "bash"):
            prompted = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
            found += prompted or block.splitlines()
    prose = FENCE.sub("", text)
    return [*found, *INDENTED.findall(prose), *(" ".join(code.split()) for code in INLINE.findall(prose))]


def commands(text: str) -> list[list[str]]:
    """The commands of a page that are ours to keep right, as words, without comments."""
    found = []
    for line in lines_of_code(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an apostrophe: not a command
            continue
        words = list(dropwhile(re.compile(r"\w+=").match, words))  # what is set for the command alone
        # A name alone is talked about, not typed. In "foedus COMMAND --help" the reader is to choose.
        if len(words) > 1 and tool(words[0]) in TOOLS and "COMMAND" not in words:
            found.append(words)
    return found


def tool(word: str) -> str:
    return word.removeprefix(".venv/bin/")


# -- what each tool knows ----------------------------------------------------------------------------------------------


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) [?:]?= ?", makefile, re.MULTILINE))
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert word == "…" or name in (variables if is_variable else targets), f"make knows no {name}"


def check_foedus(words: list[str]) -> None:
    """With ``--help`` behind them all words are read, and nothing is run."""
    said = CliRunner().invoke(app, [*words, "--help"])
    assert said.exit_code == 0, said.output


def check_python(words: list[str]) -> None:
    if words[:2] == ["-m", "pytest"]:
        return  # its files are looked for below
    if words[0] == "-m":
        assert (ROOT / "src" / words[1].replace(".", "/")).exists(), f"there is no module {words[1]}"
        return
    assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"
    read_options(ROOT / words[0], words[1:])


class Read(Exception):
    """The options were read."""


def read_options(script: Path, options: list[str]) -> None:
    """The script runs with these options until it has read them."""
    if "argparse" not in script.read_text() and script.parent.name != "benchmarks":
        assert not any(o.startswith("-") for o in options), f"{script.name} has no options"
        return

    def parse_args(self: argparse.ArgumentParser) -> None:
        self.exit = lambda status=0, message=None: pytest.fail(str(message), pytrace=False)  # type: ignore[assignment]
        read(self)
        raise Read

    read, known = argparse.ArgumentParser.parse_args, set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patch.setattr(sys, "argv", [str(script), *options])
        patch.syspath_prepend(script.parent)
        try:
            with pytest.raises(Read):
                runpy.run_path(str(script), run_name="__main__")
        finally:
            for name in {"common", "simulation"} - known:  # a benchmark's neighbours, by names that are anybody's
                sys.modules.pop(name, None)


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[0] == "install"
    for names in re.findall(r"(?:foedus|\.)\[(.*)\]", " ".join(words)):
        assert set(names.split(",")) <= set(extras), f"foedus has no extra {names}"


TOOLS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "foedus": check_foedus,
    "python": check_python,
    "pip": check_pip,
}
FOUND = [(page, words) for page in PAGES for words in commands(page.read_text(encoding="utf-8"))]
OURS = {p.name for p in ROOT.iterdir() if p.is_dir()} & {"benchmarks", "docs", "examples", "src", "tests"}


def check(words: list[str]) -> None:
    TOOLS[tool(words[0])](words[1:])
    # Every other file is the reader's, or one that an earlier command makes.
    for word in words[1:]:
        path = Path(word)
        assert path.parts[:1] == () or path.parts[0] not in OURS or (ROOT / path).exists(), f"there is no {word}"


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(p, w, id=f"{p.relative_to(ROOT)}: {' '.join(w)}") for p, w in FOUND]
)
def test_the_command_can_be_typed(page: Path, words: list[str]) -> None:
    check(words)


def test_commands_are_found() -> None:
    by_tool = {name: sum(tool(words[0]) == name for _, words in FOUND) for name in TOOLS}
    assert all(count >= 3 for count in by_tool.values()), by_tool
    results = {page.name for page, _ in FOUND if page.parent.name == "results"}
    assert results == {page.name for page in ROOT.glob("benchmarks/results/*.md")}


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "SPEED=9 make nothing",
        "make SPEED=9 test",
        "foedus dance",
        "foedus run a.toml --fast",
        "foedus speedup examples/nothing.toml",
        "python benchmarks/nothing.py",
        "python benchmarks/speedup.py --fast",
        "python benchmarks/fashion_mnist.py --model GPT",
        "python -m foedus.nothing",
        ".venv/bin/python -m pytest tests/test_nothing.py",
        "pip install 'foedus[nothing]'",
    ],
)
def test_what_cannot_be_typed_is_noticed(line: str) -> None:
    (words,) = commands(f"```console\n$ {line}\n```")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(words)
