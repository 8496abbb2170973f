"""The same SHA-256 with 1, 2 and 4 workers, and stopped and resumed after every commit."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import foedus as fd
from foedus.core.coordination.runtime import Runtime
from foedus.core.coordination.site import Setup
from foedus.optimizers import Adam
from foedus.runtimes.simulation.pool import Pool
from foedus.sampling import AfterCommits
from foedus.testing import check_program, same_history, small

LOCAL = fd.LocalSGD(epochs=2, batch_size=7, lr=0.1, momentum=0.5)
PROGRAMS = {
    "mean": fd.FedAvg(4, fd.Fixed(4), LOCAL),
    "median": fd.FedAvg(4, fd.Fixed(5), LOCAL, aggregate=fd.Median()),
    "top-k": fd.FedAvg(4, fd.Fixed(4), LOCAL, transforms=(fd.ErrorFeedback(fd.TopK(0.1)),)),
    "adam": fd.FedAvg(4, fd.Fixed(4), LOCAL, server=Adam(lr=0.01)),
    "clip and trim": fd.FedAvg(4, fd.Poisson(0.9), LOCAL, aggregate=fd.TrimmedMean(f=1), transforms=(fd.Clip(0.5),)),
    "sync": fd.SyncSGD(4, lr=0.1, batch_size=5),
}
SMALL = small()
OnPool = Callable[[Pool, Any], Runtime]


@pytest.fixture(scope="module", params=[2, 4])
def workers(request: pytest.FixtureRequest, on_pool: OnPool) -> Iterator[Runtime]:
    pool = Pool(request.param, Setup(SMALL.model, SMALL.data))
    yield on_pool(pool, fd.network.LAN)
    pool.close()


def _train(program: Any, **options: Any) -> fd.Run:
    return fd.train(program, SMALL.model, SMALL.data, seed=0, **options)


@pytest.mark.parametrize("name", PROGRAMS)
def test_workers_do_not_change_a_bit(name: str, workers: Runtime) -> None:
    program = PROGRAMS[name]
    alone, together = _train(program), _train(program, runtime=workers)
    assert together.sha256 == alone.sha256
    assert not same_history(alone.history, together.history)
    # Stopped with one number of workers, resumed with another.
    stopped = _train(program, stop=AfterCommits(2))
    assert _train(program, resume=stopped, runtime=workers).sha256 == alone.sha256


@pytest.mark.parametrize("name", PROGRAMS)
def test_stopped_anywhere_and_resumed_is_the_same(name: str) -> None:
    check_program(PROGRAMS[name], SMALL.model, SMALL.data, workers=(1,), synchronous=name != "clip and trim")


@pytest.mark.parametrize("network", [fd.network.IDEAL, fd.network.WAN, fd.network.MOBILE])
def test_the_network_changes_the_time_and_not_a_bit(network: fd.network.CostModel) -> None:
    program = PROGRAMS["mean"]
    a, b = _train(program), _train(program, runtime=fd.Simulation(network=network))
    assert a.sha256 == b.sha256
    assert a.history[-1].virtual_s != b.history[-1].virtual_s
    check_program(program, SMALL.model, SMALL.data, fd.Simulation(network=network), workers=(1,), synchronous=True)


def test_bytes_are_rounds_times_cohort_times_message() -> None:
    d, p = SMALL.model.layout.size, SMALL.model.layout.parameters
    b = SMALL.model.layout.buffers
    dense = _train(PROGRAMS["mean"])
    assert dense.ledger.bytes_up == dense.ledger.bytes_down == 4 * 4 * 4 * d
    assert dense.ledger.messages == 2 * 4 * 4
    k = -(-p // 10)
    sparse = _train(PROGRAMS["top-k"])
    assert sparse.ledger.bytes_up == 4 * 4 * (8 * k + 4 * b)
    assert sparse.ledger.bytes_down == 4 * 4 * 4 * d


def test_a_neutral_transform_changes_nothing() -> None:
    a = _train(PROGRAMS["mean"])
    for neutral in (fd.Clip(1e6), fd.TopK(1.0), fd.ErrorFeedback(fd.TopK(1.0))):
        assert _train(fd.FedAvg(4, fd.Fixed(4), LOCAL, transforms=(neutral,))).sha256 == a.sha256
