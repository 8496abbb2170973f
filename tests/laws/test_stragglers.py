"""Waiting for the slowest: order statistics of exponential workers, backup workers, quorums and deadlines."""

import math

import pytest
import torch

import foedus as fd
from foedus.core.types.data import FederatedDataset
from foedus.data import Natural, arrays
from foedus.network import CostModel, Device, Exponential, Links, Steady
from foedus.testing import half_squares

FREE = Links(0.0, math.inf, math.inf)
# A row takes a second: nodes have one row each, so that a gradient takes 1 s on average.
SECOND = CostModel(FREE, Device(samples_per_second=1.0, jitter=Exponential()))


def _one_row_each(n: int) -> FederatedDataset:
    return arrays(torch.ones(n, 1), torch.zeros(n, 1), node=list(range(n))).split(Natural())


def _model() -> fd.Model:
    return fd.Model(torch.nn.Linear(1, 1), half_squares)


def _train(program, n: int, **options) -> fd.Run:
    options.setdefault("runtime", fd.Simulation(network=SECOND))
    return fd.train(program, _model(), _one_row_each(n), evaluate_every=10**9, **options)


@pytest.mark.parametrize(("backup", "mean"), [(0, 5.187378), (4, 3.104044)])
def test_rounds_take_the_order_statistic(backup: int, mean: float) -> None:
    n, rounds = 100, 80
    run = _train(fd.SyncSGD(rounds, backup=backup), n)
    assert mean == pytest.approx(sum(1 / i for i in range(backup + 1, n + 1)), abs=1e-6)
    error = math.sqrt(sum(1 / i**2 for i in range(backup + 1, n + 1)) / rounds)
    assert run.history[-1].virtual_s / rounds == pytest.approx(mean, abs=3 * error)
    assert [r.cohort for r in run.history] == [n - backup] * rounds
    total = run.ledger.total
    assert (total.jobs, total.dropped) == (n * rounds, backup * rounds)


def test_what_was_dropped_is_in_the_ledger() -> None:
    """By memorylessness a dropped node has computed as long as the round took, whatever it had left."""
    n, rounds = 20, 40
    run = _train(fd.SyncSGD(rounds, backup=4), n, per_node=True)
    total, virtual = run.ledger.total, run.history[-1].virtual_s
    assert total.compute_s + total.wire_s + total.waiting_s == pytest.approx(n * virtual)
    kept = rounds * (n - 4)
    # The rows of an unfinished gradient count by the part that was done.
    assert kept < total.samples < rounds * n
    assert total.messages_up == kept
    assert total.bytes_up == kept * 8
    assert sum(c.dropped for c in run.ledger.nodes.values()) == 4 * rounds


class _Once:
    """One map_reduce a round, with a rule for its end; keeps what came."""

    def __init__(self, until: fd.All | fd.Quorum | fd.Deadline, rounds: int = 1) -> None:
        self.until, self.rounds = until, rounds
        self.came: list[fd.Reduced] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            total = await fed.map_reduce(fd.Gradient(), {"w": s.w}, range(fed.nodes), fd.Mean(), until=self.until)
            self.came.append(total)
            await fed.commit(s)


def test_quorum_takes_the_first_and_names_the_rest() -> None:
    program = _Once(fd.Quorum(7), rounds=5)
    run = _train(program, 10)
    for total in program.came:
        assert len(total.arrived) == 7
        assert sorted([*total.arrived, *total.missing]) == list(range(10))
        assert all(isinstance(m, fd.Late) for m in total.missing.values())
    assert run.ledger.total.dropped == 15


def test_deadline_ends_on_time() -> None:
    program = _Once(fd.Deadline(1.0), rounds=30)
    run = _train(program, 10)
    assert run.history[-1].virtual_s == pytest.approx(30.0)
    # The chance to be in time is 1 - 1/e; three standard errors of 300 Bernoulli draws.
    share = sum(len(t.arrived) for t in program.came) / 300
    assert share == pytest.approx(1 - math.exp(-1), abs=3 * math.sqrt(0.2325 / 300))


def test_an_answer_at_the_deadline_is_in_time() -> None:
    program = _Once(fd.Deadline(1.0))
    steady = CostModel(FREE, Device(samples_per_second=1.0, jitter=Steady()))
    run = _train(program, 5, runtime=fd.Simulation(network=steady))
    assert program.came[0].arrived == (0, 1, 2, 3, 4)
    assert run.history[-1].virtual_s == 1.0


def test_a_deadline_nobody_meets_gives_an_empty_aggregate() -> None:
    program = _Once(fd.Deadline(1e-9))
    run = _train(program, 5)
    assert not program.came[0]
    assert (run.history[-1].cohort, run.ledger.total.dropped) == (0, 5)


def test_quorum_larger_than_the_cohort_is_refused() -> None:
    with pytest.raises(fd.BadInput, match="quorum of 6"):
        _train(_Once(fd.Quorum(6)), 5)
    with pytest.raises(fd.BadInput, match="spare"):
        _train(fd.SyncSGD(1, backup=5), 5)
