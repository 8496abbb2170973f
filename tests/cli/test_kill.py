"""A run that is killed at any moment, as often as you like, ends with the same bits.

Every command runs in a process of its own. A process that has imported torch, and does nothing else, forks them, so
that a start takes milliseconds instead of seconds.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import SMALL

KILLS = 20

FORKS = """
import json, os, sys
import matplotlib
matplotlib.use("Agg")
import sklearn.datasets
import foedus.cli, foedus.estimators, foedus.experiment.study, foedus.data.tables
import foedus.experiment.made_here, foedus.runtimes.processes
import foedus.report.document, foedus.report.live, foedus.report.pictures, foedus.report.terminal
from foedus.cli import main
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(asked["cwd"])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(asked["progress"], os.O_WRONLY), 2)
        sys.argv = ["foedus", *asked["args"]]
        status = 70
        try:
            main()
            status = 0
        except SystemExit as e:
            status = e.code or 0
        finally:
            os._exit(status)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def forks():
    """A process that starts commands: it says a pid, and when that has ended how."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads do not survive a fork
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", FORKS], stdin=pipe, stdout=pipe, text=True, bufsize=1, env=env) as p:
        assert p.stdout.readline() == "ready\n"
        yield p
        p.stdin.close()


def killed(forks, place, draw, *args):
    """Start the command, kill it at a moment that is drawn; whether that was before it had ended by itself.

    The moment is so many lines of progress and then so long after them, from nothing to a few rounds. Whatever it hits
    is right: the more different moments, the more is tested.
    """
    progress = place / "progress"
    if not progress.exists():
        os.mkfifo(progress)
    asked = {"args": list(map(str, args)), "cwd": str(place), "progress": str(progress)}
    forks.stdin.write(json.dumps(asked) + "\n")
    pid = int(forks.stdout.readline())
    with open(progress, "rb", buffering=0) as lines:
        for _ in range(draw.randrange(4)):
            if not lines.readline():
                break
        until = time.perf_counter() + draw.uniform(0, 0.05)
        while time.perf_counter() < until:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    status = int(forks.stdout.readline())
    assert os.WIFSIGNALED(status) or status == 0, os.waitstatus_to_exitcode(status)
    return os.WIFSIGNALED(status)


def sha(folder):
    return json.loads((Path(folder) / "run.json").read_text())["sha256"]


def ended(folder):
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder / "run.json").read_text())["status"] == "finished"
    return False


def again(out, *fresh):
    """The command that goes on, or begins if there is nothing yet."""
    begun = any((out / name).exists() for name in ("config.toml", "study.json"))
    return ["run", "--resume", out] if begun else ["run", *fresh, "-o", out]


@pytest.mark.parametrize(
    "sets",
    [[], ["checkpoint.every=3", "evaluate.nodes=2", "data.holdout=0.2"]],
    ids=["each round", "now and then"],
)
def test_killed_twenty_times_and_resumed_it_ends_with_the_same_bits(tmp_path, foedus, forks, sets):
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
        kills += killed(forks, tmp_path, draw, *again(out, file, *options))
    assert foedus(*again(out, file, *options), "-q").status == 0
    assert sha(out) == sha(tmp_path / "whole")
    for name in ("model.safetensors", "ledger.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (tmp_path / "whole" / "history.jsonl").read_text().splitlines()]
    for a, b in zip(lines, expected, strict=True):
        assert {**a, "wall_s": 0} == {**b, "wall_s": 0}
    assert not list(out.glob("*.tmp"))


def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(tmp_path, foedus, forks):
    file = tmp_path / "a.toml"
    file.write_text(SMALL + '[sweep]\nseed = [0, 1]\n"program.fedavg.local.lr" = [0.05, 0.1]\n')
    assert foedus("run", file, "-o", "whole", "-q").status == 0
    draw, out = random.Random(1), tmp_path / "part"
    for _ in range(6):
        killed(forks, tmp_path, draw, *again(out, file))
    assert foedus(*again(out, file), "-q").status == 0
    cases = sorted(p.parent.name for p in (tmp_path / "whole").glob("*/run.json"))
    assert len(cases) == 4
    for case in cases:
        assert sha(out / case) == sha(tmp_path / "whole" / case)
    assert (out / "report.html").exists()
