"""How fast robust rules are, and in how much memory, beside ByzFL's with NumPy and with torch.

See README.md.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from common import byzfl, markdown, options, origin, origin_lines, result_file

from foedus import aggregators as ours
from foedus.aggregators.gram import gram, squared_distances
from foedus.aggregators.krum import krum_scores, most_central
from foedus.aggregators.sorting import over_sorted_columns
from foedus.aggregators.strips import finite_rows
from foedus.core.types.torch_process import serial

Rule = Callable[[Any], Any]

SLOW = 3.0
"""Seconds after which a call is not repeated."""


@dataclass(frozen=True)
class Case:
    """A rule, by both libraries.

    ``theirs``  of ByzFL's rules and f.
    ``alike``   what ByzFL answers where its definition is another one, made with our parts; else our answer.
    ``aim``     how many times as fast as ByzFL's faster backend.
    ``stacks``  how many stacks ByzFL makes: it is not run where memory does not hold them.
    """

    name: str
    ours: Callable[[int], Rule]
    theirs: Callable[[Any, int], Rule] | None = None
    aim: float | None = None
    alike: Callable[[torch.Tensor, int], torch.Tensor] | None = None
    stacks: Callable[[int, int], int] = lambda n, f: 4


def one_more_neighbour(u_KD: torch.Tensor, f: int, averaged: int) -> torch.Tensor:
    """Krum and Multi-Krum with n - f - 1 neighbours, as ByzFL has them."""
    scores_K = krum_scores(squared_distances(u_KD), len(u_KD) - f - 1)
    return u_KD[most_central(scores_K)[:averaged]].mean(0)


STEPS = 3
"""Steps of ByzFL's geometric median, its default: on such long vectors its answer is then ours to 1e-5."""

CASES = (
    Case("Krum", ours.Krum, lambda b, f: b.Krum(f), 8, lambda u, f: one_more_neighbour(u, f, 1)),
    Case(
        "MultiKrum", ours.MultiKrum, lambda b, f: b.MultiKrum(f), 8, lambda u, f: one_more_neighbour(u, f, len(u) - f)
    ),
    Case("NNM", lambda f: ours.NNM(f).mix, lambda b, f: b.NNM(f), 15, stacks=lambda n, f: n - f + 2),
    Case("Median", lambda f: ours.Median(), lambda b, f: b.Median(), 4),
    Case("TrimmedMean", ours.TrimmedMean, lambda b, f: b.TrMean(f), 4),
    Case(
        "GeometricMedian",
        lambda f: ours.GeometricMedian(),
        lambda b, f: b.GeometricMedian(nu=1e-9, T=STEPS),
        3,
    ),
    Case("MeaMed", ours.MeaMed, lambda b, f: b.Meamed(f)),
    Case("Bulyan", ours.Bulyan),
)


@dataclass(frozen=True)
class Measured:
    """A rule's fastest call in seconds, and of the processor's time; the memory it made beside its input in bytes; its
    answer.
    """

    seconds: float
    cpu: float
    bytes: int | None
    answer: Any


def stack(n: int, d: int, f: int) -> np.ndarray:
    """Normal updates, of which f are three times as long and lie to one side."""
    u_KD = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    u_KD[:f] = 3 * u_KD[:f] + 1
    return u_KD


def measure(rule: Callable[[], Rule], u: np.ndarray, tensors: bool, threads: int, calls: int) -> Measured:
    """In a process of its own, which begins with the input in its memory and nothing else of anybody's."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(there, rule, u, tensors, threads, calls))
    child.start()
    there.close()
    try:
        answer: Measured = here.recv()
    finally:
        child.join()
    return answer


def _measure(to: Connection, rule: Callable[[], Rule], u: np.ndarray, tensors: bool, threads: int, calls: int) -> None:
    torch.set_num_threads(threads)
    call, given = rule(), torch.from_numpy(u) if tensors else u
    call(given[:, :256])  # what libraries load with their first call
    before = _resident("VmRSS")
    best, cpu, answer = math.inf, math.inf, None
    for _ in range(calls):
        answer = None  # what is held is not counted twice
        started, spent = time.perf_counter(), time.process_time()
        answer = call(given)
        best, cpu = min(best, time.perf_counter() - started), min(cpu, time.process_time() - spent)
        if best > SLOW:
            break
    peak = _resident("VmHWM")
    made = None if before is None or peak is None else peak - before
    to.send(Measured(best, cpu, made, np.asarray(answer)))
    os._exit(0)


def _resident(field: str) -> int | None:
    """Memory of this process in bytes, now (VmRSS) or at the most (VmHWM); None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))
    except (OSError, StopIteration):
        return None


def parts(u: np.ndarray, threads: int, calls: int) -> dict[str, float]:
    """What rules are made of, each alone: seconds."""
    u_KD = torch.from_numpy(u)
    made: dict[str, Callable[[], Any]] = {
        "is every row finite: the stack is read once": lambda: finite_rows(u_KD),
        "columns side by side and sorted": lambda: over_sorted_columns(
            u_KD, lambda sorted_CK: (sorted_CK[:, 0].copy(),)
        ),
        "all columns sorted as ByzFL does, by NumPy in one thread": lambda: np.sort(u, axis=0),
        "one Gram matrix in float32": lambda: gram(u_KD),
        "one in float64": lambda: gram(u_KD, wide=True),
    }
    return {name: measure(lambda f=f: lambda _: f(), u, True, threads, calls).seconds for name, f in made.items()}


def compared(case: Case, n: int, d: int, threads: int, calls: int, memory: float) -> dict[str, Any]:
    """A line of the table."""
    f = n // 5
    u = stack(n, d, f)
    mine = measure(lambda: case.ours(f), u, True, threads, calls)
    row: dict[str, Any] = {"rule": case.name, "n": n, "d": d, "theirs": {}}
    row |= {"ours": mine.seconds, "cpu": mine.cpu, "memory": mine.bytes}
    rules, theirs = byzfl(), case.theirs
    if rules is None or theirs is None:
        return row
    if case.stacks(n, f) * u.nbytes > memory:
        row["refused"] = case.stacks(n, f) * u.nbytes
        return row
    with serial():
        expected = mine.answer if case.alike is None else case.alike(torch.from_numpy(u), f).numpy()
    for backend in ("numpy", "torch"):
        try:
            it = measure(lambda: theirs(rules, f), u, backend == "torch", threads, calls)
        except EOFError:  # torch.quantile refuses more than 16 million numbers
            continue
        off = float(np.abs(it.answer - expected).max())
        row["theirs"][backend] = {"seconds": it.seconds, "cpu": it.cpu, "memory": it.bytes, "off": off}
    return row


def line(row: dict[str, Any], aim: float | None) -> list[str]:
    """A row as the page has it."""
    size = row["n"] * row["d"] * 4

    def stacks(amount: int | None) -> str:
        return "" if amount is None else f"{amount / size:.2f}"

    cells = [f"{row['rule']}", f"{1e3 * row['ours']:,.1f}"]
    by = row["theirs"]
    cells += [f"{1e3 * by[b]['seconds']:,.1f}" if b in by else "" for b in ("numpy", "torch")]
    if not by:
        why = f"not run: {row['refused'] / 2**30:,.0f} GiB" if "refused" in row else ""
        return [*cells, why, "", f"{aim or ''}", "", stacks(row["memory"]), ""]
    best = min(by.values(), key=lambda b: b["seconds"])
    ratio, off = best["seconds"] / row["ours"], max(b["off"] for b in by.values())
    cpu = min(b["cpu"] for b in by.values()) / row["cpu"]
    return [
        *cells, f"{ratio:.1f}", f"{cpu:.1f}", f"{aim or ''}", f"{off:.0e}",
        stacks(row["memory"]), stacks(best["memory"]),
    ]  # fmt: skip


def main() -> None:
    """The command line."""
    parser = options("Robust rules beside ByzFL's.", quick="one small size")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of both libraries")
    parser.add_argument("--memory", type=float, default=12.0, help="GiB; what needs more is not run")
    args = parser.parse_args()
    where = origin()
    where["byzfl"] = "installed" if byzfl() is not None else "not installed (pip install --no-deps byzfl)"
    where["load before"] = f"{os.getloadavg()[0]:.1f}"
    sizes = args.scale.of(
        [(50, 200_000), (100, 200_000), (50, 1_000_000), (100, 1_000_000)], [(20, 50_000)], [(11, 2_000)]
    )
    calls = args.scale.of(3, 3, 1)
    sections, rows = ["# Robust rules", origin_lines(where)], []
    print("\n\n".join(sections) + "\n", flush=True)
    head = ["rule", "ours (ms)", "NumPy (ms)", "torch (ms)", "times", "by CPU", "aim", "apart", "stacks", "ByzFL's"]
    for n, d in sizes:
        table = []
        for case in CASES:
            row = compared(case, n, d, args.threads, calls, args.memory * 2**30)
            rows.append(row)
            table.append(line(row, case.aim))
            print(table[-1], flush=True)
        made = parts(stack(n, d, n // 5), args.threads, calls)
        rows.append({"n": n, "d": d, "parts": made})
        sections += [
            f"## {n} updates of {d:,} numbers, f = {n // 5}",
            f"{args.threads} threads for each library; the fastest of {calls} calls. NumPy, torch: ByzFL's rule with "
            "that backend; times: how many times as fast ours is as the faster of the two; by CPU: how many times less "
            "of the processors' time ours takes, which other programs disturb less. Apart: the largest difference of "
            "the answers. Stacks: memory made beside the input, in units of it.",
            markdown(head, table),
            "What rules are made of, each alone:",
            markdown(["part", "ms"], [[name, f"{1e3 * s:,.1f}"] for name, s in made.items()]),
        ]
    file = result_file(args, "robust")
    file.write_text("\n\n".join(sections) + "\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, "rows": rows}, indent=1) + "\n")
    print("\n\n".join(sections[2:]) + f"\n\nwritten: {file}")


if __name__ == "__main__":
    main()
