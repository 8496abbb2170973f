"""The tutorial does what it says: its commands are run in order, its files written, its Python executed."""

import doctest
import io
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import foedus
from foedus.cli import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCKS = re.findall(r"^```(console|toml|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[tuple[list[str], str]]:
    """Every command of a console block with what it is said to print."""
    parts = re.split(r"^\$ foedus (.*)\n", block, flags=re.MULTILINE)
    return [(shlex.split(command), said) for command, said in zip(parts[1::2], parts[2::2], strict=True)]


def without_decimals(text: str) -> str:
    """Measured figures differ between processors in their last digits; words and counts do not."""
    return re.sub(r"\d+\.\d+", "#", text)


def assert_says(printed: str, said: str) -> None:
    # What leaves out a line stands in a line of its own, and may leave out none.
    wanted = without_decimals(re.sub(r"^\.\.\.\n", "...", said, flags=re.MULTILINE))
    got = without_decimals(printed)
    if not doctest.OutputChecker().check_output(wanted, got, FLAGS):
        pytest.fail(f"the page says\n{said}\nand the command prints\n{printed}", pytrace=False)


def run_here(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``foedus`` prints, both streams. In this process: importing torch for every command would take longest."""
    printed = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["foedus", *arguments])
    log = logging.getLogger("foedus")
    handlers = list(log.handlers)
    try:
        with redirect_stdout(printed), redirect_stderr(printed), pytest.raises(SystemExit) as ended:
            main()
    finally:
        log.handlers[:] = handlers
    assert not ended.value.code, printed.getvalue()
    return printed.getvalue()


def run_and_interrupt(arguments: list[str]) -> str:
    """The same in a process of its own, which gets Ctrl-C after a few commits."""
    history = Path(arguments[arguments.index("--out") + 1]) / "history.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "foedus", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(foedus.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while process.poll() is None and not (history.exists() and history.read_bytes().count(b"\n") > 3):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, printed
    return printed


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "examples" / "hospitals.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    names: dict[str, object] = {}
    count = 0
    for kind, block in BLOCKS:
        if kind == "toml":
            first, _, text = block.partition("\n")
            Path(first.removeprefix("# ")).write_text(text)
        elif kind == "python":
            test = doctest.DocTestParser().get_doctest(block, names, PAGE.name, str(PAGE), 0)
            report: list[str] = []
            assert not runner.run(test, out=report.append, clear_globs=False).failed, "".join(report)
            names |= test.globs
        else:
            for arguments, said in commands(block):
                interrupted = "^C\n" in said
                printed = run_and_interrupt(arguments) if interrupted else run_here(arguments, monkeypatch)
                assert_says(printed, said.replace("^C\n", ""))
                count += 1
    assert count >= 9


def test_words_that_are_not_printed_are_noticed() -> None:
    assert_says("round 3\nAUC 0.8951\nend\n", "...\nAUC 0.8949\n...\n")
    with pytest.raises(pytest.fail.Exception):
        assert_says("AUC 0.8951\nend\n", "AUC 0.8951\nthe end\n")
    with pytest.raises(pytest.fail.Exception):
        assert_says("40 rounds\n", "41 rounds\n")
