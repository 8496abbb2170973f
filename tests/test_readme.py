"""What the README shows runs as written, and the commands it names exist."""

import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


def test_there_are_blocks():
    assert len(PYTHON) >= 2
    assert len(PYTHON[0].strip().splitlines()) <= 13  # "the library in twelve lines"


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_every_python_block_runs_on_its_own(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    # A class needs a module that typing and dataclasses can find: that of a script.
    source = compile(PYTHON[number], f"README block {number + 1}", "exec")
    exec(source, {"__name__": "readme"})
    if number == 0:
        accuracy, bytes_up = capsys.readouterr().out.split()
        assert float(accuracy) > 0.9
        assert int(bytes_up) == 50 * 10 * 4 * 2410
        assert (tmp_path / "run.png").stat().st_size > 10_000
        # The README says "95 to 96 %" of all twenty nodes; half of them a round come close.


def test_commands_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = re.findall(r"^make ([a-z]+)", README, re.M)
    assert {"demo", "test"} <= set(commands) <= targets


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
