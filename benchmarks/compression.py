"""What compression costs and saves: bytes, time and error of every compressor, and a run on digits with each.

See README.md.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from common import markdown, options, origin, origin_lines, result_file

import foedus as fd
from foedus.core.types.transform import Transform, nbytes, shapes_of
from foedus.transforms import (
    QSGD,
    Cast,
    Chain,
    Clip,
    Difference,
    ErrorFeedback,
    Gaussian,
    PowerSGD,
    RandomK,
    Sign,
    Ternary,
    TopK,
)

COMPRESSORS: tuple[tuple[str, Transform], ...] = (
    ('Cast("float16")', Cast("float16")),
    ('Cast("bfloat16")', Cast("bfloat16")),
    ("TopK(0.01)", TopK(0.01)),
    ("RandomK(0.01)", RandomK(0.01)),
    ("QSGD(1)", QSGD(1)),
    ("QSGD(7)", QSGD(7)),
    ("QSGD(7, bucket=512)", QSGD(7, bucket=512)),
    ("QSGD(127, bucket=512)", QSGD(127, bucket=512)),
    ("Sign()", Sign()),
    ("Ternary()", Ternary()),
    ("PowerSGD(2)", PowerSGD(2)),
    ("Chain((TopK(0.01), Cast()))", Chain((TopK(0.01), Cast()))),
    ("ErrorFeedback(TopK(0.01))", ErrorFeedback(TopK(0.01))),
    ("Difference(TopK(0.01))", Difference(TopK(0.01))),
    ("Gaussian(0.1)", Gaussian(0.1)),
)

SHAPES = {100_000: (250, 400), 1_000_000: (1000, 1000)}
"""The numbers are one matrix, which only PowerSGD takes notice of."""


def cost(transform: Transform, d: int, calls: int, seconds: float) -> dict[str, float]:
    """Bytes, time of a call and relative error, for normal numbers."""
    u = fd.Update({"delta": torch.randn(SHAPES[d], generator=torch.Generator().manual_seed(0))}, 1.0)
    shapes = shapes_of(u.parts)
    # The second call: a wrapper and PowerSGD then have a state.
    sent, state = transform.encode(u, {}, fd.Key(0))
    _, memory = transform.receive(sent, shapes, {})
    sent, _ = transform.encode(u, state, fd.Key(1))
    came, _ = transform.receive(sent, shapes, memory)
    error = float((came["delta"] - u["delta"]).norm() / u["delta"].norm())
    times = {
        "encode": _fastest(lambda: transform.encode(u, state, fd.Key(1)), calls, seconds),
        "decode": _fastest(lambda: transform.receive(sent, shapes, memory), calls, seconds),
    }
    return {"bytes": nbytes(shapes_of(sent.parts)), "error": error, **{k: 1e6 * v for k, v in times.items()}}


def _fastest(call: Any, calls: int, seconds: float) -> float:
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < calls or time.perf_counter() < until:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)  # whatever else the machine does only adds to it


@dataclass(frozen=True)
class Case:
    """A line of the second table."""

    name: str
    transforms: tuple[Transform, ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()


CASES = (
    Case("none"),
    Case("Cast()", (Cast(),)),
    Case("TopK(0.05)", (TopK(0.05),)),
    Case("ErrorFeedback(TopK(0.05))", (ErrorFeedback(TopK(0.05)),)),
    Case("Difference(TopK(0.05))", (Difference(TopK(0.05)),)),
    Case("RandomK(0.2)", (RandomK(0.2),)),
    Case("ErrorFeedback(RandomK(0.05, unbiased=False))", (ErrorFeedback(RandomK(0.05, unbiased=False)),)),
    Case("QSGD(7)", (QSGD(7),)),
    Case("QSGD(7, bucket=128)", (QSGD(7, bucket=128),)),
    Case("Difference(QSGD(7, bucket=128), alpha=0.5)", (Difference(QSGD(7, bucket=128), alpha=0.5),)),
    Case("Ternary()", (Ternary(),)),
    Case("Sign()", (Sign(),)),
    Case("ErrorFeedback(Sign())", (ErrorFeedback(Sign()),)),
    Case(
        "Sign(), MajorityVote()",
        (Sign(),),
        (("aggregate", fd.aggregators.MajorityVote()), ("server", fd.optimizers.SGD(lr=0.01))),
    ),
    Case("PowerSGD(2)", (PowerSGD(2),)),
    Case("ErrorFeedback(PowerSGD(2))", (ErrorFeedback(PowerSGD(2)),)),
    Case("ErrorFeedback(Chain((TopK(0.05), Cast())))", (ErrorFeedback(Chain((TopK(0.05), Cast()))),)),
    Case("Clip(1.0), Gaussian(0.01)", (Clip(1.0), Gaussian(0.01))),
)


def digits(case: Case, rounds: int, seeds: int) -> dict[str, float]:
    """FedAvg on digits: mean accuracy of the last tenth of the rounds over the seeds, and bytes to the server."""
    accuracies, up = [], 0
    for seed in range(seeds):
        data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=20, seed=seed)
        model = fd.Model(fd.models.mlp(64, 32, 10, seed=seed))
        program = fd.FedAvg(
            rounds,
            fd.Fixed(10),
            fd.LocalSGD(epochs=5, batch_size=10, lr=0.05),
            transforms=case.transforms,
            **dict(case.changes),
        )
        run = fd.train(program, model, data, seed=seed, runtime=fd.Simulation(workers=1))
        accuracies.append(statistics.mean(r.accuracy for r in run.history[-max(1, rounds // 10) :]))
        up = run.ledger.bytes_up
    return {
        "accuracy": statistics.mean(accuracies),
        "low": min(accuracies),
        "high": max(accuracies),
        "bytes_up": up,
    }


def main() -> None:
    """The command line."""
    args = options("What compression costs and saves.", quick="few repetitions and rounds").parse_args()
    torch.set_num_threads(1)
    where = origin()
    print(origin_lines(where) + "\n", flush=True)
    calls, seconds = args.scale.of((20, 0.5), (20, 0.05), (1, 0.0))
    sizes = args.scale.of(list(SHAPES), list(SHAPES), [min(SHAPES)])
    costs = {d: {name: cost(t, d, calls, seconds) for name, t in COMPRESSORS} for d in sizes}
    sections = ["# Compression", origin_lines(where)]
    for d, by_name in costs.items():
        head = ["compressor", "bytes", "ratio", "encode (us)", "decode (us)", "relative error"]
        rows = [
            [
                f"`{n}`",
                f"{c['bytes']:,}",
                f"{4 * d / c['bytes']:.1f}",
                f"{c['encode']:,.0f}",
                f"{c['decode']:,.0f}",
                f"{c['error']:.2g}",
            ]
            for n, c in by_name.items()
        ]
        sections += [
            f"## {d:,} normal numbers",
            f"The fastest of {calls} calls or more in one thread, a node's second round; error: ||C(v) - v|| / ||v||.",
            markdown(head, rows),
        ]
        print("\n\n".join(sections[-3:]) + "\n", flush=True)
    rounds, seeds = args.scale.of((50, 3), (10, 1), (1, 1))
    runs = {}
    for case in CASES:
        runs[case.name] = digits(case, rounds, seeds)
        print(case.name, runs[case.name], flush=True)
    head = ["transforms", "accuracy", "of the seeds", "bytes up", "ratio"]
    rows = [
        [
            f"`{n}`" if n != "none" else n,
            f"{r['accuracy']:.3f}",
            f"{r['low']:.3f} to {r['high']:.3f}",
            f"{r['bytes_up']:,}",
            f"{runs['none']['bytes_up'] / r['bytes_up']:.1f}",
        ]
        for n, r in runs.items()
    ]
    sections += [
        "## FedAvg on digits",
        f"20 nodes by Dirichlet(0.3), 10 a round, {rounds} rounds, E=5, B=10, lr 0.05, an MLP of 2,410 parameters; "
        f"the mean of the last tenth of the rounds over {seeds} seeds.",
        markdown(head, rows),
    ]
    print("\n" + "\n\n".join(sections[-3:]))
    file = result_file(args, "compression")
    file.write_text("\n\n".join(sections) + "\n")
    saved = {"origin": where, "costs": {str(d): c for d, c in costs.items()}, "digits": runs}
    file.with_suffix(".json").write_text(json.dumps(saved, indent=1) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
