"""Do the intervals cover what they say? Many data sets of a population that is known, and the models' true quality.

See README.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from common import markdown, options, origin, origin_lines, result_file

import foedus as fd
from foedus.report.uncertainty import bounds_of, of_mean, of_pairs, sampled
from foedus.training import Run

FEATURES, NODES, ROUNDS, HOLDOUT = 5, 4, 4, 0.25
POPULATION = 20_000
"""Rows by which a model's true quality is known, to a thirtieth of an interval's width."""

LOCAL = fd.LocalSGD(epochs=1, batch_size=40, lr=0.3)
PROGRAMS = {
    "fedavg": lambda rounds: fd.FedAvg(rounds, local=LOCAL),
    "pooled": lambda rounds: fd.Centralized(rounds, local=LOCAL),
}


@dataclass(frozen=True)
class Rows:
    """Rows of a population. ``signal``: what is to be known of a target; ``variance`` of the noise that is added."""

    x: np.ndarray
    y: np.ndarray
    signal: np.ndarray
    variance: float = 0.0


@dataclass(frozen=True)
class Task:
    """A population to draw rows from, the model, and its metrics with what each is of the whole population."""

    draw: Callable[[np.random.Generator, int], Rows]
    model: Callable[[], fd.Model]
    metrics: Mapping[str, Callable[[np.ndarray, Rows], float]]


def _inputs(random: np.random.Generator, rows: int) -> np.ndarray:
    return random.normal(size=(rows, FEATURES)).astype(np.float32)


def _logistic(random: np.random.Generator, rows: int) -> Rows:
    x = _inputs(random, rows)
    odds = x @ np.array([1.2, -0.8, 0.5, 0.0, 0.0]) - 0.5
    return Rows(x, (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64), odds)


Noise = tuple[Callable[[np.random.Generator, int], np.ndarray], float]
"""Noise to draw, and its variance."""

NORMAL: Noise = (lambda random, rows: random.normal(size=rows), 1.0)
HEAVY: Noise = (lambda random, rows: random.standard_t(3, rows), 3.0)
SKEW: Noise = (lambda random, rows: np.exp(random.normal(size=rows)) - math.exp(0.5), (math.e - 1) * math.e)


def _linear(random: np.random.Generator, rows: int, noise: Noise) -> Rows:
    x = _inputs(random, rows)
    signal = x @ np.array([1.2, -0.8, 0.5, 0.0, 0.0])
    draw, variance = noise
    return Rows(x, (signal + draw(random, rows)).astype(np.float32), signal, variance)


def _mse(output: np.ndarray, rows: Rows) -> float:
    """Exactly, whatever the noise: of a tail without a fourth moment no sample tells it."""
    return float(np.mean((output[:, 0] - rows.signal) ** 2)) + rows.variance


def _auc(scores: np.ndarray, y: np.ndarray) -> float:
    rank = np.empty(len(y))
    rank[np.argsort(scores, kind="stable")] = np.arange(1, len(y) + 1)
    ones = int(y.sum())
    return float((rank[y > 0].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def _margin(output: np.ndarray) -> np.ndarray:
    return output[:, 1] - output[:, 0]  # type: ignore[no-any-return]


TASKS = {
    "two classes": Task(
        _logistic,
        lambda: fd.Model(fd.models.logistic(FEATURES, 2), metrics=["auc", "accuracy"]),
        {
            "auc": lambda output, rows: _auc(_margin(output), rows.y),
            "accuracy": lambda output, rows: float(((_margin(output) > 0) == rows.y).mean()),
        },
    ),
    "a number": Task(
        partial(_linear, noise=NORMAL),
        lambda: fd.Model(fd.models.mlp(FEATURES, 1), loss="mse", metrics=["rmse", "mae", "r2"]),
        {
            "rmse": lambda output, rows: math.sqrt(_mse(output, rows)),
            "mae": lambda output, rows: float(np.mean(np.abs(output[:, 0] - rows.y))),
            "r2": lambda output, rows: 1 - _mse(output, rows) / (float(np.var(rows.signal)) + rows.variance),
        },
    ),
}
TASKS["heavy tails"] = replace(TASKS["a number"], draw=partial(_linear, noise=HEAVY))
"""Noise whose squares have no variance, so that no sample tells how far their mean may be off."""
TASKS["skew noise"] = replace(TASKS["a number"], draw=partial(_linear, noise=SKEW))
"""Log-normal noise: a hundred rows of its squares hardly show the few by which they are as large as they are."""


def judged(task: Task, program: str, data: Any, seed: int, truth: Rows) -> tuple[Run, dict[str, float]]:
    """A run, and how good its models are in truth: that of its judged round, or by rows those of both."""

    def trained(rounds: int, evaluate_every: int) -> Run:
        return fd.train(PROGRAMS[program](rounds), task.model(), data, seed=seed, evaluate_every=evaluate_every)

    run = trained(ROUNDS, 1)
    assert run.judged is not None
    true = dict.fromkeys(task.metrics, 0.0)
    for t in run.judged.rounds:  # a run of fewer rounds is the beginning of a longer one, to the bit
        module = (run if t == ROUNDS else trained(t, ROUNDS)).model()
        with torch.no_grad():
            output = module(torch.from_numpy(truth.x)).numpy()
        for name, of in task.metrics.items():
            true[name] += of(output, truth) / len(run.judged.rounds)
    return run, true


def repeated(name: str, rows: int, sets: int, seeds: int) -> dict[str, dict[str, float]]:
    """Over so many data sets, by metric and number of seeds: how often intervals cover, how wide they are, and how
    often a difference is claimed between a program and itself with other batches.
    """
    task = TASKS[name]
    population = task.draw(np.random.default_rng(10**9), POPULATION)
    counts: dict[str, dict[str, float]] = {}
    for k in range(sets):
        drawn = task.draw(np.random.default_rng(k), rows)
        dataset = fd.data.arrays(drawn.x, drawn.y)
        ours: dict[str, list[tuple[Run, dict[str, float]]]] = {program: [] for program in (*PROGRAMS, "again")}
        for seed in range(seeds):
            data = dataset.split(fd.data.IID(), nodes=NODES, seed=seed, holdout=HOLDOUT)
            for program in PROGRAMS:
                ours[program].append(judged(task, program, data, seed, population))
            ours["again"].append(judged(task, "fedavg", data, seed + 1000, population))
        for n in sorted({1, seeds}):
            for metric in task.metrics:
                _count(counts.setdefault(f"{name}: {metric}, {n} seed{'s' if n > 1 else ''}", {}), ours, metric, n)
    for found in counts.values():
        told = sets - found["too few to tell"]
        found["width"] = sets * found["width"] / told if told else math.nan
    return {label: {k: v / sets for k, v in found.items()} for label, found in counts.items()}


def _count(into: dict[str, float], ours: dict[str, list[tuple[Run, dict[str, float]]]], metric: str, n: int) -> None:
    samples = {name: [sampled(run, metric) for run, _ in runs[:n]] for name, runs in ours.items()}
    true = {name: float(np.mean([t[metric] for _, t in runs[:n]])) for name, runs in ours.items()}
    value = of_mean(samples["fedavg"], bounds_of(metric))  # type: ignore[arg-type]
    pooled, again = (
        of_pairs(list(zip(samples["fedavg"], samples[other], strict=True)))  # type: ignore[arg-type]
        for other in ("pooled", "again")
    )
    assert value is not None
    assert pooled is not None
    assert again is not None
    for name, seen in (
        ("value covered", true["fedavg"] in value),
        ("too few to tell", bool(value.few)),
        ("told and wrong", not value.few and true["fedavg"] not in value),
        ("width", 0.0 if value.few else value.high - value.low),
        ("difference covered", true["fedavg"] - true["pooled"] in pooled),
        ("width of it", pooled.high - pooled.low),
        ("claimed where there is none", again.told),
    ):
        into[name] = into.get(name, 0.0) + float(seen)


def main() -> None:
    """The command line."""
    parser = options("Do the intervals cover what they say?", quick="40 data sets")
    parser.add_argument("--only", choices=list(TASKS), help="one of the populations; its results end with its name")
    args = parser.parse_args()
    torch.set_num_threads(1)
    where = origin()  # before the work, during which the checkout may move on
    sets, seeds, rows = args.scale.of((200, 5, 400), (40, 5, 400), (2, 2, 120))
    chosen = [args.only] if args.only else list(TASKS)
    found = {label: v for name in chosen for label, v in repeated(name, rows, sets, seeds).items()}
    shown = {"value covered", "too few to tell", "told and wrong", "difference covered", "claimed where there is none"}
    columns = list(next(iter(found.values())))
    table = markdown(
        ["metric", *columns],
        [[n, *(f"{100 * v[c]:.1f} %" if c in shown else f"{v[c]:.3f}" for c in columns)] for n, v in found.items()],
    )
    text = (
        f"{sets} data sets of {rows} rows at {NODES} nodes, a quarter of them held out; intervals of nominally 95 %. "
        "*value*: of federated averaging, against the true quality of the models judged, whether it is shown or not. "
        "*too few to tell*: said in the place of the interval. *told and wrong*: it is shown, and does not hold the "
        "true quality. *width*: of those that are shown. *difference*: to all rows in one place, likewise. *claimed "
        "where there is none*: of federated averaging to itself with other batches; with one seed the two models do "
        "differ a little."
    )
    print(f"{origin_lines(where)}\n\n{text}\n\n{table}")
    file = result_file(args, f"coverage-{args.only.replace(' ', '-')}" if args.only else "coverage")
    file.write_text(f"# Coverage of intervals\n\n{origin_lines(where)}\n\n{text}\n\n{table}\n")
    file.with_suffix(".json").write_text(json.dumps({"origin": where, "sets": sets, "found": found}, indent=1) + "\n")
    print(f"\nwritten: {file}")


if __name__ == "__main__":
    main()
