"""A cut through all peers as the run's commit."""

from dataclasses import dataclass

import pytest

import foedus as fd
from foedus.core.coordination.runtime import Engine
from foedus.core.coordination.site import Site
from foedus.core.time.clock import VirtualClock
from foedus.runtimes.simulation.inline import Inline
from foedus.topologies import Absence


@dataclass(frozen=True)
class Wide:
    """A simulation that could run so many jobs at once."""

    workers: int

    def start(self, setup):
        executor = Inline(Site(setup))
        executor.workers = self.workers
        return Engine(executor, VirtualClock(), None)


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
def test_every_model_is_evaluated_however_many_workers_there_are(workers):
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    model = fd.Model(fd.models.mlp(64, 4, 10))
    program = fd.Gossip(rounds=3, lr=0.5, absences=(Absence(0, 1), Absence(2, 2)))
    one, many = (fd.train(program, model, data, runtime=Wide(n)) for n in (1, workers))
    assert [r.metrics for r in many.history] == [r.metrics for r in one.history]
    assert one.history[-1].metrics["single_worst_accuracy"] <= one.history[-1].metrics["single_mean_accuracy"] < 1
