"""How fast the simulation is: foedus against the leanest torch loop over the same batches, and against two at once.

Every contestant is a process of its own that sleeps until it is asked for some rounds, so that a repetition is a few
seconds of all four, one after another, and its ratios are those of one moment. See README.md.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import image_folder, load, markdown, options, origin, origin_lines, result_file
from torch import Tensor, nn

import foedus as fd
from foedus.core.types.data import FederatedDataset, IndexedRows
from foedus.core.types.keys import Key

SEED = 0
FOREVER = 10**9
"""Rounds of a run that ends when it is told to; its model is never evaluated, so no evaluation is on the clock."""
QUIET = 0.05
"""A repetition is quiet if other processes took less than this share of one core meanwhile."""


@dataclass(frozen=True)
class Workload:
    """One line of the table."""

    name: str
    what: str
    network: str
    nodes: int
    rows: int
    cohort: int
    batch: int
    lr: float
    aim: float | None = None
    verify: int = 3
    """Rounds after which the lean loop's vector must be foedus's."""

    def module(self) -> nn.Module:
        """The network, always with the same first weights."""
        networks: dict[str, Callable[[], nn.Module]] = {
            "logistic": lambda: fd.models.logistic(784, 10),
            "2NN": fd.models.two_nn,
            "CNN": fd.models.cnn,
        }
        return networks[self.network]()

    def data(self, folder: Path) -> FederatedDataset:
        """Fashion-MNIST among the nodes."""
        return load(folder).split(fd.data.IID(), nodes=self.nodes, seed=SEED)

    def program(self, rounds: int) -> fd.FedAvg:
        """One epoch of local SGD a round."""
        return fd.FedAvg(
            rounds=rounds,
            cohort=fd.Fixed(self.cohort),
            local=fd.LocalSGD(epochs=1, batch_size=self.batch, lr=self.lr),
        )


WORKLOADS = (
    Workload("W1", "logistic regression, 1,000 x 60, 10 a round, B=10", "logistic", 1000, 60, 10, 10, 0.1),
    Workload("W1b", "logistic regression, 1,000 x 60, 100 a round, B=10", "logistic", 1000, 60, 100, 10, 0.1),
    Workload("W2", "2NN, 100 x 600, 10 a round, B=10", "2NN", 100, 600, 10, 10, 0.05, aim=0.9),
    Workload("W3", "2NN, 1,000 x 60, 100 a round, B=20", "2NN", 1000, 60, 100, 20, 0.05, aim=0.9),
    Workload("W4", "CNN, 100 x 600, 10 a round, B=32", "CNN", 100, 600, 10, 32, 0.05, aim=0.9, verify=1),
)


class Tiny(Workload):
    """The same processes over almost no data: what Python, torch and foedus take by themselves."""

    def data(self, folder: Path) -> FederatedDataset:
        """Two nodes of ten rows."""
        x = torch.zeros(20, 784)
        return fd.data.arrays(x.numpy(), (torch.arange(20) % 10).numpy()).split(fd.data.IID(), nodes=2, seed=SEED)


TINY = Tiny("tiny", "two nodes", "logistic", 2, 10, 2, 10, 0.1)


# -- the lean loop -----------------------------------------------------------------------------------------------------


class Lean:
    """FedAvg as a sequential torch loop with nothing but the arithmetic: one thread, one resident model.

    Parameters are views of one flat vector; the cohort's models are added up in one other. It keeps no books, tracks no
    loss, and is handed the order of its rows (the same as foedus draws) outside the clock.
    """

    def __init__(self, workload: Workload, data: FederatedDataset) -> None:
        torch.set_num_threads(1)
        self.workload, self.data = workload, data
        self.local = workload.program(1).local
        self.module = workload.module().train()
        self.parameters = list(self.module.parameters())
        self.flat = torch.cat([p.detach().flatten() for p in self.parameters])
        self.views, at = [], 0
        for p in self.parameters:
            view = self.flat[at : at + p.numel()].view(p.shape)
            at += p.numel()
            p.data = view
            self.views.append(view)
        self.w = self.flat.clone()
        self.sum = torch.zeros_like(self.flat)
        self.round = 0
        self.counts: dict[int, int] = {}
        self.backward, self.gather_whole = False, True

    def orders(self, rounds: int) -> list[list[Tensor]]:
        """Rows of every node of the next rounds, in the order in which foedus takes them."""
        # Rows that are their own positions: what a job makes of them tells which rows it takes when.
        positions = torch.arange(len(self.data.y))
        offsets, plan = self.data.offsets.tolist(), []
        for _ in range(rounds):
            cohort = fd.Fixed(self.workload.cohort).draw(self.data.nodes, Key(SEED).child("sample", self.round))
            self.round += 1
            plan.append([])
            for node in cohort:
                count = self.counts.get(node, 0)
                self.counts[node] = count + 1
                rows = IndexedRows(positions, positions, self.data.index[offsets[node] : offsets[node + 1]])
                # The job itself says in which order it takes its rows: the same batches by construction.
                view = fd.NodeView(node, rows, None, {}, Key(SEED).child("job", node, count))
                plan[-1].append(torch.cat([x for x, _ in self.local._batches(view)]))
        return plan

    def run(self, plan: list[list[Tensor]]) -> float:
        """Run rounds; returns seconds."""
        train = self._train_backward if self.backward else self._train_grad
        started = time.perf_counter()
        for orders in plan:
            self.sum.zero_()
            weight = 0
            for order in orders:
                self.flat.copy_(self.w)
                train(order)
                self.sum.add_(self.flat, alpha=len(order))
                weight += len(order)
            torch.div(self.sum, weight, out=self.w)
        return time.perf_counter() - started

    def _batches(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        x, y, size = self.data.x, self.data.y, self.workload.batch
        if self.gather_whole:
            return zip(x.index_select(0, order).split(size), y.index_select(0, order).split(size), strict=True)
        return ((x.index_select(0, rows), y.index_select(0, rows)) for rows in order.split(size))

    def _train_grad(self, order: Tensor) -> None:
        module, parameters, views, lr = self.module, self.parameters, self.views, self.workload.lr
        for x, y in self._batches(order):
            grads = torch.autograd.grad(F.cross_entropy(module(x), y), parameters)
            torch._foreach_add_(views, grads, alpha=-lr)

    def _train_backward(self, order: Tensor) -> None:
        module, parameters, views, lr = self.module, self.parameters, self.views, self.workload.lr
        for x, y in self._batches(order):
            F.cross_entropy(module(x), y).backward()
            torch._foreach_add_(views, [p.grad for p in parameters], alpha=-lr)
            for p in parameters:
                p.grad = None

    def tune(self, seconds: float) -> str:
        """Keep whichever of its four variants is fastest here; its model and position stay as they are."""
        w, at, counts = self.w.clone(), self.round, dict(self.counts)
        best, choice = float("inf"), (False, True)
        plan = self.orders(1)
        once = self.run(plan)
        for _ in range(max(2, min(20, round(seconds / (4 * once))))):
            for variant in [(b, g) for b in (False, True) for g in (False, True)]:
                self.backward, self.gather_whole = variant
                took = self.run(plan)
                if took < best:
                    best, choice = took, variant
        self.backward, self.gather_whole = choice
        self.w, self.round, self.counts = w, at, counts
        return f"{'backward' if choice[0] else 'autograd.grad'}, one gather a {'pass' if choice[1] else 'batch'}"


# -- contestants, each in a process of its own -------------------------------------------------------------------------


class Finished(Exception):
    """The contestant is not needed any more."""


def lean_contestant(pipe: Connection, start: Barrier, workload: Workload, folder: Path) -> None:
    """Answers ``("tune", s)``, ``("set", variant)``, ``("verify",)`` and ``("run", rounds, together)``."""
    data = workload.data(folder)
    lean = Lean(workload, data)
    pipe.send("ready")
    while (message := pipe.recv()) is not None:
        if message[0] == "tune":
            pipe.send((lean.tune(message[1]), (lean.backward, lean.gather_whole)))
        elif message[0] == "set":
            lean.backward, lean.gather_whole = message[1]
            pipe.send(None)
        elif message[0] == "verify":
            lean.run(lean.orders(workload.verify))
            model = fd.Model(workload.module())
            run = fd.train(workload.program(workload.verify), model, data, seed=SEED, evaluate_every=FOREVER)
            moved = float((run.vector - model.initial).abs().max())
            pipe.send((float((lean.w - run.vector).abs().max()), moved))
        else:
            _, rounds, together = message
            plan = lean.orders(rounds)
            if together:
                start.wait()
            pipe.send(lean.run(plan))


def foedus_contestant(pipe: Connection, start: Barrier, workload: Workload, folder: Path, workers: int) -> None:
    """Answers ``("run", rounds)``. One endless run, which waits inside its progress callback between two messages."""
    data = workload.data(folder)
    pipe.send("ready")
    left, started = 0, 0.0

    def listen() -> None:
        nonlocal left, started
        message = pipe.recv()
        if message is None:
            raise Finished
        left, started = message[1], time.perf_counter()

    def after_commit(record: fd.Record) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            pipe.send(time.perf_counter() - started)
            listen()

    try:
        listen()
        fd.train(
            workload.program(FOREVER),
            fd.Model(workload.module()),
            data,
            runtime=fd.Simulation(workers=workers),
            seed=SEED,
            evaluate_every=FOREVER,
            progress=after_commit,
        )
    except Finished:
        pass


class Contestant:
    """A contestant's process, seen from here."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=target, args=(theirs, *args))
        self.process.start()
        theirs.close()
        self.hear()

    def tell(self, *message: Any) -> None:
        """Send a message."""
        self.pipe.send(message)

    def hear(self) -> Any:
        """Wait for the answer."""
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join(5)
            raise SystemExit(1) from None  # it has said why

    def ask(self, *message: Any) -> Any:
        """Send a message and wait for the answer."""
        self.tell(*message)
        return self.hear()

    def close(self) -> None:
        """Let it end."""
        self.pipe.send(None)
        self.process.join(20)

    def pids(self) -> list[int]:
        """Its process and its workers."""
        own = self.process.pid
        try:
            return [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]  # type: ignore[list-item]
        except OSError:
            return [own]  # type: ignore[list-item]


def busy(pids: list[int]) -> tuple[float, float]:
    """Seconds for which all cores were busy, and these processes', since they began."""
    try:
        everything = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        tick = os.sysconf("SC_CLK_TCK")
        ours = 0
        for pid in pids:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ours += int(after_name[11]) + int(after_name[12])
    except OSError:
        return 0.0, 0.0
    # All but idle and iowait; time stolen by other machines on the same host is somebody else's work too.
    return (sum(everything) - everything[3] - everything[4]) / tick, ours / tick


# -- the measurement ---------------------------------------------------------------------------------------------------


def measure(
    w: Workload, folder: Path, workers: int, repetitions: int, seconds: float, nothing: dict[str, float] | None
) -> dict[str, Any]:
    """Interleaved repetitions of lean, two leans at once, foedus inline and foedus with workers. Rates are rounds/s."""
    start = multiprocessing.get_context("spawn").Barrier(workers)
    leans = [Contestant(lean_contestant, start, w, folder) for _ in range(workers)]
    single = Contestant(foedus_contestant, start, w, folder, 1)
    several = Contestant(foedus_contestant, start, w, folder, workers)
    everyone = [*leans, single, several]
    try:
        variant, setting = leans[0].ask("tune", seconds)
        for other in leans[1:]:
            other.ask("set", setting)
        difference, moved = leans[0].ask("verify")
        if not difference <= 1e-5:
            raise SystemExit(f"error: {w.name}: the lean loop's vector differs from foedus's by {difference:.2g}")
        once = leans[0].ask("run", 1, False)
        rounds = max(1, round(seconds / once))
        warm = max(2, rounds // 4) if once < seconds else 1
        for c in everyone:
            # The first round starts the workers and touches all memory for the first time.
            c.ask("run", warm, False)
        used = memory(several, max(1, rounds // 2))
        pids = [os.getpid(), *(pid for c in everyone for pid in c.pids())]
        repeated = []
        for _ in range(repetitions):
            clock, (all_0, ours_0) = time.perf_counter(), busy(pids)
            lean = rounds / leans[0].ask("run", rounds, False)
            for c in leans:
                c.tell("run", rounds, True)
            limit = sum(rounds / c.hear() for c in leans)
            one = rounds / single.ask("run", rounds)
            # As many rounds as take about as long as the others.
            both = workers * rounds / several.ask("run", workers * rounds)
            all_1, ours_1 = busy(pids)
            others = max(0.0, (all_1 - all_0) - (ours_1 - ours_0)) / (time.perf_counter() - clock)
            repeated.append({"lean": lean, "limit": limit, "foedus1": one, "foedusN": both, "others": others})
    finally:
        for c in everyone:
            if c.process.is_alive():
                c.close()
    return {
        "workload": asdict(w),
        "workers": workers,
        "lean_variant": variant,
        "difference": difference,
        "moved": moved,
        "rounds": rounds,
        "repetitions": repeated,
        "memory": used,
        "memory_of_nothing": nothing,
        **summary(repeated, w.cohort),
    }


def summary(repeated: list[dict[str, float]], cohort: int) -> dict[str, Any]:
    """Medians of the rates, and of the ratios pair by pair; quiet repetitions alone, where there are enough of them."""
    quiet = [r for r in repeated if r["others"] < QUIET]
    used = quiet if len(quiet) >= 3 else repeated

    def spread(values: list[float]) -> dict[str, float]:
        return {"min": min(values), "median": statistics.median(values), "max": max(values)}

    return {
        "quiet": len(quiet),
        "used": "quiet" if used is quiet else "all",
        "rates": {k: statistics.median([r[k] for r in used]) for k in ("lean", "limit", "foedus1", "foedusN")},
        "foedusN/limit": spread([r["foedusN"] / r["limit"] for r in used]),
        "foedus1/lean": spread([r["foedus1"] / r["lean"] for r in used]),
        "overhead_us": spread([1e6 * (1 / r["foedus1"] - 1 / r["lean"]) / cohort for r in used]),
        "all foedusN/limit": spread([r["foedusN"] / r["limit"] for r in repeated]),
    }


def memory(c: Contestant, rounds: int) -> dict[str, float] | None:
    """Peaks of the memory of foedus with its workers while it runs, in MB.

    PSS divides a shared page among those who map it: a sum counts it once. Files (the code of torch) are left out.
    """
    c.tell("run", rounds)
    pids, peak, ended = c.pids(), {"total": 0.0, "parent": 0.0, "worker": 0.0}, False
    while not ended:
        ended = c.pipe.poll(0.02)  # one more look after the end: a short run is seen at least once
        try:
            parent, *others = [_pss(pid) for pid in pids]
        except OSError:
            c.hear()
            return None  # not a Linux that tells
        now = {"total": parent + sum(others), "parent": parent, "worker": max(others, default=0.0)}
        peak = {k: max(v, peak[k]) for k, v in now.items()}
    c.hear()
    peak["peak_rss_parent"] = _status(pids[0], "VmHWM")
    peak["peak_rss_worker"] = max((_status(p, "VmHWM") for p in pids[1:]), default=0.0)
    return peak


def memory_of_nothing(folder: Path, workers: int) -> dict[str, float] | None:
    """The same of a run over almost no data."""
    start = multiprocessing.get_context("spawn").Barrier(1)
    c = Contestant(foedus_contestant, start, TINY, folder, workers)
    try:
        c.ask("run", 5)
        return memory(c, 200)
    finally:
        c.close()


def _pss(pid: int) -> float:
    kb = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
            kb += int(line.split()[1])
    return kb * 1024 / 1e6


def _status(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


# -- a round's time against the number of nodes ------------------------------------------------------------------------


def scaling(folder: Path, sizes: list[int], repetitions: int, rounds: int) -> list[dict[str, float]]:
    """Round time of a cohort of 100 nodes of 10 rows among n nodes (logistic regression, inline)."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_scaling, args=(theirs, folder, sizes, repetitions, rounds))
    process.start()
    theirs.close()
    try:
        result: list[dict[str, float]] = pipe.recv()
    except EOFError:
        raise SystemExit(1) from None
    process.join()
    return result


def _scaling(pipe: Connection, folder: Path, sizes: list[int], repetitions: int, rounds: int) -> None:
    held = load(folder)
    rows = 10
    federations, built = {}, {}
    for n in sizes:
        started = time.perf_counter()
        # A million nodes of 10 rows out of 60,000: positions come again, so rows are shared.
        index = torch.arange(n * rows).remainder_(len(held.x))
        offsets = torch.arange(0, n * rows + 1, rows)
        federations[n] = FederatedDataset(held.x, held.y, index, offsets, classes=held.classes)
        built[n] = time.perf_counter() - started
    times: dict[int, list[float]] = {n: [] for n in sizes}
    outside: dict[int, list[float]] = {n: [] for n in sizes}
    model = fd.Model(fd.models.logistic(784, 10))
    program = fd.FedAvg(rounds=FOREVER, cohort=fd.Fixed(100), local=fd.LocalSGD(batch_size=10, lr=0.1))
    stop = fd.AfterCommits(rounds)
    fd.train(program, model, federations[sizes[0]], stop=fd.AfterCommits(3), evaluate_every=FOREVER)
    for _ in range(repetitions):
        for n in sizes:
            started = time.perf_counter()
            run = fd.train(program, model, federations[n], stop=stop, evaluate_every=FOREVER)
            outside[n].append(time.perf_counter() - started - run.history[-1].wall_s)
            walls = [r.wall_s for r in run.history]
            times[n] += [b - a for a, b in itertools.pairwise(walls[1:])]
    pipe.send(
        [
            {
                "nodes": n,
                "round_ms": 1e3 * statistics.median(times[n]),
                "construct_s": built[n],
                "outside_s": statistics.median(outside[n]),
            }
            for n in sizes
        ]
    )


# -- what comes out ----------------------------------------------------------------------------------------------------


def tables(results: list[dict[str, Any]], scale: list[dict[str, float]], workers: int, data_mb: float) -> str:
    """All figures as Markdown."""
    out = []
    if results:
        head = ["", "lean", f"{workers} leans", "foedus, 1", f"foedus, {workers}", f"foedus {workers} / limit", "aim"]
        head += ["foedus 1 / lean", "overhead us/node", "quiet"]
        rows = []
        for r in results:
            w, rates = r["workload"], r["rates"]
            rows.append(
                [
                    w["name"],
                    *(f"{rates[k]:.{2 if rates[k] < 10 else 1}f}" for k in ("lean", "limit", "foedus1", "foedusN")),
                    _spread(r["foedusN/limit"], ".3f"),
                    "" if w["aim"] is None else f">= {w['aim']}",
                    _spread(r["foedus1/lean"], ".3f"),
                    _spread(r["overhead_us"], ".0f"),
                    f"{r['quiet']}/{len(r['repetitions'])}",
                ]
            )
        out += ["## Speed", "Rates are rounds/s (medians); ratios are min / **median** / max, pair by pair."]
        out += [markdown(head, rows)]
        out += [
            "\n".join(
                f"- {r['workload']['name']}: {r['workload']['what']}; {r['rounds']} rounds a measurement; lean loop: "
                f"{r['lean_variant']}; after {r['workload']['verify']} rounds its vector differs from foedus's by "
                f"{r['difference']:.1g} at the most, having moved by {r['moved']:.2g}"
                + ("" if r["used"] == "quiet" else "; the machine was not quiet, so all repetitions are counted")
                for r in results
            )
        ]
        if any(r["memory"] for r in results):
            out += [
                f"## Memory, {workers} workers (MB)",
                "Peak of the PSS of parent and workers together, files left out: shared pages are counted once, the "
                "code of torch is not. Beside it the same of a run over twenty rows (Python, torch and foedus in every "
                "process), the data, and what is left when both are taken away, in MB and in vectors of the model.",
                _memory(results, data_mb),
            ]
    if scale:
        out += ["## A round against the number of nodes", "Cohort 100, 10 rows a node, logistic regression, inline."]
        head = ["nodes", "round (ms)", "relative", "construction (s)", "train() outside its rounds (s)"]
        rows = [
            [
                f"{int(s['nodes']):,}",
                f"{s['round_ms']:.2f}",
                f"{s['round_ms'] / scale[0]['round_ms']:.2f}",
                f"{s['construct_s']:.3f}",
                f"{s['outside_s']:.3f}",
            ]
            for s in scale
        ]
        out.append(markdown(head, rows))
    return "\n\n".join(out)


def _spread(s: dict[str, float], form: str) -> str:
    return f"{s['min']:{form}} / **{s['median']:{form}}** / {s['max']:{form}}"


def _memory(results: list[dict[str, Any]], data: float) -> str:
    head = ["", "peak", "of 20 rows", "data", "rest", "one vector", "rest in vectors", "RSS parent", "RSS worker"]
    rows = []
    for r in results:
        m, nothing = r["memory"], r["memory_of_nothing"]
        if m and nothing:
            vector = 4e-6 * sum(p.numel() for p in Workload(**r["workload"]).module().parameters())
            rest = m["total"] - nothing["total"] - data
            figures = (m["total"], nothing["total"], data, rest)
            many = f"{rest / vector:.0f}" if vector > 0.5 else "-"
            ends = [f"{m[k]:.0f}" for k in ("peak_rss_parent", "peak_rss_worker")]
            rows.append([r["workload"]["name"], *(f"{v:.0f}" for v in figures), f"{vector:.2f}", many, *ends])
    return markdown(head, rows)


def figure(results: list[dict[str, Any]], workers: int, file: Path) -> None:
    """Bars of the ratios, every repetition a dot, and the aim."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    kinds = (
        ("foedusN/limit", "foedusN", "limit", f"foedus, {workers} workers / {workers} lean loops at once", "#2b6cb0"),
        ("foedus1/lean", "foedus1", "lean", "foedus, inline / one lean loop", "#a0aec0"),
    )
    for i, (ratio, mine, theirs, label, colour) in enumerate(kinds):
        places = [k + (i - 0.5) * 0.36 for k in range(len(results))]
        medians = [r[ratio]["median"] for r in results]
        ax.bar(places, medians, 0.34, color=colour, label=label)
        for x, value in zip(places, medians, strict=True):
            ax.annotate(f"{value:.2f}", (x, 0.02), ha="center", color="white" if i == 0 else "black", fontsize=9)
        for x, r in zip(places, results, strict=True):
            dots = [p[mine] / p[theirs] for p in r["repetitions"] if r["used"] == "all" or p["others"] < QUIET]
            ax.plot([x] * len(dots), dots, ".", color="black", markersize=3)
    ax.axhline(0.9, color="#c53030", linewidth=1, linestyle="--", label="aim, W2 to W4")
    ax.set_xticks(range(len(results)), [r["workload"]["name"] for r in results])
    ax.set_ylabel("ratio of rounds per second")
    ax.set_ylim(0, max(1.15, ax.get_ylim()[1]))
    ax.legend(loc="upper center", ncols=2, fontsize=8, bbox_to_anchor=(0.5, 1.18), frameon=False)
    fig.savefig(file, dpi=150)
    plt.close(fig)


def main() -> None:
    """The command line."""
    names = [w.name for w in WORKLOADS]
    parser = options("Speed and memory of the simulation.", quick="few, short repetitions", images=True)
    parser.add_argument("--only", help="e.g. W1,nodes (nodes: time against their number)")
    parser.add_argument("--workers", type=int, default=2, help="of foedus, and lean loops at once for the limit")
    parser.add_argument("--repetitions", type=int, default=None, help="of every workload")
    args = parser.parse_args()
    # The other workloads are the same code with other networks and numbers.
    everything = [*names, "nodes"]
    chosen = args.scale.of(everything, everything, ["W1", "nodes"])
    if args.only is not None:
        chosen = [s.strip() for s in args.only.split(",") if s.strip()]
    for name in chosen:
        if name not in everything:
            parser.error(f"--only: there is no {name!r}: choose from {', '.join(everything)}")
    if args.workers < 2:
        parser.error("--workers must be at least 2: foedus with one worker is always measured")
    if args.repetitions is not None and args.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    folder = image_folder(args)
    held = load(folder)
    # Rows, labels, and an int64 position for each training row.
    data_mb = 1e-6 * (sum(t.nbytes for t in (held.x, held.y, held.test_x, held.test_y)) + 8 * len(held.y))
    del held
    where = origin()
    print(origin_lines(where), flush=True)
    results = []
    # The same code as of a workload, and three more processes: a smoke test can do without.
    nothing = memory_of_nothing(folder, args.workers) if args.scale.of(True, True, False) else None
    for w in WORKLOADS:
        if w.name in chosen:
            slow = w.network == "CNN"
            repetitions = args.repetitions or args.scale.of(5 if slow else 11, 2 if slow else 3, 1)
            result = measure(w, folder, args.workers, repetitions, args.scale.of(1.0, 0.3, 0.02), nothing)
            results.append(result)
            print(
                f"{w.name:4} foedus {args.workers} / limit {_spread(result['foedusN/limit'], '.3f')}   "
                f"foedus 1 / lean {_spread(result['foedus1/lean'], '.3f')}   "
                f"overhead {_spread(result['overhead_us'], '.0f')} us a node",
                flush=True,
            )
    scale = []
    if "nodes" in chosen:
        sizes = [10**k for k in range(2, args.scale.of(7, 6, 4))]
        scale = scaling(folder, sizes, *args.scale.of((5, 40), (2, 20), (1, 5)))
    text = tables(results, scale, args.workers, data_mb)
    print("\n" + text)
    file = result_file(args, "simulation")
    picture = file.with_suffix(".png")
    parts = ["# Speed and memory of the simulation", origin_lines(where), text]
    if results:
        figure(results, args.workers, picture)
        parts.append(f"![ratios]({picture.name})")
    file.write_text("\n\n".join(parts) + "\n")
    saved = {"origin": where, "workloads": results, "nodes": scale}
    file.with_suffix(".json").write_text(json.dumps(saved, indent=1) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
