"""BASGD: its formula step by step, what dishonest nodes can do, who is left out, laws, refusals."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.aggregators import Mean, Median, TrimmedMean
from foedus.programs import BASGD
from foedus.testing import check_program, half_squares, integers

MOBILE = fd.Simulation(network=fd.network.MOBILE)
ALIKE = Mean(weighted=False)


@pytest.fixture
def line():
    """``line(targets, rows)``: node k's rows have the loss (w - target_k)^2 / 2, and w begins at 2."""

    def make(targets, rows=None):
        rows = rows or [1] * len(targets)
        y = torch.tensor([[t] for t, n in zip(targets, rows, strict=True) for _ in range(n)])
        node = [k for k, n in enumerate(rows) for _ in range(n)]
        module = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(module.weight, 2.0)
        return fd.Model(module, half_squares), fd.data.arrays(torch.ones(len(y), 1), y, node=node).split(
            fd.data.Natural()
        )

    return make


TARGETS, ROWS = [1.0, -2.0, 4.0, 0.5, 3.0], [1, 2, 3, 4, 7]


@pytest.mark.parametrize("buckets", [1, 2, 3, 5])
@pytest.mark.parametrize("rule", [ALIKE, Median()])
def test_a_step_is_that_of_the_formula(line, runtimes, buckets, rule):
    """Nodes that take as long as they have rows, step by step in Python."""
    lr, steps = 0.25, 9
    run = fd.train(BASGD(steps, buckets, rule, lr), *line(TARGETS, ROWS), runtime=runtimes.even)
    w, done = 2.0, 0
    held = [[] for _ in range(buckets)]
    at_work = [(float(n), k, w) for k, n in enumerate(ROWS)]  # when done, node, given
    while done < steps:
        at_work.sort()
        now, k, given = at_work.pop(0)
        held[k % buckets].append(given - TARGETS[k])
        if all(held):
            means = torch.tensor([[sum(b) / len(b)] for b in held])
            w, held, done = w - lr * float(rule(means)), [[] for _ in range(buckets)], done + 1
        at_work.append((now + ROWS[k], k, w))  # it has the latest model at once
    assert float(run.vector) == pytest.approx(w, abs=1e-5)


def test_with_a_bucket_for_each_the_first_step_is_that_of_synchronous_descent():
    problem = integers((4,) * 8)
    a = fd.train(BASGD(1, None, ALIKE, 0.5), problem.model, problem.data)
    b = fd.train(fd.SyncSGD(1, lr=0.5), problem.model, problem.data)
    assert torch.equal(a.vector, b.vector)


@pytest.mark.parametrize("factor", [-1e30, -10.0, 100.0])
def test_a_dishonest_node_spoils_one_bucket_however_often_it_answers(line, runtimes, liars, factor):
    """Node 0 is the fastest and lies. Honest targets are in [1, 2], and so w stays where they pull it."""
    model, data = line([1.0, 1.0, 1.5, 2.0, 1.5, 1.0], [1, 9, 9, 9, 9, 9])
    run = {
        rule: fd.train(BASGD(60, 3, rule, 0.3), model, data, runtime=runtimes.even, policy=liars((0,), lie))
        for rule, lie in ((ALIKE, -10.0), (TrimmedMean(1), factor))
    }
    kept = run[TrimmedMean(1)]
    assert 1 <= float(kept.vector) <= 2
    assert not 1 <= float(run[ALIKE].vector) <= 2
    told = {s.node: s for s in kept.suspects}
    assert told[0].left_out == told[3].left_out == max(s.left_out for s in kept.suspects)  # they share a bucket
    assert told[0].left_out > 0.9 > 0.5 > min(told[n].left_out for n in (1, 2, 4, 5))


@dataclass(frozen=True)
class Broken(fd.Policy):
    """Node 1 answers NaN from its third job on, and node 4 weighs its first answers 0."""

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        if asked.node == 1 and asked.count >= 2:
            update = update.with_parts({k: v * math.nan for k, v in update.parts.items()})
        if asked.node == 4 and asked.count < 2:
            update = fd.Update(update.parts, 0.0, update.metrics, update.node, summed=True)
        return update, state


@pytest.mark.parametrize("failure", ["skip", "abort"])
def test_answers_that_are_none_are_left_out_and_named(line, runtimes, failure):
    model, data = line([1.0] * 6)
    run = fd.train(BASGD(6, 3, Median(), 0.3, failure=failure), model, data, runtime=runtimes.even, policy=Broken())
    told = [r.suspects for r in run.history]
    assert any(t.get(1) == (1.0, math.inf) for t in told)
    assert any(math.isinf(t[4][1]) for t in told if 4 in t)
    assert 1 < float(run.vector) < 1.5
    assert [n for n in run.notices if "node 1" in n and "NaN" in n]


def test_buckets_are_dealt_out_anew_when_a_node_fails(line, runtimes, with_failures):
    model, data = line([1.0] * 4)
    program = with_failures(BASGD(8, 3, Median(), 0.3), (0,), after=2)
    run = fd.train(program, model, data, runtime=runtimes.even)
    assert len(run.history) == 8
    assert [n for n in run.notices if "node 0" in n and "broken on purpose" in n]
    run = fd.train(
        with_failures(BASGD(8, None, TrimmedMean(1), 0.3), (0,), after=2), model, data, runtime=runtimes.even
    )
    assert len(run.history) == 8  # three buckets are left, as many as the rule needs
    program = with_failures(BASGD(8, 3, TrimmedMean(1), 0.3), (0, 1), after=2)
    with pytest.raises(fd.NodeFailed, match=r"too few nodes are left to go on: 2 have failed.*broken on purpose"):
        fd.train(program, model, data, runtime=runtimes.even)
    with pytest.raises(fd.NodeFailed, match=r"node 0 failed.*broken on purpose"):
        fd.train(with_failures(BASGD(8, 3, failure="abort"), (0,), after=2), model, data, runtime=runtimes.even)


@pytest.mark.parametrize(
    "program",
    [
        BASGD(4, lr=0.1),
        BASGD(5, 2, TrimmedMean(0), batch_size=4, concurrency=3),
        BASGD(4, 3, Median(), batch_size=4, transforms=(fd.ErrorFeedback(fd.TopK(0.3)),)),
        BASGD(4, 3, TrimmedMean(1), batch_size=4, transforms=(fd.QSGD(4),)),
    ],
)
def test_laws(program):
    check_program(program, runtime=MOBILE, workers=(1,))


def test_what_does_not_fit(line):
    model, data = line([1.0] * 4)
    for program, why in (
        (BASGD(1, 5), "5 buckets are never filled by 4 nodes"),
        (BASGD(1, 2, TrimmedMean(1)), r"TrimmedMean\(f=1\) needs .*at least 3 buckets, and there are 2: raise buckets"),
        (BASGD(1, 4, TrimmedMean(2)), "at least 5 buckets, and there are 4"),
        (BASGD(1, 4, concurrency=5), "lower concurrency"),
    ):
        with pytest.raises(fd.BadInput, match=why):
            fd.train(program, model, data)
    with pytest.raises(fd.BadInput, match="buckets is a number of them"):
        BASGD(1, 0)
    with pytest.raises(fd.BadInput, match="lr must be"):
        BASGD(1, lr=-1.0)
