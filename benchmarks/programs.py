"""Every program on the same federation: what it reaches with the same local computation, and what that costs.

See README.md.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from inspect import isclass, iscoroutinefunction
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from common import image_folder, markdown, options, origin, origin_lines, result_file
from torch import nn

import foedus as fd
from foedus import optimizers, programs, topologies, transforms
from foedus.report.nodes import worst_tenth
from foedus.report.seeds import sd, within_spread

NODES, HOLDOUT, BATCH = 100, 0.2, 10
HIDDEN = 64
TEST = 2000
"""Test images: a standard error of one per cent, and evaluations take less time than what they measure."""
EVALUATIONS = 25
"""Of a run, about."""


# -- settings ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A line of the table.

    ``program``  the class's name.   ``make``  from the class and a number of rounds the program.
    ``pace``     local epochs of a round, from the rows of a node; a little more or less than it is does no harm.
    ``own``      its accuracy is that of the nodes' own models on the rows they keep from training.
    ``norms``    its network has batch norms.   ``evaluations``  of a run, about.
    """

    name: str
    program: str
    make: Callable[[Any, int], Any]
    pace: Callable[[float], float]
    own: bool = False
    norms: bool = False
    evaluations: int = EVALUATIONS


def _local(lr: float, **more: Any) -> fd.LocalSGD:
    return fd.LocalSGD(**{"epochs": 2, "batch_size": BATCH, "lr": lr} | more)


def _step(lr: float) -> fd.LocalSGD:
    return fd.LocalSGD(steps=1, batch_size=BATCH, lr=lr)


COHORT = fd.Fraction(0.2)


def _averaging(name: str, program: str = "FedAvg", lr: float = 0.1, work: float = 1.0, **fields: Any) -> Setting:
    """One of FedAvg's kind: twenty nodes a round, two epochs each. ``work`` is what it computes next to FedAvg."""
    own, norms = fields.pop("own", False), fields.pop("norms", False)
    return Setting(
        name,
        program,
        lambda p, rounds: p(
            rounds,
            **{"cohort": COHORT, "local": _local(lr)} | {k: v() if callable(v) else v for k, v in fields.items()},
        ),
        lambda rows: 0.4 * work,
        own,
        norms,
    )


def _stepping(name: str, program: str, make: Callable[[Any, int], Any]) -> Setting:
    """One whose nodes all take one step of a batch a round."""
    return Setting(name, program, make, lambda rows: min(1.0, BATCH / rows))


def _peers(name: str, program: str, make: Callable[[Any, int], Any]) -> Setting:
    """The same without a server. An evaluation is of a hundred models, so that there are few."""
    return replace(_stepping(name, program, make), evaluations=8)


def _squeezed(name: str, make: Callable[[], Any], lr: float = 0.1) -> Setting:
    return _averaging(f"FedAvg, {name}", lr=lr, transforms=lambda: (make(),))


SETTINGS = (
    Setting("Centralized", "Centralized", lambda p, n: p(n, local=_local(0.05, epochs=1)), lambda rows: 1.0),
    # Its evaluations are of every node's model: few rounds, of many epochs.
    Setting("LocalOnly", "LocalOnly", lambda p, n: p(n, local=_local(0.05, epochs=5)), lambda rows: 5.0),
    _stepping("SyncSGD", "SyncSGD", lambda p, n: p(n, lr=0.3, batch_size=BATCH)),
    _stepping("SyncSGD, 10 backup workers", "SyncSGD", lambda p, n: p(n, lr=0.3, batch_size=BATCH, backup=10)),
    _stepping("ParameterServer", "ParameterServer", lambda p, n: p(n, lr=0.002, batch_size=BATCH)),
    _stepping(
        "ParameterServer, staleness-aware", "ParameterServer",
        lambda p, n: p(n, lr=0.2, batch_size=BATCH, discount=programs.StalenessAware()),
    ),
    _stepping(
        "ParameterServer, delay-compensated", "ParameterServer",
        lambda p, n: p(n, lr=0.002, batch_size=BATCH, compensation=programs.DelayCompensation()),
    ),
    Setting(  # some forty gradients fill twenty buckets
        "BASGD", "BASGD", lambda p, n: p(n, buckets=20, lr=0.1, batch_size=BATCH), lambda rows: 0.4 * BATCH / rows
    ),
    _stepping("StaleSynchronous", "StaleSynchronous", lambda p, n: p(n, lr=0.2, batch_size=BATCH)),
    Setting(
        "EASGD", "EASGD",
        # A rate of beta / n, as the paper has it, holds a hundred workers with two labels each too loosely.
        lambda p, n: p(n, local=fd.LocalSGD(steps=1, batch_size=BATCH, lr=0.1), rate=0.9, commit_every=100),
        lambda rows: BATCH / rows,
    ),
    _averaging("FedAvg"),
    _averaging("FedProx", "FedProx", mu=0.01),
    _averaging("Scaffold", "Scaffold"),
    _averaging("FedNova", "FedNova"),
    _averaging("FedDyn", "FedDyn", lr=0.05, alpha=0.1),
    _averaging("FedAvgM", "FedAvgM", lr=0.05, server=lambda: optimizers.SGD(lr=1.0, momentum=0.5)),
    _averaging("FedAdam", "FedAdam", lr=0.05, server=lambda: optimizers.Adam(lr=0.01)),
    _averaging("FedYogi", "FedYogi", lr=0.05, server=lambda: optimizers.Yogi(lr=0.01)),
    _averaging("FedAdagrad", "FedAdagrad", lr=0.05, server=lambda: optimizers.Adagrad(lr=0.03)),
    _averaging("QFFL", "QFFL", q=0.5, lipschitz=1.0),
    _averaging("Hierarchical", "Hierarchical", work=2.0, edges=5, edge_rounds=2),
    _averaging("FineTune", "FineTune"),
    _averaging("Ditto", "Ditto", work=2.0, lam=0.1),
    _averaging("FedPer", "FedPer", own=True),
    _averaging("FedRep", "FedRep", work=2.0, own=True),
    _averaging("FedBN", "FedBN", own=True, norms=True),
    _averaging("IFCA", "IFCA", clusters=3, spread=0.02, own=True),
    Setting(
        "FedAsync", "FedAsync",
        lambda p, n: p(n, mixing=0.2, local=_local(0.05), concurrency=10, commit_every=10),
        lambda rows: 0.2,
    ),
    Setting(
        "FedBuff", "FedBuff",
        lambda p, n: p(n, buffer=10, local=_local(0.05), concurrency=20),
        lambda rows: 0.2,
    ),
    _peers("Gossip, ring", "Gossip", lambda p, n: p(n, lr=0.05, batch_size=BATCH)),
    _peers(
        "Gossip, exponential", "Gossip",
        lambda p, n: p(n, topology=topologies.Exponential(), weights=topologies.Uniform(), lr=0.1, batch_size=BATCH),
    ),
    _peers("ClippedGossip", "ClippedGossip", lambda p, n: p(n, lr=0.05, batch_size=BATCH, momentum=0.9)),
    _peers(
        "RobustGossip", "RobustGossip",
        lambda p, n: p(n, topology=topologies.Regular(4), lr=0.05, batch_size=BATCH, momentum=0.9),
    ),
    _peers("PushSum", "PushSum", lambda p, n: p(n, local=_step(0.1))),
    _peers("Choco", "Choco", lambda p, n: p(n, local=_step(0.05), gamma=0.3, compress=transforms.TopK(0.1))),
    _peers("AdPsgd", "AdPsgd", lambda p, n: p(n, local=_step(0.05))),
    _squeezed("float16", lambda: transforms.Cast("float16")),
    _squeezed("top 5 %, error feedback", lambda: transforms.ErrorFeedback(transforms.TopK(0.05))),
    _squeezed("QSGD", lambda: transforms.QSGD(7, bucket=512)),
    _squeezed("sign, error feedback", lambda: transforms.ErrorFeedback(transforms.Sign())),
    _squeezed("PowerSGD, error feedback", lambda: transforms.ErrorFeedback(transforms.PowerSGD(2))),
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What a paper says: ``better`` has more accuracy than ``worse``, or needs less to the target, by this measure."""

    better: str
    worse: str
    measure: str
    paper: str


ORDERS = (
    Order("FedAvg", "SyncSGD", "rounds_to", "McMahan 2017"),
    Order("Scaffold", "FedAvg", "rounds_to", "Karimireddy 2020"),
    Order("FedDyn", "FedAvg", "rounds_to", "Acar 2021"),
    Order("FedAvgM", "FedAvg", "rounds_to", "Hsu 2019"),
    Order("FedAdam", "FedAvg", "rounds_to", "Reddi 2021"),
    Order("FedYogi", "FedAvg", "rounds_to", "Reddi 2021"),
    Order("FedBuff", "FedAvg", "time_to", "Nguyen 2022"),
    Order("FedBuff", "FedAsync", "time_to", "Nguyen 2022"),
    Order("ParameterServer", "SyncSGD", "time_to", "Dean 2012"),
    Order("StaleSynchronous", "SyncSGD", "time_to", "Ho 2013"),
    Order("SyncSGD, 10 backup workers", "SyncSGD", "time_to", "Chen 2016"),
    Order("ParameterServer, staleness-aware", "ParameterServer", "accuracy", "Zhang 2016"),
    Order("ParameterServer, delay-compensated", "ParameterServer", "accuracy", "Zheng 2017"),
    Order("FedAvg, top 5 %, error feedback", "FedAvg", "bytes_to", "Aji 2017, Stich 2018"),
    Order("Gossip, exponential", "Gossip, ring", "accuracy", "Ying 2021"),
    Order("FineTune", "FedAvg", "nodes", "Wang 2019"),
    Order("Ditto", "FedAvg", "nodes", "Li 2021"),
    Order("Ditto", "FedAvg", "worst", "Li 2021"),
    Order("FedRep", "FedPer", "nodes", "Collins 2021"),
    Order("FedPer", "FedAvg", "nodes", "Arivazhagan 2019"),
    Order("QFFL", "FedAvg", "worst", "Li 2020"),
)
MEASURES = {
    "rounds_to": "rounds to the target", "time_to": "virtual time to the target", "bytes_to": "bytes to the target",
    "accuracy": "final accuracy", "nodes": "mean accuracy of the nodes", "worst": "accuracy of the worst tenth",
}  # fmt: skip
HIGHER = ("accuracy", "nodes", "worst")


def exported() -> list[str]:
    """The names of all programs that foedus has."""
    found = ((name, getattr(programs, name)) for name in programs.__all__)
    return [n for n, p in found if isclass(p) and callable(p) and iscoroutinefunction(p.__call__)]


# -- one run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is the same for all runs."""

    data: Path
    limit: int
    epochs: float
    target: float
    seconds: float

    @property
    def same(self) -> dict[str, Any]:
        """What has to be the same for a finished run to count."""
        return {"data": self.data.name, "limit": self.limit, "epochs": self.epochs, "target": self.target}


@dataclass(frozen=True)
class WallClock:
    """A stop rule: this moment of the machine's clock has come. A record's ``wall_s`` leaves evaluations out."""

    until: float

    def init(self) -> Any:
        return None

    def after(self, record: fd.Record, memory: Any) -> tuple[bool, Any]:
        return time.monotonic() >= self.until, None


@cache
def _whole(folder: Path, limit: int) -> Any:
    whole = fd.data.load("idx", path=folder, dtype="uint8", limit=max(limit, TEST))
    return replace(whole, x=whole.x[:limit], y=whole.y[:limit], test_x=whole.test_x[:TEST], test_y=whole.test_y[:TEST])


def network(seed: int, norms: bool) -> nn.Module:
    """784 - 64 - 10, about 51,000 numbers; with a batch norm where a program is about those."""
    if not norms:
        return fd.models.mlp(784, HIDDEN, 10, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(784, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


def program_of(s: Setting, plan: Plan) -> tuple[Any, int]:
    """The program, and about how many of its rounds there will be."""
    rows = plan.limit * (1 - HOLDOUT) / NODES
    rounds = plan.epochs / s.pace(rows)
    # A few to spare: it is the epochs that end it.
    return s.make(getattr(programs, s.program), math.ceil(1.2 * rounds)), max(1, round(rounds))


def run(name: str, seed: int, plan: Plan) -> dict[str, Any]:
    """A row of the JSON, whatever happens."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    row: dict[str, Any] = {"name": name, "seed": seed, "seconds": None}
    try:
        row |= _measured(next(s for s in SETTINGS if s.name == name), seed, plan)
    except Exception as e:
        first = (str(e).strip().splitlines() or ["no message"])[0]
        row |= {"status": "failed", "why": f"{type(e).__name__}: {first}"}
    return row | {"seconds": time.perf_counter() - started}


def _measured(s: Setting, seed: int, plan: Plan) -> dict[str, Any]:
    until = time.monotonic() + plan.seconds
    data = _whole(plan.data, plan.limit).split(fd.data.Shards(per_node=2), nodes=NODES, seed=seed, holdout=HOLDOUT)
    program, rounds = program_of(s, plan)
    done = fd.train(
        program,
        fd.Model(network(seed, s.norms)),
        data,
        runtime=fd.Simulation(workers=1, network=fd.network.WAN),
        seed=seed,
        stop=[fd.Budget(epochs=plan.epochs), WallClock(until)],
        evaluate_every=max(1, round(rounds / s.evaluations)),
        evaluate_nodes=10**9,  # at the end alone
    )
    late = time.monotonic() >= until
    last = done.history[-1]
    evaluated = [r for r in done.history if r.accuracy is not None]
    reached = next((r for r in evaluated if (r.accuracy or 0.0) >= plan.target), None)
    if not last.bytes_up + last.bytes_down or s.own:
        reached = None  # its price is not comparable: it sends nothing, or has another accuracy
    nodes = [v for v in (done.node_metrics or {}).get("accuracy", []) if v is not None]
    return {
        "status": "done" if last.epochs >= 0.99 * plan.epochs else "cut by time" if late else "ended early",
        "program": repr(program),
        "accuracy": evaluated[-1].accuracy,
        "rounds": last.round,
        "bytes_up": last.bytes_up,
        "bytes_down": last.bytes_down,
        "epochs": last.epochs,
        "virtual_s": last.virtual_s,
        "rounds_to": None if reached is None else reached.round,
        "bytes_to": None if reached is None else reached.bytes_up + reached.bytes_down,
        "time_to": None if reached is None else reached.virtual_s,
        "nodes": fmean(nodes) if nodes else None,
        "worst": worst_tenth(nodes, higher=True) if nodes else None,
        "sha256": done.sha256,
        "curve": [[r.round, r.epochs, r.accuracy] for r in evaluated],
    }


# -- all of them -------------------------------------------------------------------------------------------------------


def conduct(
    todo: Sequence[tuple[str, int]], plan: Plan, jobs: int, until: float, keep: Callable[[dict[str, Any]], None]
) -> None:
    """Run what there is to do, so many at once, in order; what has not begun when the budget is used up is left."""
    left, under_way = list(todo), dict[Future[dict[str, Any]], tuple[str, int]]()
    pool = _pool(jobs)
    try:
        while left or under_way:
            while left and len(under_way) < jobs and time.monotonic() < until:
                under_way[pool.submit(run, *left[0], plan)] = left[0]
                left.pop(0)
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                name, seed = under_way.pop(future)
                try:
                    keep(future.result())
                except BrokenProcessPool:  # both runs are gone with it
                    keep({"name": name, "seed": seed, "status": "failed", "why": "its process died", "seconds": None})
                    pool = _pool(jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def lines_of(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of every setting that exists here, by seed; of a program without a setting none."""
    known = set(exported())
    found: dict[str, list[dict[str, Any]]] = {s.name: [] for s in SETTINGS if s.program in known}
    found |= {p: [] for p in exported() if p not in {s.program for s in SETTINGS}}
    for row in sorted(rows, key=lambda r: r["seed"]):
        if row["name"] in found:
            found[row["name"]].append(row)
    return found


# -- what is written ---------------------------------------------------------------------------------------------------


def values(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Of the seeds that have it."""
    return [float(r[key]) for r in rows if r.get(key) is not None]


def _percent(some: Sequence[float]) -> str:
    if not some:
        return "-"
    return f"{100 * fmean(some):.1f}" + (f" ± {100 * sd(some):.1f}" if len(some) > 1 else "")


def _mean(rows: Sequence[dict[str, Any]], key: str, unit: float = 1.0, digits: int = 0) -> str:
    some = values(rows, key)
    return f"{fmean(some) / unit:,.{digits}f}" if some else "-"


def _to(rows: Sequence[dict[str, Any]], key: str, unit: float = 1.0) -> str:
    """What it took to the target, and by how many seeds if not by all."""
    some, ran = values(rows, key), [r for r in rows if r["status"] != "failed"]
    if not some:
        return "-"
    digits = 0 if fmean(some) / unit >= 100 else 1
    return f"{fmean(some) / unit:,.{digits}f}" + (f" ({len(some)} of {len(ran)})" if len(some) < len(ran) else "")


def table(lines: dict[str, list[dict[str, Any]]], target: float, seeds: Sequence[int]) -> str:
    """The Markdown table."""
    own = {s.name for s in SETTINGS if s.own}
    known = {s.name for s in SETTINGS}
    head = [
        "program", "accuracy (%)", "nodes, mean (%)", "worst tenth (%)", "rounds", "MB up", "MB down", "epochs",
        f"rounds to {target:.0%}", f"MB to {target:.0%}", f"WAN s to {target:.0%}", "wall (s)", "",
    ]  # fmt: skip
    rows = []
    for name, some in lines.items():
        ran = [r for r in some if r["status"] != "failed"]
        notes = [] if name in known else ["no settings"]
        notes += [f"failed with {n} of {len(seeds)} seeds" for n in [len(some) - len(ran)] if n]
        notes += [f"not run with {n} of {len(seeds)} seeds" for n in [len(seeds) - len(some)] if n and name in known]
        notes += sorted({r["status"] for r in ran} - {"done"})
        accuracy = _percent(values(ran, "accuracy"))
        rows.append(
            [
                name,
                accuracy + (" †" if name in own and ran else ""),
                _percent(values(ran, "nodes")),
                _percent(values(ran, "worst")),
                _mean(ran, "rounds"),
                _mean(ran, "bytes_up", 1e6),
                _mean(ran, "bytes_down", 1e6),
                _mean(ran, "epochs", digits=1),
                _to(ran, "rounds_to"),
                _to(ran, "bytes_to", 1e6),
                _to(ran, "time_to"),
                _mean(ran, "seconds", digits=1),
                "; ".join(notes),
            ]
        )
    return markdown(head, rows)


def orders(lines: dict[str, list[dict[str, Any]]]) -> str:
    """What papers say of the order, and whether it is so here."""
    rows = []
    for o in ORDERS:
        a, b = ([r for r in lines.get(n, []) if r["status"] != "failed"] for n in (o.better, o.worse))
        if a and b:
            here, agrees = _judged(o, a, b)
            if any(r["status"] != "done" for r in (*a, *b)):
                agrees += ", with unequal epochs"
            rows.append([f"{o.better} before {o.worse}", o.paper, MEASURES[o.measure], here, agrees])
    return markdown(["the paper's order", "paper", "by", "here", "agrees"], rows) if rows else "Nothing to compare yet."


def _judged(o: Order, a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> tuple[str, str]:
    ours, theirs = values(a, o.measure), values(b, o.measure)
    unit = {"bytes_to": 1e6}.get(o.measure, 0.01 if o.measure in HIGHER else 1.0)
    shown = [f"{fmean(v) / unit:,.1f}" if v else "never" for v in (ours, theirs)]
    here = f"{shown[0]} against {shown[1]}"
    if o.measure not in HIGHER and (len(ours) < len(a) or len(theirs) < len(b)):
        # Who gets there with more of its seeds is before; of equals nothing can be said.
        share = len(ours) / len(a), len(theirs) / len(b)
        here += f" ({len(ours)} of {len(a)} and {len(theirs)} of {len(b)} seeds)"
        return here, "cannot be said" if share[0] == share[1] else "yes" if share[0] > share[1] else "no"
    if not ours or not theirs:
        return here, "cannot be said"
    if within_spread(ours, theirs) or fmean(ours) == fmean(theirs):
        return here, "within the spread"
    return here, "yes" if (fmean(ours) > fmean(theirs)) == (o.measure in HIGHER) else "no"


def picture(lines: dict[str, list[dict[str, Any]]], target: float, title: str, file: Path) -> None:
    """Accuracy and worst tenth of every program, mean and standard deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    own = {s.name for s in SETTINGS if s.own}
    shown = [(n, rows) for n, rows in lines.items() if values(rows, "accuracy")][::-1]
    if not shown:
        return
    fig, ax = plt.subplots(figsize=(8, 1.2 + 0.23 * len(shown)), layout="constrained")
    for key, colour, label, marker in (
        ("worst", "#dd6b20", "worst tenth of the nodes, on their own rows", "d"),
        ("accuracy", "#1a365d", "the program's accuracy", "o"),
    ):
        found = [(i, values(rows, key)) for i, (_, rows) in enumerate(shown) if values(rows, key)]
        ax.errorbar(
            [100 * fmean(v) for _, v in found], [i for i, _ in found], xerr=[100 * sd(v) for _, v in found],
            fmt=marker, color=colour, markersize=4.5, elinewidth=1, label=label,
        )  # fmt: skip
    ax.axvline(100 * target, color="grey", linewidth=1, linestyle="--")
    ax.annotate("target", (100 * target, len(shown) - 0.4), xytext=(3, 0), textcoords="offset points", fontsize=8)
    ax.set_yticks(range(len(shown)), [n + (" †" if n in own else "") for n, _ in shown], fontsize=8)
    ax.set_ylim(-0.7, len(shown) + 0.2)
    ax.set_xlim(0, 100)
    ax.set_xlabel(
        "per cent, mean and standard deviation over seeds\n† own models, on the rows that nodes keep", fontsize=8
    )
    ax.set_title(title, fontsize=10)
    ax.grid(alpha=0.25)
    fig.legend(fontsize=8, loc="outside upper center", ncols=2, frameon=False)
    fig.savefig(file, dpi=150)
    plt.close(fig)


def written(
    file: Path, where: dict[str, str], plan: Plan, rows: Sequence[dict[str, Any]], seeds: Sequence[int], took: float
) -> None:
    """The JSON and the Markdown, whole or not at all."""
    saved = {"origin": where, "plan": plan.same, "seeds": list(seeds), "rows": list(rows)}
    _replace(file.with_suffix(".json"), json.dumps(saved) + "\n")
    lines = lines_of(rows)
    title = f"Every program on Fashion-MNIST by shards, {NODES} nodes"
    about = (
        f"{plan.limit:,} rows sorted by label, two shards a node, of which each keeps {HOLDOUT:.0%}; an MLP "
        f"784-{HIDDEN}-10; {plan.epochs:g} local epochs for every program, batches of {BATCH}; network WAN; seeds "
        f"{', '.join(map(str, seeds))}; settings were chosen with seed 99. A run had at most {plan.seconds:.0f} s. "
        f"This took {took / 60:.1f} minutes."
    )
    notes = (
        f"Accuracy is that of the program's model on {TEST:,} test images; with † that of the nodes' own models on the "
        "rows they keep from training, which is another and, with two labels a node, an easier thing: it is not to be "
        "compared with the others. Nodes, mean and worst tenth: what each node has at the end, on the rows that it "
        "keeps. To the target: when an evaluation first was at it, with how many seeds if not with all; - is never. "
        "LocalOnly and Centralized send nothing. FedBN has a network with a batch norm. Epochs are rows trained on "
        "over rows there are; who trains two models a round has half the rounds. Wall: seconds of a run, with others "
        "beside it."
    )
    commits = sorted({r["commit"] for r in rows if r.get("commit")})
    several = f"Rows are of several commits: {', '.join(commits)}." if len(commits) > 1 else ""
    failed = [f"- {r['name']}, seed {r['seed']}: {r['why']}" for r in rows if r["status"] == "failed"]
    parts = [
        f"# {title}", origin_lines(where), about, several, table(lines, plan.target, seeds), notes,
        "## What the papers say",
        "One small task with one learning rate each: a disagreement here is a reason to look, and no refutation.",
        orders(lines),
        *(["## What failed", "\n".join(failed)] if failed else []),
        f"![accuracy of every program]({file.with_suffix('.png').name})",
    ]  # fmt: skip
    _replace(file, "\n\n".join(p for p in parts if p) + "\n")


def _replace(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text)
    os.replace(part, file)


def earlier(file: Path, plan: Plan) -> list[dict[str, Any]]:
    """The finished rows of a run with the same plan and the same settings; whatever else is run again."""
    try:
        saved = json.loads(file.read_text())
        if saved["plan"] != plan.same:
            return []
        rows = saved["rows"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    known = set(exported())
    now = {}
    for s in SETTINGS:
        if s.program in known:
            try:
                now[s.name] = repr(program_of(s, plan)[0])
            except Exception:  # its run will say why
                continue
    return [r for r in rows if r["status"] == "done" and r.get("program") == now.get(r["name"])]


def main() -> None:
    """The command line."""
    quick = "one seed, in three minutes: what does not fit is listed as not run"
    parser = options("Every program on the same federation.", quick, images=True)
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="for everything; 40, with --quick 3")
    parser.add_argument("--limit", type=int, help="rows of the training set; 6000")
    parser.add_argument("--epochs", type=float, help="local epochs of every run; 30")
    parser.add_argument("--target", type=float, default=0.70, help="test accuracy; 0.70 by default")
    parser.add_argument("--seeds", help="of shards, first weights and run; 0,1,2, with --quick 0")
    parser.add_argument("--only", default="", help="names of lines of the table, separated by semicolons")
    parser.add_argument("--jobs", type=int, help="runs at once, each in a process with one thread; 2, with --smoke 1")
    args = parser.parse_args()
    # What was not said depends on the scale.
    for name, usual in (
        ("budget", args.scale.of(40, 3, 3)),
        ("limit", args.scale.of(6000, 6000, 10 * NODES)),
        ("epochs", args.scale.of(30, 30, 0.4)),
        ("jobs", args.scale.of(2, 2, 1)),
        ("seeds", args.scale.of("0,1,2", "0", "0")),
    ):
        if getattr(args, name) is None:
            setattr(args, name, usual)
    if not 0 < args.target < 1:
        parser.error("--target is an accuracy, more than 0 and less than 1")
    if args.limit < 10 * NODES:
        parser.error(f"--limit must be at least {10 * NODES}: ten rows a node")
    if min(args.budget, args.epochs, args.jobs) <= 0:
        parser.error("--budget, --epochs and --jobs must be more than 0")
    seeds = [int(s) for s in args.seeds.split(",")]
    known = set(exported())
    names = [s.name for s in SETTINGS if s.program in known]
    only = [n.strip() for n in args.only.split(";") if n.strip()]
    for name in only:
        if name not in names:
            parser.error(f"--only: there is no {name!r} here; there are {'; '.join(names)}")
    names = only or names
    folder = image_folder(args)
    runs = [(name, seed) for name in names for seed in seeds]
    plan = Plan(folder, args.limit, args.epochs, args.target, 60 * args.budget * args.jobs / len(runs))
    where = origin()
    print(origin_lines(where), flush=True)
    for p in exported():
        if p not in {s.program for s in SETTINGS}:
            print(f"no settings: {p}", flush=True)
    file = result_file(args, "programs")
    rows = earlier(file.with_suffix(".json"), plan)
    there = {(r["name"], r["seed"]) for r in rows}
    todo = [r for r in runs if r not in there]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} of them done; at most {plan.seconds:.0f} s each", flush=True)
    started = time.monotonic()

    def keep(row: dict[str, Any]) -> None:
        rows.append(row | {"commit": where["foedus"]})
        if row["status"] == "failed":
            what = f"failed: {row['why']}"
        else:
            what = f"{row['accuracy']:.3f} after {row['epochs']:.1f} epochs, {row['rounds']} rounds"
            what += f" ({row['status']})" if row["status"] != "done" else ""
        print(f"{row['name']:36} seed {row['seed']:<3} {row['seconds'] or 0:6.1f} s  {what}", flush=True)
        written(file, where, plan, rows, seeds, time.monotonic() - started)

    conduct(todo, plan, args.jobs, started + 60 * args.budget, keep)
    lines = lines_of(rows)
    written(file, where, plan, rows, seeds, time.monotonic() - started)
    picture(lines, args.target, f"{args.epochs:g} local epochs on Fashion-MNIST by shards", file.with_suffix(".png"))
    print("\n" + table(lines, args.target, seeds) + "\n\n" + orders(lines))
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
