"""Names of columns, files, nodes, classes and cases reach the terminal as text: nothing in them acts, or hides."""

import ast
import csv
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import foedus.cli
from foedus.core.records.run import Record
from foedus.core.text import hidden
from foedus.report import LiveTable
from foedus.report.terminal import Facts, SafeConsole, Sheet

NASTY = "\x1b[31m\u202eX\x9b[red]\u200b\u2066:smile:"
SHOWN = "\\x1b[31m\\u202eX\\x9b[red]\\u200b\\u2066:smile:"


def clean(said):
    """Both outputs, which hold nothing that acts."""
    for text in (said.out, said.err):
        assert set(hidden(text)) <= {"\n"}
    return said.out + said.err


@pytest.fixture
def table(tmp_path):
    """A table whose every name is nasty; three nodes."""
    file = tmp_path / f"t{NASTY}.csv"
    rows = [[f"site {i % 3}{NASTY}", i, i * i % 7, f"{i % 2}{NASTY}"] for i in range(60)]
    with open(file, "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([[f"site {NASTY}", f"x {NASTY}\nfoedus: 0 problems", "z", f"label {NASTY}"], *rows])
    return file


def test_from_a_table_to_a_page(foedus, table, tmp_path):
    assert f"label {SHOWN}: text, 2 different" in clean(foedus("data", table))
    assert f"t{SHOWN}.toml" in clean(foedus("init", table))
    file = tmp_path / f"t{NASTY}.toml"
    one = f"{file}", "--set", "program.fedavg.rounds=2", "--set", "sweep={}", "--set", f"name=run {NASTY}"
    assert f"site 0{SHOWN}" in clean(foedus("data", *one))
    ran = foedus("run", *one, "-o", f"r{NASTY}")
    assert ran.status == 0
    assert f"r{SHOWN}/report.html" in clean(ran)
    assert "finished after 2 rounds" in clean(foedus("show", f"r{NASTY}"))
    assert "report.html" in clean(foedus("report", f"r{NASTY}"))
    sweep = f"sweep={{ name = {json.dumps([NASTY, 'b'])} }}"
    several = foedus("run", file, "--set", "program.fedavg.rounds=1", "--set", sweep, "-o", "s")
    assert several.status == 0
    clean(several)


def test_json_says_the_same_names(foedus, table):
    said = foedus("data", table, "--json")
    assert set(hidden(said.out)) <= {"\n"}
    assert json.loads(said.out)["findings"][0]["value"] == f"label {NASTY}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", f"no {NASTY}"],
        ["data", f"no {NASTY}.csv"],
        ["data", f"no {NASTY}.toml"],
        ["init", f"no {NASTY}"],
        ["run", "small.toml", "--set", f"model.network={NASTY}"],
        ["run", "small.toml", "--set", f"program.fedavg.{NASTY}=1"],
        ["run", "--resume", f"no {NASTY}"],
        ["run", "small.toml", "--networks", NASTY],
        ["show", "a", f"--b{NASTY}"],
        ["show", "a", f"b\n{NASTY}"],
        [f"no {NASTY}"],
    ],
)
def test_errors(foedus, small, arguments):
    said = foedus(*arguments)
    assert said.status == 2
    assert "x\\x9b" in clean(said).lower()


def test_an_error_is_one_line_whatever_its_names_are(foedus, tmp_path):
    said = foedus("show", "a\nfoedus: all is well")
    assert said.err.startswith("foedus: a\\nfoedus: all is well is not a folder")
    assert len(said.err.splitlines()) == 1


def test_warnings_of_the_library(monkeypatch, foedus):
    """What is logged while a command runs."""
    monkeypatch.setattr(
        sys.modules["foedus.cli.entry"], "app", lambda: logging.getLogger("foedus").warning("%s: left out", NASTY)
    )
    assert f"foedus: {SHOWN}: left out" in foedus("show", "x").err


@pytest.mark.parametrize("cases", [None, 3])
def test_a_live_table_on_a_terminal(cases):
    console = SafeConsole(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    with LiveTable([f"a{NASTY}\n2"], console, cases=cases) as table:
        row = table.row(f"a{NASTY}\n2", 2)
        row.update(Record(round=1, accuracy=0.5))
        row.finish(status="finished")
    said = console.file.getvalue()
    assert f"a{SHOWN}\\n2" in said
    assert not set("\u202e\u200b\u2066\x9b") & set(said)
    assert "\x1b[31m" not in said


def test_sheets_are_laid_out_as_they_are_shown():
    sheet = Sheet((Facts(((f"{NASTY}", "1"), ("b", f"2\n{NASTY}"))),))
    first, second = sheet.plain(100).splitlines()
    assert first == f"{SHOWN}  1"
    assert second == f"b{' ' * (len(SHOWN) + 1)}2\\n{SHOWN}"
    console = SafeConsole(file=io.StringIO(), force_terminal=True, width=100, color_system="truecolor")
    console.print(sheet)
    console.print(f"{NASTY} [bold]no markup[/bold]")
    assert f"{SHOWN} [bold]no markup[/bold]" in console.file.getvalue()
    assert not set("\u202e\u200b\u2066\x9b") & set(console.file.getvalue())


def test_nothing_is_printed_beside_the_mechanism():
    """Every command prints by ``app``'s functions."""
    for file in Path(foedus.cli.__file__).parent.glob("*.py"):
        calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
        if file.name != "app.py":
            assert not {"print", "typer.echo", "typer.secho", "click.echo", "Console"} & set(calls), file.name
            assert not [c for c in calls if c.startswith(("sys.stdout.write", "sys.stderr.write"))], file.name


@pytest.fixture
def bytes_only(tmp_path, monkeypatch):
    """A folder whose name is no UTF-8, with a table whose name is none."""
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    rows = "".join(f"é{i % 3},{i * i % 11},{i % 2}\n" for i in range(40))
    (place / "t\udcff.csv").write_text(f"site,x,label\n{rows}", encoding="utf-8")
    return place


def test_names_that_are_no_utf8(foedus, bytes_only, monkeypatch):
    """A file's name is bytes. Every command takes it, as argument and in a folder's name, and says the bytes."""
    monkeypatch.chdir(bytes_only)

    def told(*arguments):
        said = foedus(*arguments)
        assert said.status == 0, said.err
        return clean(said)

    assert "t\\xff.csv: 40 rows" in told("data", "t\udcff.csv")
    assert 'path = "file:t%FF.csv"' in told("init", "t\udcff.csv", "-o", "e\udcff.toml")
    one = "e\udcff.toml", "--set", "sweep={}", "--set", "program.fedavg.rounds=2"
    assert "are trained on and" in told("data", *one, "-o", "d\udcff.html")
    told("run", *one, "-o", "r\udcff")
    assert "finished after 2 rounds" in told("show", "r\udcff")
    assert "r\\xff/report.html" in told("report", "r\udcff")
    assert json.loads(told("show", "r\udcff", "--json"))["out"] == "r\udcff"
    assert "the same bits" in told("reproduce", "r\udcff")
    assert "finished" in told("run", "--resume", "r\udcff", "--set", "program.fedavg.rounds=3")
    told("compare", *one[:1], "--set", "program.fedavg.rounds=1", "--set", "sweep={ seed = [0, 1] }", "-o", "c\udcff")
    assert "Numbers are means over 2 seeds" in told("show", "c\udcff")
    said = foedus("run", "e\udcff.toml", "--set", "name=\udcff")
    assert said.err.startswith("foedus: --set name=\\xff: this is no UTF-8")


@pytest.mark.parametrize("environment", [{}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}])
def test_any_locale(bytes_only, environment):
    """With LC_ALL=C, and where Python does not make UTF-8 of it."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIOENC", "PYTHONUTF8"))}

    def told(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", "from foedus.cli import main; main()", *arguments],
            cwd=bytes_only, env={**plain, "LC_ALL": "C", **environment}, capture_output=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert not done.stderr
        return done.stdout

    shown = told("data", b"t\xff.csv")
    assert b"t\\xff.csv: 40 rows" in shown
    assert "site: text, 3 different: é0, é1, é2".encode() in shown or b"different: \\xe90, \\xe91, \\xe92" in shown
    assert json.loads(told("data", b"t\xff.csv", "--json"))["columns"][0]["examples"] == ["é0", "é1", "é2"]
