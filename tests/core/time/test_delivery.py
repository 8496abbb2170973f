"""Deliveries and the shared link, in virtual time."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.time.clock import VirtualClock
from foedus.core.time.cost import Link
from foedus.core.time.delivery import Deliveries
from foedus.core.time.shared_link import SharedLink


def run(clock):
    while clock.advance():
        pass


def transfers(capacity, flows):
    """When each of ``(start, bytes, cap)`` ends."""
    clock = VirtualClock()
    link, ended = SharedLink(clock, capacity), {}
    for i, (start, nbytes, cap) in enumerate(flows):
        begin = lambda i=i, b=nbytes, c=cap: link.start(b, c, i, lambda: ended.setdefault(i, clock.now))  # noqa: E731
        clock.schedule(start, i, begin)
    run(clock)
    assert not link.under_way
    return [ended[i] for i in range(len(flows))]


@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_n_equal_transfers_share_the_link(n):
    assert transfers(10.0, [(0.0, 100.0, math.inf)] * n) == pytest.approx([n * 100 / 10] * n)


def test_a_link_without_limit_leaves_each_its_own_rate():
    assert transfers(math.inf, [(0.0, 100.0, 10.0), (1.0, 100.0, 50.0), (2.0, 5.0, math.inf)]) == [10.0, 3.0, 2.0]


def test_max_min_fairness_with_different_caps():
    # Capacity 10, caps 1, 3, inf: rates 1, 3, 6. The second (30 B) and third (60 B) end at 10, the first at 100.
    assert transfers(10.0, [(0, 100, 1.0), (0, 30, 3.0), (0, 60, math.inf)]) == pytest.approx([100, 10, 10])
    # Rates 2, 4, 4 (caps 2, 8, inf). At t=5 the second has sent its 20 B; the third goes on at 8 with 40 B left.
    assert transfers(10.0, [(0, 100, 2.0), (0, 20, 8.0), (0, 60, math.inf)]) == pytest.approx([50, 5, 10])


def test_a_late_start_takes_its_share():
    # The first sends 50 B in 5 s alone, then both have 5 B/s: it ends at 15; the second has 50 left and ends at 20.
    assert transfers(10.0, [(0, 100, math.inf), (5, 100, math.inf)]) == pytest.approx([15, 20])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 100), st.sampled_from([1.0, 2.5, 7.0, math.inf])),
        min_size=1,
        max_size=8,
    )
)
def test_conservation_no_transfer_beats_its_cap_and_the_link_its_capacity(flows):
    capacity = 10.0
    ended = transfers(capacity, flows)
    for (start, nbytes, cap), end in zip(flows, ended, strict=True):
        assert end - start >= nbytes / min(cap, capacity) - 1e-6
    # Whoever runs alone is never slower than with its fair share of the others: total time is bounded by the work.
    first = min(s for s, _, _ in flows)
    idle_free = sum(n / min(c, capacity) for _, n, c in flows)
    assert max(ended) <= max(s for s, _, _ in flows) + idle_free + 1e-6
    assert max(ended) - first >= sum(n for _, n, _ in flows) / capacity - 1e-6


def test_cancel_gives_its_share_back_and_tells_what_was_sent():
    clock = VirtualClock()
    link, ended = SharedLink(clock, 10.0), {}
    a = link.start(100, math.inf, 0, lambda: pytest.fail("cancelled"))
    link.start(100, math.inf, 1, lambda: ended.setdefault("b", clock.now))
    sent = []
    clock.schedule(4.0, 0, lambda: sent.append(link.cancel(a)))
    run(clock)
    assert sent == [pytest.approx(20.0)]
    assert ended["b"] == pytest.approx(4 + 80 / 10)
    free = SharedLink(clock, math.inf)
    alone = free.start(100, 10.0, 0, lambda: pytest.fail("cancelled"))
    at = clock.now
    clock.schedule(at + 3, 0, lambda: sent.append(free.cancel(alone)))
    run(clock)
    assert sent[1] == pytest.approx(30.0)


@dataclass(frozen=True)
class Flat:
    """Equal links and a compute time by node."""

    seconds: tuple[float, ...] = ()
    latency: float = 0.0
    up: float = math.inf
    down: float = math.inf
    server_up: float = math.inf
    server_down: float = math.inf

    def link(self, node, key):
        return Link(self.latency, self.up, self.down)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return self.seconds[node] if self.seconds else 0.0


def federation(n):
    x = np.random.default_rng(0).normal(size=(2 * n, 4)).astype("f")
    return fd.data.arrays(x, np.arange(2 * n) % 2).split(fd.data.IID(), nodes=n)


@dataclass(frozen=True)
class Ship:
    """A job whose answer has so many numbers, although only its announcement says so."""

    numbers: int

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"u": (self.numbers,)}

    def __call__(self, node, args):
        return fd.Update({"u": torch.zeros(1).expand(self.numbers)}, 1.0, {}, node.id), {}


def test_one_server_with_one_link():
    """Reference, section 1: n=8, 100 MB, 10 Gb/s, alpha 50 us: 2 (n bytes / C + alpha) = 1.2801 s."""
    numbers = 25_000_000
    seen = []

    class Program:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                # An expanded zero: 100 MB on the wire, four bytes of memory would do; place() copies, so keep it one.
                await fed.map(Ship(numbers), {"w": torch.zeros(numbers, dtype=torch.float32)}, range(8))
                seen.append(fed.now)
                await fed.commit(s)
            return s.w

    net = Flat(latency=50e-6, up=1.25e9, down=1.25e9, server_up=1.25e9, server_down=1.25e9)
    run = fd.train(Program(), fd.Model(nn.Linear(4, 2)), federation(8), runtime=fd.Simulation(network=net))
    assert seen == [pytest.approx(1.2801, abs=1e-9)]
    assert run.history[-1].virtual_s == seen[0]
    assert run.ledger.bytes_up == run.ledger.bytes_down == 8 * 4 * numbers


def test_what_a_dropped_node_had_done_is_in_the_ledger():
    # 24 bytes down at 8 B/s: 3 s; latency 1 s; compute 1 or 10 s; 1 s; up 24 B at 4 B/s: 6 s; each latency 1 s.
    model = fd.Model(nn.Linear(4, 1, bias=False), "mse")
    x = np.zeros((8, 4), "f")
    data = fd.data.arrays(x, np.zeros(8, "f")).split(fd.data.IID(), nodes=4)
    net = Flat(seconds=(1.0, 3.0, 8.5, 100.0), latency=1.0, up=4.0, down=8.0)
    # w has 4 numbers: 16 B: 2 s down, 4 s up. Arrivals: 2+1+c+4+1 = 8+c: 9, 11, 16.5, 108.
    runs = {}
    for limit in (9.0, 10.0, 12.0, 17.0):
        program = fd.FedAvg(rounds=1, local=fd.LocalSGD(batch_size=None), until=fd.Deadline(limit))
        run = fd.train(program, model, data, runtime=fd.Simulation(network=net), per_node=True)
        runs[limit] = run
        assert run.history[-1].virtual_s == limit
    led = runs[10.0].ledger
    assert runs[9.0].history[-1].cohort == 1  # an answer that arrives with the deadline is in time
    first, second, third, last = (led.nodes[n] for n in range(4))
    assert (first.bytes_down, first.bytes_up, first.dropped, first.waiting_s) == (16, 16, 0, 1.0)
    # Second, at t=10: arrived? 2+1+3 = 6, up until 10, latency until 11: all bytes sent, still on the way.
    assert (second.bytes_down, second.bytes_up, second.dropped) == (16, 16, 1)
    assert (second.compute_s, second.wire_s) == (3.0, 7.0)
    # Third computes from 3 to 11.5: 7 of 8.5 seconds, nothing sent up, samples in proportion.
    assert (third.bytes_up, third.compute_s, third.dropped) == (0, 7.0, 1)
    assert third.samples == pytest.approx(2 * 7.0 / 8.5)
    assert (last.compute_s, last.wire_s, last.waiting_s) == (7.0, 3.0, 0.0)
    assert led.total.messages_up == 2
    assert led.total.messages_down == 4
    # A deadline in the middle of an upload: third starts it at 11.5, by 12 it has sent 2 of 16 bytes.
    assert runs[12.0].ledger.nodes[2].bytes_up == 2
    assert runs[12.0].history[-1].cohort == 2


def test_nobody_in_time_changes_nothing_but_the_books():
    data = federation(3)
    model = fd.Model(nn.Linear(4, 2))
    net = Flat(seconds=(5.0,) * 3)
    program = fd.FedAvg(rounds=2, until=fd.Deadline(1.0))
    run = fd.train(program, model, data, runtime=fd.Simulation(network=net))
    assert torch.equal(run.vector, model.initial)
    assert [r.virtual_s for r in run.history] == [1.0, 2.0]
    assert run.ledger.total.dropped == run.ledger.total.jobs == 6
    assert run.history[-1].cohort == 0


def test_a_link_belongs_to_the_node_and_a_job_has_its_own_time():
    deliveries = Deliveries(VirtualClock(), fd.network.WAN, 3, lambda: 1e6)
    again = Deliveries(VirtualClock(), fd.network.WAN, 3, lambda: 1e6)
    other = Deliveries(VirtualClock(), fd.network.WAN, 4, lambda: 1e6)
    assert deliveries.link(5) == again.link(5) != deliveries.link(6)
    assert other.link(5) != deliveries.link(5)
    work = fd.Work(trained=10)
    assert (
        deliveries.compute_seconds(5, work, 0)
        == again.compute_seconds(5, work, 0)
        != deliveries.compute_seconds(5, work, 1)
    )


def test_a_program_whose_parties_share_one_place_sends_nothing():
    data, model = federation(4), fd.Model(nn.Linear(4, 2))
    runtime = fd.Simulation(network=Flat(seconds=(1.0, 2.0, 3.0, 4.0), latency=1.0, up=1.0, down=1.0))
    run = fd.train(fd.LocalOnly(rounds=2), model, data, runtime=runtime)
    assert run.ledger.bytes_up == run.ledger.bytes_down == run.ledger.messages == 0
    assert run.history[-1].virtual_s == 8.0
    assert run.ledger.total.compute_s == 20.0
    assert run.ledger.total.waiting_s == 0.0  # each waits for itself alone: four maps, not one
