"""Laws of programs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from foedus.core.coordination.runtime import Runtime
from foedus.core.records.ledger import Costs
from foedus.core.records.run import Record
from foedus.core.records.run import Run as _Run
from foedus.core.types.data import FederatedDataset
from foedus.core.types.model import Model
from foedus.runtimes import Simulation
from foedus.sampling import AfterCommits
from foedus.testing.laws import ANY_TIME, REAL_TIME, Laws, same_history
from foedus.testing.problems import small
from foedus.training import train


def check_program(
    program: Any,
    model: Model | None = None,
    data: FederatedDataset | None = None,
    runtime: Runtime | None = None,
    *,
    workers: Sequence[int] = (1, 2),
    seeds_matter: bool = True,
    synchronous: bool = False,
    seed: int = 0,
) -> _Run:
    """Check a program against its laws, on a small problem unless one is given; returns the run that all must equal.

    ``workers``       numbers of workers that must give the same bits; each more than 1 costs a second or two.
    ``seeds_matter``  another seed gives another model; False for programs that draw nothing.
    ``synchronous``   every commit is one call that waits for its whole cohort: then compute, wire and waiting of its
                      nodes add up to the cohort times the time that passed.
    """
    if (model is None) != (data is None):
        raise ValueError("give a model and its data, or neither")
    if model is None or data is None:
        problem = small()
        model, data = problem.model, problem.data
    runtime = runtime if runtime is not None else Simulation()
    laws = Laws(program)
    ignore = REAL_TIME if isinstance(runtime, Simulation) else ANY_TIME

    def run(**options: Any) -> _Run:
        options = {"runtime": runtime, "seed": seed, "per_node": True, **options}
        with laws.attempt("runs", "a finished run"):
            return train(program, model, data, **options)

    def equal(came: _Run, law: str) -> None:
        difference = same_history(whole.history, came.history, ignore)
        laws.require(not difference, law, "the same history", difference)
        laws.require(came.sha256 == whole.sha256, law, f"the model {whole.sha256}", came.sha256)

    random_state = torch.random.get_rng_state()
    whole = run()
    law = "leaves torch's generator as it was"
    laws.require(torch.equal(random_state, torch.random.get_rng_state()), law, "the state before the run", "another")
    laws.require(len(whole.history) > 0, "commits", "at least one commit", "none")
    _check_ledger(laws, whole, synchronous)
    equal(run(), "the same seed gives the same run")
    if seeds_matter:
        other = run(seed=seed + 1)
        law = "another seed gives another run"
        laws.require(other.sha256 != whole.sha256, law, "another model", f"{other.sha256} twice")
    for n in workers:
        has_workers = is_dataclass(runtime) and any(f.name == "workers" for f in fields(runtime))
        if has_workers and n != getattr(runtime, "workers", None):
            equal(run(runtime=replace(runtime, workers=n)), f"the same with {n} workers")  # type: ignore[type-var]
    for t in range(1, len(whole.history)):
        law = f"stop after commit {t}, resume, and nothing has changed"
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            stopped = run(out=out, stop=AfterCommits(t))
            laws.require(stopped.history[-1].round == t, law, f"{t} commits", f"{stopped.history[-1].round}")
            # From memory twice: what resumes must not change the checkpoint it came from.
            for where, options in (
                ("from memory", {"resume": stopped}),
                ("from memory again", {"resume": stopped}),
                ("from its folder", {"resume": True, "out": out}),
            ):
                resumed = run(**options)
                equal(resumed, f"{law} ({where})")
                _check_same_books(laws, resumed, whole, f"{law} ({where})", ignore)
    return whole


def _check_ledger(laws: Laws, run: _Run, synchronous: bool) -> None:
    law = "the ledger only grows"
    counted = ("round", "epochs", "bytes_up", "bytes_down", "messages", "compute_s", "wire_s", "waiting_s", "virtual_s")
    before = Record(round=0)
    for r in run.history:
        laws.require(
            r.round == before.round + 1, "one record a commit", f"round {before.round + 1}", f"round {r.round}"
        )
        for name in counted:
            was, now = getattr(before, name), getattr(r, name)
            laws.require(now >= was, f"{law} (round {r.round})", f"{name} of at least {was}", now)
        for name in ("bytes_up", "bytes_down", "messages"):
            laws.require(isinstance(getattr(r, name), int), law, f"a whole number of {name}", getattr(r, name))
        if synchronous:
            spent = sum(getattr(r, n) - getattr(before, n) for n in ("compute_s", "wire_s", "waiting_s"))
            passed = r.cohort * (r.virtual_s - before.virtual_s)
            laws.require(
                math.isclose(spent, passed, rel_tol=1e-9, abs_tol=1e-12 + 1e-12 * r.cohort * r.virtual_s),
                f"compute, wire and waiting fill the round (round {r.round})",
                f"{passed} node-seconds, {r.cohort} nodes times what passed", f"{spent}",
            )  # fmt: skip
        before = r
    last, total = run.history[-1], run.ledger.total
    for name in ("bytes_up", "bytes_down", "compute_s", "wire_s", "waiting_s"):
        came = getattr(total, name)
        laws.require(
            came == getattr(last, name), "the ledger is the last record", f"{name} {getattr(last, name)}", came
        )
    summed = Costs()
    for costs in run.ledger.nodes.values():
        summed.add(costs)
    for name, value in total.as_dict().items():
        came = getattr(summed, name)
        law = "the nodes' accounts sum to the total"
        laws.require(math.isclose(came, value, rel_tol=1e-9, abs_tol=1e-9), law, f"{name} {value}", came)


def _check_same_books(laws: Laws, came: _Run, whole: _Run, law: str, ignore: Sequence[str]) -> None:
    for name, value in whole.ledger.total.as_dict().items():
        if name not in ignore:
            laws.require(
                getattr(came.ledger.total, name) == value, law, f"{name} {value}", getattr(came.ledger.total, name)
            )
    best = (came.best is None, None if came.best is None else came.best.round)
    expected = (whole.best is None, None if whole.best is None else whole.best.round)
    laws.require(best == expected, law, f"the best round {expected[1]}", best[1])
    laws.same({"best": came.best_vector}, {"best": whole.best_vector}, law)
    laws.require(came.judged == whole.judged, law, f"judged as {whole.judged}", came.judged)
    laws.require(came.curves == whole.curves, law, f"the curves {whole.curves}", came.curves)
