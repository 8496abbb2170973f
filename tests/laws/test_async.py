"""Asynchronous programs against closed forms: staleness, stability with delay, throughput, conservation."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import foedus as fd
from foedus.core.coordination.site import Setup
from foedus.core.types.data import FederatedDataset
from foedus.data import Natural, arrays
from foedus.network import CostModel, Device, Exponential, Links, Steady, theory
from foedus.programs import (
    EASGD,
    DelayCompensation,
    FedAsync,
    FedBuff,
    ParameterServer,
    Polynomial,
    StalenessAware,
    StaleSynchronous,
)
from foedus.runtimes.simulation.pool import Pool
from foedus.testing import half_squares, same_history, small

FREE = Links(0.0, math.inf, math.inf)
RANDOM = fd.Simulation(network=CostModel(FREE, Device(samples_per_second=1.0, jitter=Exponential())))
EVEN = fd.Simulation(network=CostModel(FREE, Device(samples_per_second=1.0, jitter=Steady())))
QUIET = 10**9
"""evaluate_every: only the last commit."""


def quadratics(targets: list[float], curvature: float = 1.0) -> FederatedDataset:
    """Node i holds one row, with the loss curvature (x - targets[i])^2 / 2."""
    root = math.sqrt(curvature)
    n = len(targets)
    return arrays(torch.full((n, 1), root), root * torch.tensor(targets)[:, None], node=list(range(n))).split(Natural())


def scalar(start: float = 0.0) -> fd.Model:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, start)
    return fd.Model(module, half_squares)


def train(program, targets, start=0.0, curvature=1.0, runtime=RANDOM, **options) -> fd.Run:
    options = {"evaluate_every": QUIET, **options}
    return fd.train(program, scalar(start), quadratics(targets, curvature), runtime=runtime, **options)


# -- staleness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 16])
def test_staleness_of_identical_exponential_workers_is_geometric(n: int) -> None:
    """Whoever answers next is anyone, so a given worker is next with chance 1/n: P(k) = (1/n) (1 - 1/n)^k.

    Bounds are 3.5 standard errors: over the three numbers of three sizes a wrong alarm has a chance of 0.4 %, once,
    as the seed is fixed. Stalenesses of different jobs are not independent, but more even than if they were.
    """
    updates = 4000
    run = train(ParameterServer(updates // n, lr=0.01), [1.0] * n)
    counts = run.staleness
    total = sum(counts.values())
    assert total == updates // n * n
    mean = sum(k * c for k, c in counts.items()) / total
    assert mean == pytest.approx(n - 1, abs=3.5 * math.sqrt(n * (n - 1) / total))
    for k in (0, 1):
        p = (1 / n) * (1 - 1 / n) ** k
        assert counts[k] / total == pytest.approx(p, abs=3.5 * math.sqrt(p * (1 - p) / total))
    # What the records say adds up to the same.
    assert sum(r.metrics["staleness_mean"] * r.cohort for r in run.history) == pytest.approx(mean * total)
    assert max(r.metrics["staleness_max"] for r in run.history) == max(counts)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_a_round_robin_has_staleness_n_minus_1_after_the_start(n: int) -> None:
    run = train(ParameterServer(6, lr=0.01), [1.0] * n, runtime=EVEN)
    assert run.history[0].metrics == {"staleness_mean": (n - 1) / 2, "staleness_max": n - 1}
    assert all(r.metrics == {"staleness_mean": n - 1, "staleness_max": n - 1} for r in run.history[1:])
    assert run.staleness == {k: 1 for k in range(n - 1)} | {n - 1: 6 * n - (n - 1)}


def test_synchronous_programs_have_no_staleness() -> None:
    run = train(fd.SyncSGD(2), [1.0, 2.0])
    assert run.staleness is None
    assert run.history[-1].metrics == {}


def test_a_run_read_from_its_folder_and_a_resumed_one_have_their_staleness(tmp_path) -> None:
    whole = train(ParameterServer(6), [1.0, 2.0, 3.0], out=tmp_path / "whole")
    assert fd.Run.load(tmp_path / "whole").staleness == whole.staleness
    part = train(ParameterServer(6), [1.0, 2.0, 3.0], out=tmp_path / "part", stop=fd.AfterCommits(2))
    assert sum(part.staleness.values()) == 6
    again = train(ParameterServer(6), [1.0, 2.0, 3.0], out=tmp_path / "part", resume=True)
    assert again.staleness == whole.staleness


# -- what staleness does to descent --------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [1.0, 4.0])
@pytest.mark.parametrize("delay", [0, 1, 2, 3, 5])
def test_delayed_descent_is_stable_up_to_the_closed_form(delay: int, curvature: float) -> None:
    """eta a < 2 sin(pi / (2 (2 tau + 1))), with runs whose staleness is tau: tau + 1 equal workers one by one.

    At the threshold the largest root of z^(tau+1) - z^tau + eta a is on the unit circle; 3 % beside it, 400 updates
    shrink or blow up the iterate by much more than the factor of 2 that is asked for.
    """
    n = delay + 1
    threshold = 2 * math.sin(math.pi / (2 * (2 * delay + 1)))
    if delay <= 2:
        assert threshold == pytest.approx((2, 1, 0.618034)[delay], abs=1e-6)
    for factor, stable in ((0.97, True), (1.03, False)):
        program = ParameterServer(400 // n, lr=factor * threshold / curvature)
        run = train(program, [0.0] * n, 1.0, curvature, EVEN, evaluate_every=1)
        assert max(run.staleness) == delay
        largest = [math.sqrt(2 * r.loss / curvature) for r in run.history]  # the loss is curvature x^2 / 2
        late, early = max(largest[-10:]), max(largest[:10])
        assert (late < early / 2) if stable else (late > 2 * early)


def test_delay_compensation_with_strength_zero_is_plain() -> None:
    a = train(ParameterServer(5, lr=0.3), [1.0, 3.0, 5.0])
    b = train(ParameterServer(5, lr=0.3, compensation=DelayCompensation(0.0)), [1.0, 3.0, 5.0])
    c = train(ParameterServer(5, lr=0.3, compensation=DelayCompensation(0.0, decay=0.9)), [1.0, 3.0, 5.0])
    d = train(ParameterServer(5, lr=0.3, compensation=DelayCompensation(0.1)), [1.0, 3.0, 5.0])
    assert a.sha256 == b.sha256 == c.sha256 != d.sha256


# -- throughput ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 16])
def test_throughput_over_synchronous_descent_is_the_harmonic_number(n: int) -> None:
    rounds = 300
    sync = train(fd.SyncSGD(rounds, lr=0.01), [1.0] * n).history[-1].virtual_s
    free = train(ParameterServer(rounds, lr=0.01), [1.0] * n).history[-1].virtual_s
    # Relative standard errors: of a round's maximum, and of the time of n * rounds arrivals at rate n.
    maximum = math.sqrt(sum(1 / i**2 for i in range(1, n + 1)) / rounds) / theory.harmonic(n)
    error = math.hypot(maximum, 1 / math.sqrt(n * rounds))
    assert sync / free == pytest.approx(theory.harmonic(n), rel=3 * error)


# -- stale-synchronous ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched(StaleSynchronous):
    """Tells all clocks after every update, in ``seen``."""

    seen: list = field(default_factory=list, repr=False)

    def _absorb(self, fed, s, u):
        s = super()._absorb(fed, s, u)
        self.seen.append(s.clocks)
        return s


@pytest.mark.parametrize("bound", [0, 1, 3])
def test_clocks_never_differ_by_more_than_bound_plus_1(bound: int) -> None:
    program = Watched(60, bound=bound, lr=0.01)
    run = train(program, [1.0] * 6)
    apart = [max(c) - min(c) for c in program.seen]
    assert max(apart) == bound + 1
    assert max(run.staleness) == bound
    assert [r.cohort > 0 for r in run.history] == [True] * 60


def test_a_worker_too_far_ahead_waits() -> None:
    """When the slowest is done with its first update, the fast ones have done bound + 1."""

    class Unequal:
        server_up = server_down = math.inf

        def link(self, node, key):
            return fd.network.IDEAL.link(node, key)

        def compute_seconds(self, node, work, flops, node_key, job_key):
            return (1.0, 2.0, 100.0)[node]

    for bound in (0, 1, 4):
        program = Watched(1, bound=bound)
        run = train(program, [1.0] * 3, runtime=fd.Simulation(network=Unequal()))
        assert program.seen[-1] == [bound + 1, bound + 1, 1]
        assert run.history[-1].virtual_s == 100.0


# -- elastic averaging ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kick(fd.LocalSGD):
    """The node's first job moves it by 2^id; from then on there is no gradient."""

    def __call__(self, node, args):
        first = "kicked" not in node.state
        delta = torch.full_like(args["w"], 2.0**node.id if first else 0.0)
        return fd.Update({"delta": delta}, 1.0, {}, node.id), {"kicked": torch.ones(())}


def parameters(run: fd.Run) -> list[float]:
    """The centre and what every worker has: it is in flight at a commit."""
    tree = run.checkpoint.tree
    return [
        float(tree["state"].w),
        *(float(f["args"]["w"]) for f in sorted(tree["in_flight"], key=lambda f: f["node"])),
    ]


@pytest.mark.parametrize("rate", [0.25, 0.5, None])
@pytest.mark.parametrize("commits", [1, 2, 20])
def test_elastic_averaging_conserves_the_sum_of_all_parameters(rate, commits: int) -> None:
    n, start = 4, 3.0
    program = EASGD(commits, rate=rate, local=Kick(steps=1))
    # Equal workers: after n updates every one has been kicked.
    run = train(program, [0.0] * n, start, runtime=EVEN)
    expected = (n + 1) * start + 2.0**n - 1
    came = parameters(run)
    assert len(came) == n + 1
    assert sum(came) == (expected if rate and commits == 1 else pytest.approx(expected, abs=2e-5))
    if commits == 20 and rate:  # and they meet at its mean
        assert came == pytest.approx([expected / (n + 1)] * (n + 1), abs=0.05)


@settings(max_examples=8, deadline=None)
@given(
    rate=st.floats(0.05, 0.6), lr=st.floats(0.05, 0.8), steps=st.integers(1, 4),
    targets=st.lists(st.floats(-4, 4, width=16), min_size=2, max_size=4),
)  # fmt: skip
def test_elastic_averaging_ends_in_its_fixed_point(rate: float, lr: float, steps: int, targets: list[float]) -> None:
    """Workers with f_i = (x - b_i)^2 / 2, one after the other: a turn is linear, and has one fixed point.

    A worker's steps give x -> q x + (1 - q) b_i with q = (1 - lr)^steps, then the spring acts.
    """
    n, q = len(targets), (1 - lr) ** steps
    a, b = np.eye(n + 1), np.zeros(n + 1)  # the turn: (centre, x_1 .. x_n) -> a (...) + b
    for i, target in enumerate(targets, 1):
        m, c = np.eye(n + 1), np.zeros(n + 1)
        m[i, i], c[i] = q, (1 - q) * target
        spring = np.eye(n + 1)
        spring[0, 0], spring[0, i] = 1 - rate, rate
        spring[i, 0], spring[i, i] = rate, 1 - rate
        a, b = spring @ m @ a, spring @ (m @ b + c)
    fixed = np.linalg.solve(np.eye(n + 1) - a, b)
    pace = max(abs(np.linalg.eigvals(a)))
    turns = min(2000, math.ceil(math.log(1e-7) / math.log(pace)) + 1)
    program = EASGD(turns, rate=rate, local=fd.LocalSGD(steps=steps, batch_size=None, lr=lr))
    assert parameters(train(program, targets, runtime=EVEN)) == pytest.approx(fixed, abs=2e-5)


# -- mixing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [FedAsync(3, mixing=0.5), FedAsync(3, mixing=1.0), FedAsync(3, concurrency=1)])
def test_models_that_do_not_move_leave_the_mixture_where_it_is(program) -> None:
    assert float(train(program, [1.0, 1.0, 1.0], 1.0).vector) == 1.0


def test_mixing_is_that_of_the_formula() -> None:
    """w <- (1 - a) w + a w_k, step by step in Python, for equal nodes one after the other."""
    targets, lr, mixing, power = [1.0, -2.0, 4.0], 0.5, 0.75, 0.7
    local = fd.LocalSGD(epochs=2, batch_size=None, lr=lr)
    run = train(FedAsync(4, mixing, Polynomial(power), local), targets, 2.0, runtime=EVEN)
    w, given_, since, version = 2.0, [2.0] * 3, [0] * 3, 0
    for _ in range(4):
        for k, target in enumerate(targets):
            w_k = target + (1 - lr) ** 2 * (given_[k] - target)
            a = mixing * (1 + version - since[k]) ** -power
            w = (1 - a) * w + a * w_k
            version += 1
            given_[k], since[k] = w, version
    assert float(run.vector) == pytest.approx(w, abs=1e-6)


# -- where it runs -------------------------------------------------------------------------------------------------


def test_worker_processes_make_no_difference(on_pool) -> None:
    problem = small()
    local = fd.LocalSGD(batch_size=7, lr=0.1)
    pool = Pool(2, Setup(problem.model, problem.data))
    try:
        for program in (
            ParameterServer(2, batch_size=4, discount=StalenessAware(), compensation=DelayCompensation(decay=0.9)),
            StaleSynchronous(3, batch_size=4),
            EASGD(2, fd.LocalSGD(steps=2)),
            FedAsync(2, local=local, concurrency=4),
            FedBuff(3, 3, local=local, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)),
        ):
            a, b = (
                fd.train(program, problem.model, problem.data, runtime=runtime)
                for runtime in (
                    fd.Simulation(network=fd.network.MOBILE), on_pool(pool, fd.network.MOBILE)
                )
            )  # fmt: skip
            assert a.sha256 == b.sha256
            assert a.staleness == b.staleness
            assert not same_history(a.history, b.history)
    finally:
        pool.close()
