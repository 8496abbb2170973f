"""Decentralised programs whose peers are processes: the bits of a simulation, messages counted on the wire, every end.

To start processes takes seconds, so that most tests share one group.
"""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field

import cloudpickle
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.coordination import cut
from foedus.core.coordination.cut import mean_model
from foedus.core.coordination.drivers import Wall
from foedus.core.coordination.peer import Books
from foedus.core.coordination.runtime import Engine
from foedus.core.coordination.site import Site
from foedus.core.errors import Deadlock
from foedus.core.time.clock import RealClock
from foedus.jobs import Gradient
from foedus.runtimes import Processes
from foedus.runtimes.processes.parent.decentralised import drive
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.simulation.inline import Inline
from foedus.testing import half_squares
from foedus.topologies import Absence, ErdosRenyi, Exponential, Ring, Star

NODES = 4
WIRES = ["shared", "sockets"]


def make_data(nodes=NODES):
    x = np.random.default_rng(0).normal(size=(100, 4)).astype("f")
    return fd.data.arrays(x, np.arange(100) % 3, test=0.2).split(fd.data.IID(), nodes=nodes)


def make_model():
    torch.manual_seed(0)
    return fd.Model(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 3)))


def make_crew(model, data, slowdown):
    policy = cloudpickle.dumps(fd.Policy())
    setup = [{"seed": 0, "device": None, "slowdown": factor, "policy": policy} for factor in slowdown]
    return ProcessGroup(data.nodes, "foedus.runtimes.processes.node", lambda rank: setup[rank], model, data)


@pytest.fixture(scope="module")
def there():
    model, data = make_model(), make_data()
    with make_crew(model, data, (1.0, 1.0, 1.0, 3.0)) as group:
        yield model, data, group


@dataclass(frozen=True)
class On:
    """A runtime of processes that are already there, and stay for the next run."""

    group: ProcessGroup
    wire: str = "shared"
    lost: str = "abort"
    meters: dict = field(default_factory=dict)
    evaluating: float = 0.0
    """Seconds that an evaluation takes longer than it must."""

    def start(self, setup):
        def elsewhere(program, session):
            return drive(program, session, self.group, self.wire, self.lost == "skip", self.meters)

        class Slow(Inline):
            def wait(this, ticket):
                time.sleep(self.evaluating)
                return super().wait(ticket)

        return Engine(Slow(Site(setup)), RealClock(), None, Wall, elsewhere)


def states(run):
    return [b["state"] for b in run.checkpoint.tree["extra"]["peers"]["books"]]


# -- the bits and the bytes of a simulation ------------------------------------------------------------------------

LOCAL = fd.LocalSGD(epochs=1, batch_size=8, lr=0.1)
PROGRAMS = {
    "gossip": fd.Gossip(rounds=4),
    "gossip, local": fd.Gossip(rounds=3, topology=Star(), local=LOCAL),
    "gossip, absences": fd.Gossip(rounds=5, absences=(Absence(node=1, start=1, stop=3),)),
    "push-sum": fd.PushSum(rounds=4, topology=Exponential()),
    "choco": fd.Choco(rounds=4),
    "clipped gossip": fd.ClippedGossip(rounds=4, momentum=0.9),
    "robust gossip": fd.RobustGossip(rounds=3, local=LOCAL),
}


def test_time_that_the_parent_takes_for_a_commit_is_not_the_runs(there, monkeypatch):
    """It would be taken back with the next commit, and the clock go backward."""
    model, data, group = there
    waits = iter([0.5])

    def slow(books):
        time.sleep(next(waits, 0.0))
        return mean_model(books)

    monkeypatch.setattr(cut, "mean_model", slow)
    walls = [r.wall_s for r in fd.train(PROGRAMS["gossip"], model, data, runtime=On(group, "shared")).history]
    assert walls == sorted(walls)


@dataclass(frozen=True)
class Weighty:
    """Gossip whose state takes so many seconds to be copied for its commit, at every peer."""

    inner: fd.Gossip
    seconds: float

    @property
    def topology(self):
        return self.inner.topology

    async def __call__(self, peer):
        class Slowly(Books):
            def copy(books):
                time.sleep(self.seconds)
                return super().copy()

        peer.books.__class__ = Slowly
        return await self.inner(peer)


def test_what_a_peer_does_after_a_commit_is_not_on_the_commits_account(there):
    model, data, group = there
    run = fd.train(Weighty(fd.Gossip(rounds=1), 0.2), model, data, runtime=On(group, "shared"), per_node=True)
    for books in run.ledger.nodes.values():
        assert books.compute_s + books.serial_s + books.wire_s + books.waiting_s <= run.history[-1].wall_s + 1e-3


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_bytes_and_messages_as_in_simulation(there, name, wire):
    model, data, group = there
    here = fd.train(PROGRAMS[name], model, data)
    runtime = On(group, wire)
    run = fd.train(PROGRAMS[name], model, data, runtime=runtime, per_node=True)
    assert run.sha256 == here.sha256
    assert [r.loss for r in run.history] == [r.loss for r in here.history]
    assert [r.metrics for r in run.history] == [r.metrics for r in here.history]
    assert [r.train_loss for r in run.history] == [r.train_loss for r in here.history]
    total, same = run.ledger.total, here.ledger.total
    assert (total.bytes_up, total.messages_up, total.samples) == (same.bytes_up, same.messages_up, same.samples)
    assert (total.bytes_down, total.messages_down) == (total.bytes_up, total.messages_up)
    # What was counted where it leaves and arrives is what the books say.
    for node, meter in runtime.meters.items():
        books = run.ledger.nodes[node]
        assert (meter.vector_sent, meter.vector_received) == (books.bytes_up, books.bytes_down)
        assert meter.bytes_sent + meter.bytes_received == books.bytes_up + books.bytes_down + books.framing
        if wire == "sockets":
            assert (meter.messages_sent, meter.messages_received) == (books.messages_up, books.messages_down)
        # All of a node's time is of one kind, and none of it is later than the run's last commit.
        seconds = books.compute_s + books.serial_s + books.wire_s + books.waiting_s
        assert 0 < seconds <= run.history[-1].wall_s + 1e-3
        assert min(books.compute_s, books.serial_s, books.wire_s, books.waiting_s) >= 0
    walls = [r.wall_s for r in run.history]
    assert walls == sorted(walls)


absences = st.lists(
    st.builds(lambda node, start, away: Absence(node, start, start + away), *map(st.integers, (0, 0, 1), (3, 3, 3))),
    max_size=2,
    unique_by=lambda a: a.node,
)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), st.sampled_from(WIRES), absences, st.sampled_from([None, LOCAL]))
def test_the_same_bits_over_any_graph_whoever_is_away(there, seed, wire, absences, local):
    model, data, group = there
    program = fd.Gossip(rounds=4, topology=ErdosRenyi(0.7, seed=seed), absences=tuple(absences), local=local)
    try:
        here = fd.train(program, model, data)
    except fd.BadInput:
        assume(False)  # not connected
    run = fd.train(program, model, data, runtime=On(group, wire))
    assert run.sha256 == here.sha256
    assert run.ledger.total.bytes_up == here.ledger.total.bytes_up


@pytest.mark.parametrize("wire", WIRES)
def test_asynchronous_gossip_runs(there, wire):
    model, data, group = there
    runtime = On(group, wire)
    run = fd.train(fd.AdPsgd(rounds=4), model, data, runtime=runtime)
    assert len(run.history) == 4
    assert run.ledger.total.jobs == 16
    assert [s.steps for s in states(run)] == [4, 4, 4, 4]
    # Every step of an active peer made one average, of two.
    assert sum(s.averaged for s in states(run)) == 2 * 2 * 4


def test_asynchronous_gossip_learns_from_both_sides():
    # f_i = (w_0 - i)^2 / 2 at node i of a ring, every other of which asks: the mean of all optima.
    x, y = np.eye(4, dtype="f")[[0] * 4], np.arange(4, dtype="f")[:, None]
    data = fd.data.arrays(x, y, node=list(range(4))).split(fd.data.Natural())
    start = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(start.weight)
    job = fd.LocalSGD(steps=1, batch_size=None, lr=0.1)
    run = fd.train(fd.AdPsgd(30, local=job), fd.Model(start, half_squares), data, runtime=Processes(slowdown=(1, 4)))
    assert float(run.vector[0]) == pytest.approx(1.5, abs=0.2)


def test_commits_that_are_not_evaluated_hold_numbers(there):
    model, data, group = there
    options = {"evaluate_every": 3, "evaluate_nodes": 2}
    here = fd.train(fd.Gossip(rounds=5), model, data, **options)
    run = fd.train(fd.Gossip(rounds=5), model, data, runtime=On(group), **options)
    assert run.node_metrics == here.node_metrics
    assert run.sha256 == here.sha256
    assert run.best_vector.equal(here.best_vector)
    assert [r.accuracy for r in run.history] == [r.accuracy for r in here.history]
    assert [r.train_loss for r in run.history] == [r.train_loss for r in here.history]
    assert ["consensus_distance" in r.metrics for r in run.history] == [False, True, True, True, True]


def test_a_slower_node_computes_longer_and_its_neighbours_wait(there):
    class Sleep:
        """A gradient that takes a while."""

        def __init__(self):
            self.of = Gradient(8)

        def work(self, rows):
            return self.of.work(rows)

        def parts(self, model):
            return self.of.parts(model)

        def __call__(self, node, args):
            time.sleep(0.03)
            return self.of(node, args)

    class Program:
        topology = Ring()

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for _ in peer.rounds(3):
                await peer.run(Sleep(), {"w": s.w})
                await peer.exchange({"w": s.w})
                await peer.commit(s)

    model, data, group = there
    # Peers go on while this process evaluates: that is no reason to count less time.
    run = fd.train(Program(), model, data, runtime=On(group, evaluating=0.1), per_node=True)
    slow = run.ledger.nodes[3]
    assert slow.compute_s >= 3 * 3 * 0.03
    assert run.history[-1].wall_s >= 3 * 3 * 0.03
    assert max(run.ledger.nodes[n].waiting_s for n in (0, 2)) >= 0.03


# -- going on ------------------------------------------------------------------------------------------------------


class Late:
    """What is sent in a round is taken in the next: messages cross every cut."""

    topology = Ring()

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for t in peer.rounds(5):
            for n in peer.neighbours:
                await peer.send(n, {"w": s.w + peer.id}, str(t))
            u = await peer.run(LOCAL, {"w": s.w})
            w = s.w + u["delta"]
            if t:
                for n in peer.neighbours:
                    m = await peer.recv(str(t - 1), n)
                    w = w + m.parts["w"] / 4
            s = s.replace(w=w)
            await peer.commit(s)


class Early:
    """The others take before a commit what node 0 sends after its own: messages go back across every cut."""

    topology = Ring()

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for t in peer.rounds(5):
            if peer.id == 0:
                for n in peer.neighbours:
                    await peer.send(n, {"w": s.w * t})
            u = await peer.run(LOCAL, {"w": s.w})
            w = s.w + u["delta"]
            if peer.id in (1, 3):
                for _ in range(2 if t == 0 else 1 if t < 4 else 0):
                    m = await peer.recv(frm=0)
                    w = w / 2 + m.parts["w"] / 2
            s = s.replace(w=w)
            await peer.commit(s)


@pytest.mark.parametrize("program", [Late(), Early(), fd.Choco(rounds=5)], ids=lambda p: type(p).__name__)
def test_stopped_and_resumed_here_and_there(there, program, tmp_path):
    model, data, group = there
    whole = fd.train(program, model, data)
    first = fd.train(program, model, data, runtime=On(group), stop=fd.AfterCommits(2))
    assert len(first.history) == 2
    assert first.status == "stopped"
    saved = first.checkpoint.tree["extra"]["peers"]
    assert len(saved["messages"]) == (8 if isinstance(program, Late) else 0)
    assert len(saved["dropped"]) == (2 if isinstance(program, Early) else 0)
    here = fd.train(program, model, data, resume=first)
    second = fd.train(program, model, data, runtime=On(group, "sockets"), resume=first, stop=fd.AfterCommits(3))
    out = tmp_path / "run"
    third = fd.train(program, model, data, runtime=On(group), resume=second, out=out, stop=fd.AfterCommits(4))
    assert len(third.history) == 4
    last = fd.train(program, model, data, runtime=On(group, "sockets"), resume=True, out=out)
    for run in (here, last):
        assert run.sha256 == whole.sha256
        assert [r.loss for r in run.history] == [r.loss for r in whole.history]
        assert run.ledger.total.bytes_up == whole.ledger.total.bytes_up
        assert run.ledger.total.samples == whole.ledger.total.samples
    for name in ("wall_s", "compute_s", "wire_s", "waiting_s"):
        seconds = [getattr(r, name) for r in last.history]
        assert seconds == sorted(seconds)


def test_what_is_settled_is_forgotten(there):
    class Program:
        topology = Ring()

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for _ in peer.rounds(40):
                await peer.exchange({"w": s.w})
                await peer.sleep(0.01)
                await peer.commit(s)

    model, data, group = there
    run = fd.train(Program(), model, data, runtime=On(group))
    # Else all peers together would remember 320 messages.
    assert sum(len(b["taken"]) for b in run.checkpoint.tree["extra"]["peers"]["books"]) < 320


# -- ends ----------------------------------------------------------------------------------------------------------


def raising(error, at=2, node=2):
    class Raises:
        """A gradient that goes wrong at one node, in its third job."""

        of = Gradient(8)

        def work(self, rows):
            return self.of.work(rows)

        def parts(self, model):
            return self.of.parts(model)

        def __call__(self, view, args):
            update, _ = self.of(view, args)
            count = int(view.state.get("count", torch.tensor(0)))
            if view.id == node and count == at:
                if error is None:
                    update = update.with_parts({k: v * float("nan") for k, v in update.parts.items()})
                else:
                    raise error
            return update, {"count": torch.tensor(count + 1)}

    class Program:
        topology = Ring()

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for _ in peer.rounds(5):
                u = await peer.run(Raises(), {"w": s.w})
                near = await peer.exchange({"w": s.w})
                s = s.replace(w=torch.stack([m["w"] for m in near.values()]).mean(0) - 0.1 * u.value()["gradient"])
                await peer.commit(s)

    return Program()


@pytest.mark.parametrize("every", [1, 4])
def test_a_job_that_raises_ends_the_run_at_its_last_commit(there, every, tmp_path):
    model, data, group = there
    options = {"runtime": On(group), "out": tmp_path / "run", "evaluate_every": every, "checkpoint_every": every}
    program = raising(ZeroDivisionError("on purpose"))
    with pytest.raises(fd.NodeFailed, match=r"node 2 failed in round 3: ZeroDivisionError: on purpose") as caught:
        fd.train(program, model, data, **options)
    run = caught.value.run
    assert "raise error" in caught.value.log
    assert len(run.history) == 2
    with pytest.raises(fd.NodeFailed) as here:
        fd.train(program, model, data)
    assert run.sha256 == here.value.run.sha256
    # It can go on from there, whether or not that commit was evaluated.
    with pytest.raises(fd.NodeFailed, match="in round 3"):
        fd.train(program, model, data, runtime=On(group), resume=run)
    with pytest.raises(fd.NodeFailed, match="in round 3"):
        fd.train(program, model, data, resume=True, **options)


def test_a_job_that_diverges(there):
    model, data, group = there
    with pytest.raises(fd.Diverged, match="node 2's loss or update is NaN") as caught:
        fd.train(raising(None), model, data, runtime=On(group))
    assert len(caught.value.run.history) == 2


def test_a_program_that_raises(there):
    model, data, group = there

    def train(body, **options):
        class Program:
            topology = Ring()

            async def __call__(self, peer: fd.Peer):
                s = await peer.begin(fd.State)
                for t in peer.rounds(3):
                    await body(peer, s, t)
                    await peer.commit(s)

        return fd.train(Program(), model, data, runtime=On(group, **options))

    async def breaks(peer, s, t):
        if (peer.id, t) == (1, 1):
            raise KeyError("what")

    with pytest.raises(fd.NodeFailed, match="the program failed at node 1 in round 2: KeyError: 'what'") as caught:
        train(breaks)
    assert 'raise KeyError("what")' in caught.value.log
    assert len(caught.value.run.history) == 1

    async def clears_up(peer, s, t):
        """An error of a job is the same kind here and there, should the program have something to say about it."""
        try:
            await peer.run(fd.LocalSGD(lr=0.1), {"v": s.w})
        except fd.NodeFailed as e:
            raise ValueError("as expected") from e

    with pytest.raises(fd.NodeFailed, match=r"the program failed at node [0-3] in round 1: ValueError: as expected"):
        train(clears_up)

    async def wrong(peer, s, t):
        await peer.send((peer.id + 2) % 4, {"w": s.w})

    with pytest.raises(fd.ProgramError, match="its neighbours are"):
        train(wrong)

    async def waits(peer, s, t):
        if t == 1:
            await peer.recv("never")

    with pytest.raises(Deadlock, match=r"a deadlock. Waiting at: .*test_peers.py"):
        train(waits)

    async def thinks(peer, s, t):
        if t == 1:
            await asyncio.to_thread(time.sleep, 1.2)

    assert len(train(thinks).history) == 3  # that was no deadlock

    async def fine(peer, s, t):
        pass

    with pytest.raises(fd.BadInput, match='lost="skip" is not for Program'):
        train(fine, lost="skip")
    assert len(train(fine).history) == 3  # and the group is still of use


def test_a_program_without_commits(there):
    class Program:
        topology = Ring()

        async def __call__(self, peer: fd.Peer):
            await peer.begin(fd.State)

    model, data, group = there
    with pytest.raises(fd.ProgramError, match=r"ended without peer.commit"):
        fd.train(Program(), model, data, runtime=On(group))


@pytest.mark.parametrize("every", [1, 10])
def test_interrupted_and_resumed(there, every, tmp_path):
    model, data, group = there

    def interrupt(record):
        if record.round == 2:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"evaluate_every": every, "checkpoint_every": every}
    whole = fd.train(fd.Gossip(rounds=6), model, data, **options)
    options |= {"runtime": On(group), "out": tmp_path / "run"}
    with pytest.raises(fd.Interrupted) as caught:
        fd.train(fd.Gossip(rounds=6), model, data, progress=interrupt, **options)
    assert 2 <= len(caught.value.run.history) < 6
    assert not caught.value.run.vector.equal(model.initial)
    run = fd.train(fd.Gossip(rounds=6), model, data, resume=True, **options)
    assert run.sha256 == whole.sha256


def test_a_peer_that_is_killed_ends_the_run_and_nothing_is_left(leftovers):
    class Program:
        topology = Ring()

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for t in peer.rounds(1000):
                if (peer.id, t) == (1, 3):
                    os.kill(os.getpid(), signal.SIGKILL)
                await peer.exchange({"w": s.w})
                await peer.commit(s)

    model, data, runtime = make_model(), make_data(2), Processes("sockets")
    with leftovers(segments=3):
        began = time.monotonic()
        with pytest.raises(fd.NodeFailed, match="node 1's process was killed by SIGKILL") as caught:
            fd.train(Program(), model, data, runtime=runtime)
        assert time.monotonic() - began < runtime.patience
    run = caught.value.run
    assert len(run.history) == 3
    assert "in round 4; the last good model, of round 3, is kept" in str(caught.value)
    assert run.vector.equal(model.initial)
