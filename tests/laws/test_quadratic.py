"""The two-node quadratic f1 = x^2/2, f2 = 2 (x-1)^2, optimum 0.8: closed forms of FedAvg, FedProx and SCAFFOLD."""

import math
from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.jobs import InverseTime
from foedus.testing import quadratic

CURVATURE, OPTIMUM = (1.0, 4.0), (0.0, 1.0)
QUIET = 10**9
"""evaluate_every: only the last round."""


def _train(program, start: float = 0.0) -> fd.Run:
    problem = quadratic(start)
    return fd.train(program, problem.model, problem.data, evaluate_every=QUIET)


def _fixed_point(lr: float, steps: int) -> float:
    gain = [1 - (1 - lr * a) ** steps for a in CURVATURE]
    return sum(g * b for g, b in zip(gain, OPTIMUM, strict=True)) / sum(gain)


def test_the_problem_is_the_one_named() -> None:
    problem = quadratic(0.25)
    rows = [
        problem.model.row_losses(problem.model.module(x), y) for x, y in (problem.data.rows(k).batch() for k in (0, 1))
    ]
    assert [r.item() for r in rows] == [0.25**2 / 2, 2 * 0.75**2]


def test_fedavg_stops_at_its_fixed_point() -> None:
    """In float32 a point near 0.7 is known to 6e-8, and the contraction of 0.33 a round leaves a few of these."""
    local = fd.LocalSGD(epochs=5, batch_size=None, lr=0.1)
    for start in (0.0, 3.0):
        x = float(_train(fd.FedAvg(60, local=local), start).vector)
        assert x == pytest.approx(0.6925023465, abs=1e-6)
    assert _fixed_point(0.1, 5) == pytest.approx(0.6925023465, abs=1e-10)


@settings(max_examples=12, deadline=None)
@given(lr=st.floats(0.05, 0.45), steps=st.integers(1, 12))
def test_fedavg_fixed_point_for_any_rate_and_steps(lr: float, steps: int) -> None:
    contraction = sum((1 - lr * a) ** steps for a in CURVATURE) / 2
    rounds = 2 if abs(contraction) < 1e-9 else max(2, math.ceil(math.log(1e-8) / math.log(abs(contraction))))
    local = fd.LocalSGD(steps=steps, batch_size=None, lr=lr)
    assert float(_train(fd.FedAvg(rounds, local=local)).vector) == pytest.approx(_fixed_point(lr, steps), abs=2e-6)


def test_decaying_rate_converges_like_one_over_t() -> None:
    rounds = [60, 120, 240, 480]
    local = fd.LocalSGD(epochs=5, batch_size=None, lr=InverseTime(0.1, 0.1))
    gaps = [abs(float(_train(fd.FedAvg(t, local=local)).vector) - 0.8) for t in rounds]
    slope = np.polyfit(np.log(rounds), np.log(gaps), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)


def test_proximal_with_exact_local_minimisation() -> None:
    local = fd.LocalSGD(steps=25, batch_size=None, lr=0.08, proximal=10.0)
    assert float(_train(fd.FedAvg(100, local=local)).vector) == pytest.approx(0.758621, abs=2e-6)


def test_proximal_zero_is_fedavg() -> None:
    a = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1, proximal=0.0)))
    b = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1)))
    c = _train(fd.FedAvg(5, local=fd.LocalSGD(epochs=3, batch_size=None, lr=0.1, proximal=1.0)))
    assert a.sha256 == b.sha256 != c.sha256


@dataclass(frozen=True)
class _Controlled:
    """LocalSGD with SCAFFOLD's correction c - c_i; c_i, of option II, is the node's state."""

    local: fd.LocalSGD

    def work(self, rows: int) -> fd.Work:
        return self.local.work(rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {**self.local.parts(model), "control": (model.layout.parameters,)}

    def __call__(self, node: fd.NodeView, args):
        c_i = node.state.get("c", torch.zeros_like(args["c"]))
        u, _ = self.local(node, {"w": args["w"], "correction": args["c"] - c_i})
        new = c_i - args["c"] - u["delta"] / (self.local.steps_on(len(node.rows)) * self.local.lr)
        return u.with_parts({**u.parts, "control": new - c_i}), {"c": new}


@dataclass(frozen=True)
class _Scaffold:
    rounds: int
    local: fd.LocalSGD

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w, c=torch.zeros_like(w)))
        for _ in fed.rounds(self.rounds):
            total = await fed.map_reduce(_Controlled(self.local), {"w": s.w, "c": s.c}, range(fed.nodes), fd.Mean())
            s = fd.State(w=s.w + total["delta"], c=s.c + total["control"])
            await fed.commit(s)


SCAFFOLD_LOCAL = fd.LocalSGD(steps=5, batch_size=None, lr=0.1)


@pytest.mark.parametrize(("rounds", "x"), [(1, 0.46112), (2, 0.697709144), (3, 0.785305409), (40, 0.8)])
def test_scaffold_has_no_bias(rounds: int, x: float) -> None:
    run = _train(_Scaffold(rounds, SCAFFOLD_LOCAL))
    assert float(run.vector) == pytest.approx(x, abs=1e-6)
    tree = run.checkpoint.tree
    controls = [float(tree["node_states"][n]["job"]["c"]) for n in (0, 1)]
    assert float(tree["state"].c) == pytest.approx(sum(controls) / 2, abs=1e-6)
