"""Hierarchical averaging: where it is FedAvg, what it sends where, and in what time."""

import math

import pytest
import torch

import foedus as fd
from foedus.core.time.cost import Link
from foedus.programs import FedAvg, Hierarchical
from foedus.testing import integers, quadratic, small

QUIET = 10**9
LOCAL = fd.LocalSGD(epochs=2, batch_size=7, lr=0.1)


@pytest.mark.parametrize("edges", [1, 2, 3, 6])
@pytest.mark.parametrize("aggregate", [fd.Mean(), fd.Mean(weighted=False)], ids=["rows", "alike"])
def test_one_edge_round_is_fedavg(edges: int, aggregate) -> None:
    problem = small()
    for cohort in (fd.Fraction(1.0), fd.Fixed(3), fd.Poisson(0.5)):
        a = fd.train(FedAvg(3, cohort, LOCAL, aggregate), problem.model, problem.data, evaluate_every=QUIET)
        b = Hierarchical(3, cohort, LOCAL, aggregate, edges=edges)
        run = fd.train(b, problem.model, problem.data, evaluate_every=QUIET)
        torch.testing.assert_close(a.vector, run.vector, rtol=0, atol=2e-6)
        assert (run.ledger.bytes_up, run.ledger.bytes_down) == (a.ledger.bytes_up, a.ledger.bytes_down)


def test_it_is_fedavg_to_the_bit_where_sums_are_exact() -> None:
    problem = integers((2, 2, 4, 8, 16))
    local = fd.LocalSGD(batch_size=None, lr=0.5)
    a = fd.train(FedAvg(2, local=local), problem.model, problem.data)
    b = fd.train(Hierarchical(2, local=local, edges=1), problem.model, problem.data)
    assert a.sha256 == b.sha256


@pytest.mark.parametrize("edge_rounds", [1, 2, 5])
def test_with_a_node_an_edge_more_edge_rounds_are_more_local_steps(edge_rounds: int) -> None:
    steps = fd.LocalSGD(steps=2, batch_size=None, lr=0.1)
    more = fd.LocalSGD(steps=2 * edge_rounds, batch_size=None, lr=0.1)
    problem = quadratic()
    a = fd.train(Hierarchical(3, local=steps, edges=2, edge_rounds=edge_rounds), problem.model, problem.data)
    b = fd.train(FedAvg(3, local=more), problem.model, problem.data)
    assert float(a.vector) == pytest.approx(float(b.vector), abs=1e-6)


def test_one_edge_with_more_rounds_is_more_rounds_of_fedavg() -> None:
    problem = quadratic()
    local = fd.LocalSGD(steps=2, batch_size=None, lr=0.1)
    a = fd.train(Hierarchical(2, local=local, edges=1, edge_rounds=3), problem.model, problem.data)
    b = fd.train(FedAvg(6, local=local), problem.model, problem.data)
    assert float(a.vector) == pytest.approx(float(b.vector), abs=1e-6)


def test_traffic_to_the_cloud_is_a_model_an_edge() -> None:
    problem = small()
    run = fd.train(Hierarchical(3, local=LOCAL, edges=2, edge_rounds=4), problem.model, problem.data)
    d = 4 * problem.model.layout.size
    assert [r.metrics["cloud_bytes_up"] for r in run.history] == [2 * d, 4 * d, 6 * d]
    assert [r.metrics["cloud_bytes_down"] for r in run.history] == [2 * d, 4 * d, 6 * d]
    assert [r.bytes_up for r in run.history] == [4 * 6 * d, 8 * 6 * d, 12 * 6 * d]
    assert all(r.accuracy is not None for r in run.history)


def test_an_edge_without_nodes_in_the_cohort_is_not_asked() -> None:
    problem = small()
    run = fd.train(Hierarchical(1, fd.Fixed(1), LOCAL, edges=6), problem.model, problem.data)
    assert run.history[-1].metrics["cloud_bytes_down"] == 4 * problem.model.layout.size


class _Net:
    """Node k computes k + 1 seconds; links take no time."""

    server_up = server_down = math.inf

    def link(self, node, key):
        return Link(0.0, math.inf, math.inf)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return 1.0 + node


def test_edges_work_at_the_same_time() -> None:
    """Six nodes, two edges: their slowest take 3 and 6 seconds a round, so two edge rounds end after 12."""
    problem = small()
    program = Hierarchical(1, local=LOCAL, edges=2, edge_rounds=2)
    run = fd.train(program, problem.model, problem.data, runtime=fd.Simulation(network=_Net()))
    assert run.ledger.virtual_s == 12.0
