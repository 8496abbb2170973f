"""A run that is killed at any moment, as often as you like, ends with the same bits."""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from foedus.cli import main

from .conftest import SMALL

KILLS = 20


def child(*args):
    """The command in a process of its own, with its progress in a pipe: ``(pid, file)``."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(writer, 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            sys.argv = ["foedus", *map(str, args)]
            main()
        except SystemExit as e:
            os._exit(int(e.code or 0))
        finally:
            os._exit(0)
    os.close(writer)
    return pid, open(reader, "rb", buffering=0)


def killed(folder, draw, *args):
    """Start the command, kill it at a moment that is drawn; whether that was before it had ended by itself.

    The moment is so many events and then so long after them, from nothing to a few rounds. Whatever it hits is right:
    the more different moments, the more is tested.
    """
    pid, progress = child(*args)
    with progress:
        for _ in range(draw.randrange(4)):
            if not progress.readline():
                break
        until = time.perf_counter() + draw.uniform(0, 0.03)
        while time.perf_counter() < until:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def sha(folder):
    return json.loads((Path(folder) / "run.json").read_text())["sha256"]


def ended(folder):
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder / "run.json").read_text())["status"] == "finished"
    return False


@pytest.mark.parametrize(
    "sets",
    [[], ["checkpoint.every=3", "evaluate.nodes=2", "data.holdout=0.2"]],
    ids=["each round", "now and then"],
)
def test_killed_twenty_times_and_resumed_it_ends_with_the_same_bits(tmp_path, monkeypatch, foedus, sets):
    file = tmp_path / "a.toml"
    file.write_text(SMALL.replace("rounds = 6", "rounds = 40"))
    options = [x for s in sets for x in ("--set", s)]
    assert foedus("run", file, *options, "-o", "whole", "-q").status == 0
    draw, kills, starts = random.Random(0), 0, 0
    out = tmp_path / "part"
    while kills < KILLS:
        if ended(out):  # it was faster than we: again from the start
            out.rename(tmp_path / f"ended-{starts}")
            assert sha(tmp_path / f"ended-{starts}") == sha(tmp_path / "whole")
        starts += 1
        again = ["run", "--resume", out] if out.exists() and any(out.iterdir()) else ["run", file, *options, "-o", out]
        kills += killed(out, draw, *again)
    again = ["run", "--resume", out] if out.exists() and any(out.iterdir()) else ["run", file, *options, "-o", out]
    assert foedus(*again, "-q").status == 0
    assert sha(out) == sha(tmp_path / "whole")
    for name in ("model.safetensors", "ledger.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (tmp_path / "whole" / "history.jsonl").read_text().splitlines()]
    for a, b in zip(lines, expected, strict=True):
        assert {**a, "wall_s": 0} == {**b, "wall_s": 0}
    assert not list(out.glob("*.tmp"))


def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(tmp_path, foedus):
    file = tmp_path / "a.toml"
    file.write_text(SMALL + '[sweep]\nseed = [0, 1]\n"program.fedavg.local.lr" = [0.05, 0.1]\n')
    assert foedus("run", file, "-o", "whole", "-q").status == 0
    draw, out = random.Random(1), tmp_path / "part"
    for _ in range(6):
        again = ["run", "--resume", out] if (out / "study.json").exists() else ["run", file, "-o", out]
        killed(out, draw, *again)
    again = ["run", "--resume", out] if (out / "study.json").exists() else ["run", file, "-o", out]
    assert foedus(*again, "-q").status == 0
    cases = sorted(p.parent.name for p in (tmp_path / "whole").glob("*/run.json"))
    assert len(cases) == 4
    for case in cases:
        assert sha(out / case) == sha(tmp_path / "whole" / case)
    assert (out / "report.html").exists()
