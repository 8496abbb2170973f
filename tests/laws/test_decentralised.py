"""Decentralised programs give the same bits in worker processes, and end on the real clock."""

from typing import Any

import pytest

import foedus as fd
from foedus.core.coordination.site import Setup
from foedus.programs import AdPsgd, Choco, ClippedGossip, Gossip, PushSum, RobustGossip
from foedus.runtimes.simulation.pool import Pool
from foedus.testing import same_history, small
from foedus.topologies import Absence, OnePeer

PROGRAMS = [
    Gossip(4),
    Gossip(5, local=fd.LocalSGD(epochs=1, lr=0.05), absences=(Absence(1, 1, 3), Absence(4, 2))),
    PushSum(5, OnePeer(), absences=(Absence(1, 1, 3), Absence(4, 2))),
    Choco(4),
    ClippedGossip(4, momentum=0.9),
    RobustGossip(4),
    AdPsgd(4),
]


def test_worker_processes_do_not_change_a_bit(on_pool: Any) -> None:
    problem = small()
    pool = Pool(2, Setup(problem.model, problem.data))
    try:
        for program in PROGRAMS:
            for network in (fd.network.LAN, fd.network.WAN):
                a, b = (
                    fd.train(program, problem.model, problem.data, runtime=runtime)
                    for runtime in (fd.Simulation(network=network), on_pool(pool, network))
                )
                assert a.sha256 == b.sha256
                assert not same_history(a.history, b.history)
                metrics = a.history[-1].metrics
                assert 0 <= metrics["single_worst_accuracy"] <= metrics["single_mean_accuracy"] <= 1
    finally:
        pool.close()


@pytest.mark.parametrize("program", PROGRAMS[:-1])
def test_synchronous_ones_give_the_same_model_in_any_time(program: Any) -> None:
    problem = small()
    runs = [
        fd.train(program, problem.model, problem.data, runtime=runtime)
        for runtime in (fd.Simulation(), fd.Simulation(network=fd.network.MOBILE), fd.Local())
    ]
    assert len({r.sha256 for r in runs}) == 1
