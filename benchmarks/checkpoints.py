"""What it costs that a run can be stopped at any instant: commits and resuming, beside those of an earlier commit.

See README.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, fail, markdown, options, origin, origin_lines, result_file

import foedus as fd
from foedus.core.records.folder import RunFolder

BEFORE = "b808b46"
"""One checkpoint, no digests, all states at every commit."""

SERVE = "--serve"
"""How this file is started as a side: it reads what to measure, a line of JSON each, and answers in the same way."""


# -- what is measured, in a process of either side ---------------------------------------------------------------------


@dataclass(frozen=True)
class AllThenSome:
    """All nodes once, so that every one of them remembers something; then cohorts of 100."""

    rounds: int
    local: fd.LocalSGD = fd.LocalSGD(batch_size=8, lr=0.1)

    async def __call__(self, fed: fd.Federation) -> Any:
        s = await fed.begin(lambda w: fd.State(w=w))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(fd.Fraction(1.0) if t == 0 else fd.Fixed(min(100, fed.nodes)))
            keep = (fd.ErrorFeedback(fd.TopK(0.1)),)
            total = await fed.map_reduce(self.local.at(t), {"w": s.w}, nodes, fd.Mean(), transforms=keep)
            s = s.replace(w=s.w + total["delta"])
            await fed.commit(s)
        return s.w


def small(rounds: int) -> tuple[Any, Any, Any]:
    """A short run: 62 parameters, four nodes."""
    data = fd.data.load("breast-cancer").split(fd.data.IID(), nodes=4, seed=0)
    return fd.FedAvg(rounds, local=fd.LocalSGD(batch_size=16, lr=0.05)), fd.Model(fd.models.logistic(30, 2)), data


def large(rounds: int) -> tuple[Any, Any, Any]:
    """A million parameters, four nodes that remember nothing."""
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    return (
        fd.FedAvg(rounds, local=fd.LocalSGD(batch_size=500, lr=0.05)),
        fd.Model(fd.models.mlp(64, 1024, 900, 10)),
        data,
    )


def memory(rounds: int, nodes: int) -> tuple[Any, Any, Any]:
    """Nodes that remember 7,210 numbers each, of which 100 take part in a round."""
    random = np.random.default_rng(0)
    x = random.normal(size=(nodes, 64)).astype("f")
    data = fd.data.arrays(x, random.integers(0, 10, nodes)).split(fd.data.IID(), nodes=nodes, seed=0)
    return AllThenSome(rounds), fd.Model(fd.models.mlp(64, 96, 10)), data


def commits(made: tuple[Any, Any, Any], place: Path) -> dict[str, Any]:
    """Of a run's commits but the first two: median seconds in the folder, and the bytes that were written."""
    program, model, data = made
    seconds, written, real = [], [], RunFolder.commit

    def timed(self: RunFolder, *args: Any, **kwargs: Any) -> None:
        before, started = _written(), time.perf_counter()
        real(self, *args, **kwargs)
        seconds.append(time.perf_counter() - started)
        written.append(_written() - before)

    RunFolder.commit = timed  # type: ignore[method-assign]
    try:
        fd.train(program, model, data, out=place / "run", evaluate_every=10**6)
    finally:
        RunFolder.commit = real  # type: ignore[method-assign]
    return {"s": statistics.median(seconds[2:]), "bytes": statistics.median(written[2:]), "sum_s": sum(seconds[2:])}


def resuming(made: tuple[Any, Any, Any], place: Path) -> dict[str, Any]:
    """Seconds of a run, and the least of resuming it when it has ended: all that is read and checked."""
    program, model, data = made
    config = "".join(f'[table{i}]\nname = "value {i}"\nnumber = {i}\n' for i in range(20))  # as long as a real one
    started = time.perf_counter()
    fd.train(program, model, data, out=place / "run", config=config)
    run_s = time.perf_counter() - started
    times = []
    for _ in range(5):
        started = time.perf_counter()
        with contextlib.suppress(ImportError):  # what the command line does besides
            from foedus.experiment.unchanged import check_unchanged

            check_unchanged(place / "run", config)
        fd.train(program, model, data, out=place / "run", resume=True, config=config)
        times.append(time.perf_counter() - started)
    return {"run_s": run_s, "resume_s": min(times)}


def _written() -> int:
    """Bytes that this process has given to the system to write, where that says so."""
    with contextlib.suppress(OSError):
        return int(next(x for x in Path("/proc/self/io").read_text().splitlines() if x.startswith("wchar")).split()[1])
    return 0


def serve() -> None:
    """Measure what is asked for, until nobody asks."""
    torch.set_num_threads(1)
    make = {"small": small, "large": large, "memory": memory}
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory(dir=asked["place"]) as place:
            measure = {"commits": commits, "resuming": resuming}[asked["measure"]]
            print(json.dumps(measure(make[asked["of"]](*asked["with"]), Path(place))), flush=True)


# -- the two sides -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def side(source: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that measures with the foedus of this folder."""
    with subprocess.Popen(
        [sys.executable, __file__, SERVE],
        env=os.environ | {"PYTHONPATH": str(source)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def ask(process: subprocess.Popen[str], **what: Any) -> dict[str, Any]:
    """What it measures. Leaves with status 2 if it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    return json.loads(line) if line else fail("a process that measures has ended; what it said stands above")  # type: ignore[no-any-return]


def earlier(commit: str, place: Path) -> Path:
    """The sources of an earlier commit. Leaves with status 2 where there is no such commit."""
    done = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], capture_output=True)
    if done.returncode:
        fail(f"there is no commit {commit} here: run this in a clone of the repository, or give --before COMMIT")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(place, filter="data")
    return place / "src"


def main() -> None:
    """The command line."""
    parser = options("What commits and resuming cost.", quick="few repetitions, 1,000 nodes that remember")
    parser.add_argument("--before", default=BEFORE, help=f"the commit to compare with ({BEFORE}); '-' for this one")
    parser.add_argument("--place", type=Path, help="a folder on the disk that is to be measured")
    args = parser.parse_args()
    repetitions, nodes = args.scale.of(7, 3, 1), args.scale.of(10_000, 1_000, 100)
    rounds = args.scale.of(42, 22, 5)
    work: list[tuple[str, str, str, list[int]]] = [
        ("62 parameters", "commits", "small", [rounds]),
        ("1,000,000 parameters", "commits", "large", [args.scale.of(22, 12, 4)]),
        (f"{nodes:,} nodes that remember 29 kB", "commits", "memory", [args.scale.of(12, 12, 5), nodes]),
        ("a run of 30 rounds", "resuming", "small", [args.scale.of(30, 30, 3)]),
    ]
    here = Path(fd.__file__).parents[1]
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory(dir=args.place) as place:
        then = here if args.before == "-" or args.scale.value == "-smoke" else earlier(args.before, Path(place))
        with side(then) as old, side(here) as new:
            for name, measure, of, given in work:
                what = {"measure": measure, "of": of, "with": given, "place": place}
                many = 1 if of == "memory" and args.scale.value == "" else repetitions
                for i in range(max(many, min(3, repetitions))):
                    both = {id(p): ask(p, **what) for p in ((old, new) if i % 2 else (new, old))}
                    found.setdefault(name, []).append((both[id(old)], both[id(new)]))
    show(args, found)


def show(args: Any, found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]) -> None:
    """Tables of the medians; a ratio is the median of those within a repetition."""
    rows, resume = [], []
    for name, pairs in found.items():
        if "s" in pairs[0][0]:
            ratio = statistics.median(b["s"] / a["s"] for a, b in pairs)
            a, b = (statistics.median(p[i]["s"] for p in pairs) for i in (0, 1))
            sizes = [statistics.median(p[i]["bytes"] for p in pairs) for i in (0, 1)]
            rows.append([name, f"{1e3 * a:.2f}", f"{1e3 * b:.2f}", f"{ratio:.2f}", *(f"{s / 1e6:,.3f}" for s in sizes)])
        else:
            run, a, b = (
                statistics.median(p[side][key] for p in pairs)
                for side, key in ((1, "run_s"), (0, "resume_s"), (1, "resume_s"))
            )
            more = statistics.median((b["resume_s"] - a["resume_s"]) / b["run_s"] for a, b in pairs)
            resume.append([name, f"{1e3 * run:.0f}", f"{1e3 * a:.1f}", f"{1e3 * b:.1f}", f"{100 * more:.1f} %"])
    tables = "\n\n".join(
        (
            markdown(["a commit", "before (ms)", "now (ms)", "now / before", "before (MB)", "now (MB)"], rows),
            markdown(["resuming", "the run (ms)", "before (ms)", "now (ms)", "more, of the run"], resume),
        )
    )
    where = origin()
    text = (
        f"*before* is commit {args.before}. Both sides are processes that live through all of it and take turns; what "
        "stands here are medians, ratios those of pairs. A commit is what the run's folder takes, without evaluation."
    )
    print(f"{origin_lines(where)}\n\n{tables}")
    file = result_file(args, "checkpoints")
    file.write_text(f"# Checkpoints\n\n{origin_lines(where)}\n\n{text}\n\n{tables}\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, "pairs": found}, indent=1) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    serve() if SERVE in sys.argv else main()
