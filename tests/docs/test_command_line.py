"""The page about the command line names every command, option, key and file that there is."""

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foedus.cli import main
from foedus.cli.app import warnings
from foedus.cli.entry import app

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import command_line  # noqa: E402

TEXT = command_line.PAGE.read_text(encoding="utf-8")
EXPERIMENT = """
data = { source = "iris", split = "iid", nodes = 3 }
model.network = "logistic"
program.fedavg = { rounds = 2 }
"""


def test_the_reference_is_up_to_date():
    if command_line.renew(TEXT) != TEXT:
        pytest.fail("docs/command-line.md is stale: python docs/_ext/command_line.py", pytrace=False)


@pytest.mark.parametrize("name", command_line.commands())
def test_what_help_lists_is_on_the_page(name):
    """The generator reads signatures; what users see is Typer's."""
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    (part,) = re.findall(rf"^### foedus {name}\n(.*?)^(?:### |<!-- )", TEXT, re.MULTILINE | re.DOTALL)
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", re.sub(r"\x1b\[[0-9;]*m", "", shown))) - {"--help", "-h"}
    assert flags
    assert flags == set(re.findall(r"`(--?[a-z][a-z-]*)", part))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.toml").write_text(EXPERIMENT)
    return folder


def keys(*arguments):
    with warnings():  # what --quiet changes is undone
        shown = CliRunner().invoke(app, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


def named(row):
    """The names in backquotes of the row that begins like this."""
    (line,) = (line for line in TEXT.splitlines() if line.startswith(f"| {row}"))
    return set(re.findall(r"`(\w+)`", line.split("|")[2]))


def test_keys_of_json_and_files_of_a_run(run, monkeypatch):
    monkeypatch.chdir(run)
    one = keys("run", "small.toml", "--quiet")
    assert set(one) == named("`run`, `show`")
    assert set(one["costs"]) <= set(re.findall(r"`(\w+)`", TEXT))
    assert set(keys("report", "runs/small")) == set(one) | {"page"}
    several = keys("run", "small.toml", "--set", "sweep.seed=[0, 1]", "--quiet")
    assert set(several) | set(several["groups"][0]) == named("`run` of a sweep")
    assert set(keys("data", "small.toml")) == named("`data` of an experiment")
    assert set(keys("init", "--out", "new.toml")) == named("`init`")
    Path("table.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(20)))
    assert set(keys("data", "table.csv")) == named("`data` of a table")
    same = keys("reproduce", "runs/small", "--quiet")
    assert set(same) | set(same["sha256"]) == named("`reproduce`")
    files = {p.name for p in Path("runs/small").iterdir()}
    assert files <= set(re.findall(r"`([\w.]+)`", TEXT.partition("## A run's folder")[2]))


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["--version"]),
        (2, ["run", "nothing.toml"]),
        (
            1,
            ["run", "small.toml", "--set", "program.fedavg.local.lr=1e30", "--set", "model.network={mlp=[4, 8, 3]}"],
        ),
    ],
)
def test_exit_statuses(status, arguments, run, monkeypatch):
    monkeypatch.chdir(run)
    monkeypatch.setattr(sys, "argv", ["foedus", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
