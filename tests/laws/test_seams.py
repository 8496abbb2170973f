"""The seams for later programs hold: an asynchronous parameter server, and gossip among peers."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import foedus as fd
from foedus.core.coordination.site import Setup
from foedus.core.types.data import FederatedDataset
from foedus.data import Natural, arrays
from foedus.network import CostModel, Device, Exponential, Links
from foedus.runtimes.simulation.pool import Pool
from foedus.testing import check_program, half_squares, integers, same_history

SECOND = CostModel(Links(0.0, math.inf, math.inf), Device(samples_per_second=1.0, jitter=Exponential()))
# Four bytes take a second on a node's own line, and all share a line of the server's that is no faster.
NARROW = CostModel(
    Links(0.25, up=8.0, down=8.0, spread=0.5),
    Device(samples_per_second=1.0, jitter=Exponential()),
    server_up=12.0,
    server_down=12.0,
)


def _targets(values: list[float]) -> FederatedDataset:
    """Node i holds one row with the loss (x - values[i])^2 / 2."""
    n = len(values)
    return arrays(torch.ones(n, 1), torch.tensor(values)[:, None], node=list(range(n))).split(Natural())


def _scalar() -> fd.Model:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    return fd.Model(module, half_squares)


@dataclass(frozen=True)
class _ParameterServer:
    """Asynchronous descent: every gradient is applied when it comes, whatever version it was computed on."""

    updates: int
    lr: float = 0.01

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        async with fed.stream(fd.Gradient(), commits=self.updates) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for u in updates:
                s = s.replace(w=s.w - self.lr * u.value()["gradient"])
                updates.publish(s.w)
                updates.send(u.node, {"w": s.w})
                await fed.commit(s, {"staleness": float(u.staleness)})


def test_staleness_of_exponential_workers_is_geometric() -> None:
    n, updates = 16, 4000
    run = fd.train(
        _ParameterServer(updates), _scalar(), _targets([1.0] * n), runtime=fd.Simulation(network=SECOND)
    )  # fmt: skip
    staleness = [r.metrics["staleness"] for r in run.history]
    assert len(staleness) == updates
    deviation = math.sqrt(n * (n - 1))
    assert sum(staleness) / updates == pytest.approx(n - 1, abs=3 * deviation / math.sqrt(updates))
    fresh = sum(s == 0 for s in staleness) / updates
    assert fresh == pytest.approx(1 / n, abs=3 * math.sqrt((n - 1) / n**2 / updates))
    # n workers, one job a second each.
    assert run.history[-1].virtual_s == pytest.approx(updates / n, abs=3 * math.sqrt(updates) / n)


@pytest.mark.parametrize("network", [SECOND, NARROW, fd.network.WAN], ids=["free", "narrow", "wan"])
def test_asynchronous_runs_resume_to_the_same_bits_and_instants(network: CostModel) -> None:
    runtime = fd.Simulation(network=network)
    run = check_program(_ParameterServer(12), _scalar(), _targets([1.0, 2.0, 3.0, 5.0]), runtime, workers=(1,))
    assert run.history[-1].virtual_s > 0


@dataclass(frozen=True)
class _Ring:
    def neighbours(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(sorted({(node - 1) % nodes, (node + 1) % nodes}))


@dataclass(frozen=True)
class _Gossip:
    """D-PSGD (arXiv:1705.09056) on a ring with weights 1/3: mix, and step along the gradient at the old point."""

    rounds: int
    lr: float = 0.25
    start: float = 0.0
    topology: _Ring = field(default_factory=_Ring)

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(lambda w: fd.State(w=w + self.start * peer.id))
        for _ in peer.rounds(self.rounds):
            g = await peer.run(fd.Gradient(), {"w": s.w})
            near = await peer.exchange({"w": s.w})
            mixed = sum((m["w"] / 3 for m in near.values()), torch.zeros_like(s.w))
            s = fd.replace(s, w=mixed - self.lr * g.value()["gradient"])
            await peer.commit(s)


@dataclass(frozen=True)
class _Mixing:
    """Nothing but mixing, from x_i = i; the first commit shows the start."""

    rounds: int
    topology: _Ring = field(default_factory=_Ring)

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(lambda w: fd.State(w=torch.full_like(w, float(peer.id))))
        for t in peer.rounds(self.rounds):
            if t > 0:
                near = await peer.exchange({"w": s.w})
                s = s.replace(w=sum((m["w"] / 3 for m in near.values()), torch.zeros_like(s.w)))
            await peer.commit(s)


def test_the_mean_iterate_is_exact_descent_on_the_mean() -> None:
    targets = [1.0, -2.0, 4.0, 0.5, 3.0, -1.0]
    mean = sum(targets) / len(targets)
    for rounds in (1, 2, 7, 20):
        run = fd.train(_Gossip(rounds), _scalar(), _targets(targets))
        assert float(run.vector) == pytest.approx(mean * (1 - 0.75**rounds), abs=1e-6)
        # The peers themselves differ, so that the mean is of something.
        assert run.history[-1].metrics["consensus_distance"] > 0.01


def test_consensus_distance_of_the_ring_of_eight() -> None:
    run = fd.train(_Mixing(6), _scalar(), _targets([0.0] * 8))
    distance = [r.metrics["consensus_distance"] for r in run.history]
    assert distance[0] == 5.25
    assert distance[1] == pytest.approx(2.36111, abs=1e-5)
    assert distance[5] == pytest.approx(0.388919, abs=1e-6)
    assert float(run.vector) == pytest.approx(3.5, abs=1e-6)


@pytest.mark.parametrize("network", [SECOND, NARROW, fd.network.WAN], ids=["free", "narrow", "wan"])
def test_gossip_resumes_to_the_same_bits_and_instants(network: CostModel) -> None:
    data = _targets([1.0, -2.0, 4.0, 0.5, 3.0])
    program = _Gossip(5, start=1.0)
    check_program(program, _scalar(), data, fd.Simulation(network=network), workers=(1,), seeds_matter=False)


def test_both_seams_and_exact_descent_in_worker_processes(on_pool: Any) -> None:
    problem = integers((3, 5, 7, 17))
    network = CostModel(Links(0.01, 1e3, 1e3, spread=0.5), Device(samples_per_second=100.0, jitter=Exponential()))
    pool = Pool(2, Setup(problem.model, problem.data))
    try:
        for program in (_Gossip(4, start=1.0), _ParameterServer(12), fd.SyncSGD(10, lr=0.5)):
            a, b = (
                fd.train(program, problem.model, problem.data, runtime=runtime)
                for runtime in (fd.Simulation(network=network), on_pool(pool, network))
            )
            assert a.sha256 == b.sha256
            assert not same_history(a.history, b.history)
    finally:
        pool.close()


@dataclass(frozen=True)
class _Ahead:
    """Peer 0 sends without waiting, peer 1 only listens: messages cross every commit."""

    rounds: int

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for t in peer.rounds(self.rounds):
            if peer.id == 0:
                await peer.send(1, {"w": s.w + float(t)}, "on")
                await peer.sleep(0.1)
            elif t > 0:
                await peer.sleep(1.0)
                m = await peer.recv("on", 0)
                assert m is not None
                s = s.replace(w=s.w + m.parts["w"] * (t + 1))
            await peer.commit(s)


def test_messages_that_cross_a_commit_are_in_the_checkpoint() -> None:
    run = check_program(_Ahead(6), _scalar(), _targets([1.0, 2.0]), workers=(1,), seeds_matter=False)
    # In its round t peer 1 hears what was sent in round t - 1.
    assert float(run.vector) == sum((t + 1) * (t - 1) for t in range(1, 6)) / 2
