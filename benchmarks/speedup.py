"""How fast vectors are summed over processes: ours over shared memory and sockets, and gloo. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import markdown, options, origin, origin_lines, result_file
from simulation import QUIET, busy

from foedus.network.fit import fit_alpha_beta
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.collectives.collective import Collective, collective, edges
from foedus.runtimes.processes.collectives.gloo import Gloo
from foedus.runtimes.processes.wire.pair import connected_pair
from foedus.speedup.pingpong import Move, moves, probe

OURS = {
    "ring, shared": ("ring", "shared"),
    "ring, sockets": ("ring", "sockets"),
    "tree, shared": ("tree", "shared"),
    "tree, sockets": ("tree", "sockets"),
}
BASES = {"copy": "copying memory", "loopback": "raw loopback"}
"""What the machine can do: all processes at once copy half of their vector; plain calls move what a ring moves."""

CALLS = {1_000: 50, 10_000: 50, 100_000: 20, 1_000_000: 5, 10_000_000: 1, 100_000_000: 1}
"""Numbers of a vector, and how many calls one after the other are one measurement."""

REPEATS = {10_000_000: 7, 100_000_000: 2}
"""Measurements of each contestant in one start; 15 where nothing else is said."""

STARTS = 3
"""How often all processes are started anew: where the system puts gloo's threads makes a difference of ten times."""


# -- one rank ----------------------------------------------------------------------------------------------------------


class Raw:
    """What a ring moves, by the plainest calls there are: one thread sends, the other receives."""

    def __init__(self, rank: int, ranks: int, socks: dict[int, socket.socket]) -> None:
        self._ranks = ranks
        self._left, self._right = socks[(rank - 1) % ranks], socks[(rank + 1) % ranks]

    def move(self, vector: torch.Tensor, spare: torch.Tensor) -> None:
        n = 2 * (self._ranks - 1) * vector.nbytes // self._ranks
        out, into = (memoryview(t.view(torch.uint8).numpy()) for t in (vector, spare))
        if n <= 1 << 16:  # it fits into the socket's buffers: no thread is needed
            self._send(out, n)
            self._receive(into, n)
            return
        sender = threading.Thread(target=self._send, args=(out, n))
        sender.start()
        self._receive(into, n)
        sender.join()

    def _send(self, out: memoryview, n: int) -> None:
        while n:
            part = out[: min(n, len(out))]
            self._right.sendall(part)
            n -= len(part)

    def _receive(self, into: memoryview, n: int) -> None:
        while n:
            n -= self._left.recv_into(into[: min(n, 1 << 19)])


def contestants(x: torch.Tensor, sums: dict[str, Any], raw: Raw) -> dict[str, Callable[[], Any]]:
    """What is measured on this vector. Gloo's notes are messages of their own, so it is called without them."""
    half, spare = len(x) // 2, torch.empty(1 << 17)
    first, second = x[:half], x[len(x) - half :]
    work: dict[str, Callable[[], Any]] = {name: partial(sums[name].all_reduce, x) for name in OURS}
    work["gloo"] = partial(sums["gloo"].sum, x)
    return {**work, "copy": lambda: first.copy_(second), "loopback": lambda: raw.move(x, spare)}


def rank_main(plan: dict[str, Any], rank: int) -> None:
    """One process: all contestants in turn, in the same order at all ranks. Writes its times for the parent."""
    torch.set_num_threads(1)
    ranks, spin = plan["ranks"], plan["spin"]
    socks = {
        name: {int(p): socket.socket(fileno=fd) for p, fd in theirs.items()}
        for name, theirs in plan["socks"][rank].items()
    }
    meters = {name: Meter() for name in [*OURS, "gloo"]}
    sums: dict[str, Collective] = {
        name: collective(exchange, rank, ranks, socks[name], wire, meters[name], spin, 60.0)
        for name, (exchange, wire) in OURS.items()
    }
    sums["gloo"] = collective("gloo", rank, ranks, {}, "sockets", meters["gloo"], timeout=60.0, store=plan["store"])
    raw = Raw(rank, ranks, socks["loopback"])
    meeting, one = sums["ring, shared"], torch.zeros(1)
    rows = []
    for size in plan["sizes"]:
        calls, repeats = CALLS[size], plan["repeats"] or REPEATS.get(size, 15)
        x = torch.empty(size)
        work = contestants(x, sums, raw)
        took: dict[str, list[float]] = {name: [] for name in work}
        before, clock = busy(plan["pids"]()), time.perf_counter()
        for repeat in range(repeats + 1):
            for name, call in work.items():
                x.fill_(1.0)
                meeting.all_reduce(one)  # start together
                begin = time.perf_counter()
                for _ in range(calls):
                    call()
                taken = (time.perf_counter() - begin) / calls
                if repeat:  # the first one touches memory and warms up
                    took[name].append(taken)
                if name not in BASES and not torch.allclose(x[[0, -1]], torch.tensor(float(ranks) ** calls)):
                    raise SystemExit(f"{name}: {x[0]} instead of {ranks}**{calls}")
        after = busy(plan["pids"]())
        others = max(0.0, after[0] - before[0] - after[1] + before[1]) / (time.perf_counter() - clock)
        rows.append({"size": size, "seconds": took, "others": others})
        if rank == 0:
            print(f"{size:,} numbers: {sum(map(sum, took.values())) * calls:.1f} s", file=sys.stderr, flush=True)
    links = {}
    if ranks > 1 and rank < 2:
        links = {name: probe(rank, *_moves(sums[name], 1 - rank)) for name in ("ring, shared", "ring, sockets", "gloo")}
    Path(plan["folder"], f"{rank}.json").write_text(json.dumps({"rows": rows, "links": links}))
    for c in sums.values():
        c.close()


def _moves(c: Any, peer: int) -> tuple[Move, Move]:
    if not isinstance(c, Gloo):
        return moves(c.pump, c.pipes[peer])

    def move(call: Callable[..., Any], body: bytearray) -> None:
        call([torch.frombuffer(body, dtype=torch.uint8)], peer, 0).wait()

    return partial(move, c.group.send), partial(move, c.group.recv)


# -- the parent --------------------------------------------------------------------------------------------------------


def connect(ranks: int) -> list[dict[str, dict[int, socket.socket]]]:
    """By rank and contestant, the sockets to other ranks."""
    out: list[dict[str, dict[int, socket.socket]]] = [{name: {} for name in [*OURS, "loopback"]} for _ in range(ranks)]
    for name in out[0]:
        exchange, wire = OURS.get(name, ("ring", "sockets"))
        for rank in range(ranks):
            for peer in edges(exchange, rank, ranks):
                if peer > rank:
                    out[rank][name][peer], out[peer][name][rank] = connected_pair(wire)
    return out


def measure(ranks: int, sizes: list[int], repeats: int, starts: int) -> dict[str, Any]:
    """All starts together, as one."""
    found = [start(ranks, sizes, repeats) for _ in range(starts)]
    rows = []
    for same in zip(*(f["rows"] for f in found), strict=True):
        seconds = {k: [t for r in same for t in r["seconds"][k]] for k in same[0]["seconds"]}
        others = statistics.mean(r["others"] for r in same)
        rows.append({"size": same[0]["size"], "seconds": seconds, "others": others})
    links = {k: [s for f in found for s in f["links"][k]] for k in found[0]["links"]}
    return {"ranks": ranks, "starts": starts, "spin": found[0]["spin"], "rows": rows, "links": links}


def start(ranks: int, sizes: list[int], repeats: int) -> dict[str, Any]:
    """Start a process for every rank, and put their times together: a call has taken what its slowest rank took."""
    spin = ranks <= len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        socks = connect(ranks)
        plan = {
            "ranks": ranks,
            "sizes": sizes,
            "repeats": repeats,
            "spin": spin,
            "folder": folder,
            "store": str(Path(folder, "gloo")),
            "socks": [{name: {p: s.fileno() for p, s in t.items()} for name, t in theirs.items()} for theirs in socks],
        }
        Path(folder, "plan.json").write_text(json.dumps(plan))
        processes = []
        try:
            for rank, theirs in enumerate(socks):
                fds = [s.fileno() for t in theirs.values() for s in t.values()]
                args = [sys.executable, __file__, "--rank", str(rank), "--out", folder]
                processes.append(subprocess.Popen(args, pass_fds=fds))
                Path(folder, f"{rank}.pid").write_text(str(processes[-1].pid))
            for theirs in socks:
                for s in (s for t in theirs.values() for s in t.values()):
                    s.close()
            for p in processes:
                if p.wait():
                    raise SystemExit(f"a rank ended with status {p.returncode}")
        finally:
            for p in processes:
                p.kill()
                p.wait()
        found = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(ranks)]
    rows = []
    for mine in zip(*(f["rows"] for f in found), strict=True):
        seconds = {k: [max(t) for t in zip(*(r["seconds"][k] for r in mine), strict=True)] for k in mine[0]["seconds"]}
        rows.append({"size": mine[0]["size"], "seconds": seconds, "others": mine[0]["others"]})
    return {"spin": spin, "rows": rows, "links": found[0]["links"]}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return low, middle, high


def summary(row: dict[str, Any], ranks: int) -> dict[str, Any]:
    """Quartiles of times, and of the ratios within each repetition; bandwidths from the median times."""
    seconds, nbytes = row["seconds"], 4 * row["size"]
    moved = 2 * (ranks - 1) / ranks * nbytes
    out: dict[str, Any] = {
        "size": row["size"],
        "others": row["others"],
        "seconds": {k: quartiles(v) for k, v in seconds.items()},
        "gloo_fastest": min(seconds["gloo"]),
        "gb_per_s": {k: (nbytes / 2 if k == "copy" else moved) / quartiles(v)[1] / 1e9 for k, v in seconds.items()},
        "gloo_over": {k: quartiles([g / t for g, t in zip(seconds["gloo"], seconds[k], strict=True)]) for k in OURS},
        "loopback_over": {
            k: quartiles([b / t for b, t in zip(seconds["loopback"], seconds[k], strict=True)]) for k in [*OURS, "gloo"]
        },
    }
    return out


def _time(seconds: float) -> str:
    us = 1e6 * seconds
    return f"{us:,.0f} us" if us < 10_000 else f"{us / 1000:,.0f} ms"


def tables(found: list[dict[str, Any]]) -> str:
    """Times, bandwidths and ratios as Markdown."""
    names = [*OURS, "gloo", *BASES]
    times = markdown(
        ["float32 numbers", *names, "gloo's fastest", "others"],
        [
            [
                f"{r['size']:,}",
                *map(_time, [*(r["seconds"][k][1] for k in names), r["gloo_fastest"]]),
                f"{100 * r['others']:.0f} %",
            ]
            for r in found
        ],
    )
    speeds = markdown(
        ["float32 numbers", *names],
        [[f"{r['size']:,}", *(f"{r['gb_per_s'][k]:.2f}" for k in names)] for r in found],
    )
    ratios = markdown(
        ["float32 numbers", *(f"gloo / {k}" for k in OURS), "of loopback: ring, sockets", "gloo"],
        [
            [f"{r['size']:,}"]
            + ["{1:.1f} ({0:.1f} to {2:.1f})".format(*r["gloo_over"][k]) for k in OURS]
            + [f"{r['loopback_over'][k][1]:.2f}" for k in ("ring, sockets", "gloo")]
            for r in found
        ],
    )
    return (
        f"## Time of an all-reduce, medians\n\n{times}\n\n## GB/s\n\n{speeds}\n\n## How many times faster\n\n{ratios}"
    )


def link_lines(links: dict[str, list[tuple[int, float]]]) -> str:
    """The latency and the bandwidth of one message, fitted."""
    fits = {name.split(", ")[-1]: fit_alpha_beta(samples) for name, samples in links.items()}
    rows = [[k, f"{1e6 * a:.1f}", f"{1e-9 / b:.2f}" if b else "-"] for k, (a, b) in fits.items()]
    return "## One message one way, fitted\n\n" + markdown(["wire", "latency (us)", "GB/s"], rows)


def picture(found: list[dict[str, Any]], ranks: int, file: Path) -> None:
    """Bandwidth against the vector's size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    looks = {
        "ring, shared": ("#2b6cb0", "o-"),
        "ring, sockets": ("#2f855a", "o-"),
        "tree, shared": ("#90cdf4", "s-"),
        "tree, sockets": ("#9ae6b4", "s-"),
        "gloo": ("#c53030", "o-"),
        "copy": ("#718096", "--"),
        "loopback": ("#a0aec0", ":"),
    }
    for name, (color, style) in looks.items():
        x, y = [r["size"] for r in found], [r["gb_per_s"][name] for r in found]
        ax.plot(x, y, style, color=color, label=BASES.get(name, name), markersize=4)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("float32 numbers in the vector")
    ax.set_ylabel("GB/s a rank sends")
    ax.set_title(f"All-reduce over {ranks} processes", fontsize=10)
    ax.legend(fontsize=8, frameon=False)
    ax.grid(alpha=0.3)
    fig.savefig(file, dpi=150)
    plt.close(fig)


def main() -> None:
    """The command line."""
    parser = options("Sums over processes.", quick="three each, up to a million numbers")
    parser.add_argument("--ranks", type=int, default=2, help="processes")
    parser.add_argument("--sizes", default="", help="numbers of the vectors, of " + ", ".join(map(str, CALLS)))
    parser.add_argument("--repeats", type=int, default=0, help="measurements of each contestant in one start")
    parser.add_argument("--starts", type=int, default=0, help="how often all processes are started anew")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank is not None:
        plan = json.loads((args.out / "plan.json").read_text())
        plan["pids"] = lambda: [int(p.read_text()) for p in args.out.glob("*.pid")]
        rank_main(plan, args.rank)
        return
    most = args.scale.of(100_000_000, 1_000_000, 10_000)
    sizes = [int(float(s)) for s in args.sizes.split(",")] if args.sizes else [s for s in CALLS if s <= most]
    repeats = args.repeats or args.scale.of(0, 3, 1)
    starts = args.starts or args.scale.of(STARTS, 1, 1)
    if args.ranks < 2 or not set(sizes) <= set(CALLS):
        parser.error(f"give at least two ranks, and sizes among {', '.join(map(str, CALLS))}")
    measured = measure(args.ranks, sizes, repeats, starts)
    found = [summary(r, args.ranks) for r in measured["rows"]]
    where = origin()
    loud = [f"{r['size']:,}" for r in found if r["others"] >= QUIET]
    text = (
        f"{args.ranks} processes with one thread each, "
        + ("which spin before they sleep" if measured["spin"] else "more than there are cores, so that none spins")
        + f"; started {starts} times. A repetition is one measurement of each contestant, one after the other; a "
        "call has taken what its slowest rank took. GB/s: what a rank sends by the formula, 2(n-1)/n of the vector, "
        "over the time; for *copy*, the bytes that every process copies at once. *loopback*: the bytes of a ring by "
        "blocking sendall and recv_into in two threads, nothing added. "
        "Ratios are taken within a repetition; in brackets, their quartiles."
    )
    if loud:
        text += f" **The machine was not quiet** at {', '.join(loud)} numbers (column *others*): those are no claims."
    body = f"{text}\n\n{tables(found)}\n\n{link_lines(measured['links'])}"
    print(f"{origin_lines(where)}\n\n{body}")
    file = result_file(args, "speedup" if args.ranks == 2 else f"speedup-{args.ranks}")
    file.write_text(f"# Sums over processes\n\n{origin_lines(where)}\n\n{body}\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, **measured, "summary": found}, indent=1) + "\n")
    picture(found, args.ranks, file.with_suffix(".png"))
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
