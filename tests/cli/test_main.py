"""The command line: exit status 0, 1, 2, and the demonstration."""

import json
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import foedus
from foedus.cli import main
from foedus.cli.entry import app
from foedus.core.errors import BadInput, Diverged, Interrupted

FOEDUS = Path(sys.executable).with_name("foedus")


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, timeout=300, **options)


def test_version_and_help():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.strip()) == (0, f"foedus {foedus.__version__}")
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "demo" in result.output


def test_bad_usage_is_status_2():
    for args in (["--nonsense"], ["nonsense"], ["demo", "--workers", "many"], ["demo", "--nonsense"]):
        assert CliRunner().invoke(app, args).exit_code == 2, args


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BadInput("that is wrong"), 2, "foedus: that is wrong\n"),
        (Diverged("it diverged"), 1, "foedus: it diverged\n"),
        (Interrupted("stopped at commit 3; go on with ..."), 130, "foedus: stopped at commit 3; go on with ...\n"),
        (KeyboardInterrupt(), 130, "foedus: stopped\n"),
        (
            PermissionError(13, "Permission denied", "/x"),
            2,
            "foedus: /x: you have no permission: have it given to you, or choose another place\n",
        ),
        (
            UnicodeEncodeError("ascii", "a \xb1", 2, 3, "no"),
            2,
            "foedus: '\\xb1' cannot be written as ascii: set PYTHONUTF8=1\n",
        ),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
            2,
            "foedus: what was read is no text: .*",
        ),
        (MemoryError(), 1, r"foedus: memory ran out \(this process can have .*\): take fewer rows, .*"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "foedus: memory ran out .*"),
    ],
)
def test_errors_are_one_line_and_a_status(monkeypatch, capsys, error, status, line):
    def fails():
        raise error

    monkeypatch.setattr(sys.modules["foedus.cli.entry"], "app", fails)
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code == status
    said = capsys.readouterr().err
    assert said == line or re.fullmatch(line + "\n", said)


def test_workers_0_is_bad_input_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["foedus", "demo", "--workers", "0"])
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code == 2
    error = capsys.readouterr().err
    assert "workers" in error, error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_python_m_foedus(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["foedus", "--version"])
    with pytest.raises(SystemExit) as e:
        runpy.run_module("foedus", run_name="__main__")
    assert not e.value.code
    assert capsys.readouterr().out == f"foedus {foedus.__version__}\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demonstration, once."""
    out = tmp_path_factory.mktemp("demo") / "page"
    started = time.monotonic()
    result = run(str(FOEDUS), "demo", "--out", str(out), cwd=out.parent)
    return result, out, time.monotonic() - started


def test_the_demo_leaves_its_page_and_says_where(demo):
    result, out, seconds = demo
    assert result.returncode == 0, result.stderr
    page = out / "report.html"
    assert result.stdout.splitlines()[-1] == f"The page: {page} (open it in a browser)"
    # Off a terminal a line a second at most, beside two for each program's end and the answer.
    assert len(result.stdout.splitlines()) <= seconds + 12
    assert [p.name for p in out.parent.iterdir()] == ["page"]
    assert [p.name for p in out.iterdir()] == ["report.html"]
    text = page.read_text()
    for name in ("Centralized", "LocalOnly", "SyncSGD", "FedAvg"):
        assert name in text
        assert name in result.stdout
    # Self-contained: nothing is fetched.
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_demo_as_json(foedus):
    said = foedus("demo", "--json", "--out", "page")
    assert said.status == 0
    told = json.loads(said.out)
    assert [g["label"] for g in told["groups"]] == ["Centralized", "LocalOnly", "SyncSGD", "FedAvg"]
    assert Path(told["page"]).exists()
    assert "round" in said.err


def test_together_is_better_than_alone_and_close_to_pooled(demo):
    result, _, _ = demo
    numbers = re.search(r"alone ([\d.]+) %, together ([\d.]+) %, all data in one place ([\d.]+) %", result.stdout)
    alone, together, pooled = map(float, numbers.groups())
    assert alone < 60
    assert together > alone + 30
    assert together > 90
    assert pooled > 93
    assert "%" in result.stdout


def test_ctrl_c_ends_the_demo_with_one_line_and_leaves_nothing(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "foedus", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout.readline().startswith("Centralized  round ")
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert errors == "foedus: the demo was stopped; no page was written\n"
    assert demo.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_command_is_still_being_imported_is_one_line(tmp_path):
    """At moments from the first of our lines to when torch is there; before, it is Python that starts."""
    for delay in (0.0, 0.02, 0.1, 0.3, 0.6):
        code = f"""
import signal, sys, threading, time, os
sys.argv = ["foedus", "demo"]
from foedus.cli import leave, main
def press():
    while signal.getsignal(signal.SIGINT) is not leave:  # until its first line has run, this script is not the command
        time.sleep(0.0005)
    time.sleep({delay})
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press, daemon=True).start()
main()
"""
        done = run(sys.executable, "-c", code, cwd=tmp_path)
        assert done.returncode == 130, (delay, done.stderr)
        assert done.stderr in ("foedus: stopped\n", "foedus: the demo was stopped; no page was written\n"), delay
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[], ["run"], ["show"], ["demo"]])
def test_h_is_help(command):
    result = CliRunner().invoke(app, [*command, "-h"])
    assert result.exit_code == 0
    assert "Usage" in result.output
