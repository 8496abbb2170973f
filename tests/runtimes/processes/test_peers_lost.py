"""Decentralised runs that go on without the peers they lose: what the others compute, by hand; and what is refused.

Nodes end themselves in a job, before they send anything of that round: so it is known what of theirs was used.
"""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass, field, replace

import cloudpickle
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import foedus as fd
from foedus.core.coordination.drivers import Wall
from foedus.core.coordination.runtime import Engine
from foedus.core.coordination.site import Site
from foedus.core.errors import Deadlock
from foedus.core.records.checkpoint import Checkpoint
from foedus.core.time.clock import RealClock
from foedus.core.types.job import Work
from foedus.core.types.update import Update
from foedus.runtimes.processes.parent.conversation import Conversation
from foedus.runtimes.processes.parent.decentralised import drive
from foedus.runtimes.processes.parent.process_group import ProcessGroup
from foedus.runtimes.processes.wire.messages import Gone
from foedus.runtimes.simulation.inline import Inline
from foedus.topologies import Absence, Complete, ErdosRenyi, Exponential, Matrix, OnePeer, Ring, mixing_matrix

NODES, D = 6, 15
QUIET = 4
"""From this round on jobs change nothing."""


def make_data(nodes):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f")
    return fd.data.arrays(x, np.arange(60) % 3, test=0.2).split(fd.data.IID(), nodes=nodes)


def make_model():
    torch.manual_seed(0)
    return fd.Model(nn.Linear(4, 3))


@pytest.fixture(scope="module")
def there():
    """To start processes takes seconds: those of the first test that are left are the second's."""
    model, data = make_model(), make_data(NODES)
    setup = {"seed": 0, "device": None, "slowdown": 1.0, "policy": cloudpickle.dumps(fd.Policy())}
    with ProcessGroup(NODES, "foedus.runtimes.processes.node", setup, model, data) as group:
        yield model, data, group


@dataclass(frozen=True)
class On:
    """A runtime of processes that are already there, for several runs."""

    group: ProcessGroup
    wire: str = "shared"
    lost: str = "skip"
    meters: dict = field(default_factory=dict)

    def start(self, setup):
        def elsewhere(program, session):
            return drive(program, session, self.group, self.wire, self.lost == "skip", self.meters)

        return Engine(Inline(Site(setup)), RealClock(), None, Wall, elsewhere)


def delta(node, t):
    """(D,) float32: what a node's job of round t answers."""
    return np.random.default_rng([node, t]).normal(size=D).astype("f") if t < QUIET else np.zeros(D, "f")


@dataclass(frozen=True)
class Nudge:
    """A step that is known beforehand. ``dies``: ``(node, round)`` whose process gets a signal instead."""

    dies: tuple = ()
    signal: int = signal.SIGKILL
    t: int = 0
    parent: int = field(default_factory=os.getpid)

    def at(self, t):
        return replace(self, t=t)

    def work(self, rows):
        return Work(trained=rows)

    def parts(self, model):
        return {"delta": (D,)}

    def __call__(self, node, args):
        if (node.id, self.t) in self.dies:
            assert os.getpid() != self.parent
            os.kill(os.getpid(), self.signal)
        return Update({"delta": torch.from_numpy(delta(node.id, self.t))}, 1.0), {}


def by_hand(x0, W, rounds, dies):
    """x (rounds + 1, nodes, D): gossip in which the weight of a node that dies in a round is its neighbours' own."""
    dies, n = dict(dies), len(W)
    x = [np.tile(x0.numpy(), (n, 1)).astype("d")]
    for t in range(rounds):
        gone = [i for i in range(n) if dies.get(i, rounds) <= t]
        now = W.numpy().copy()
        for i in range(n):
            for j in gone:
                if j != i:
                    now[i, i] += now[i, j]
                    now[i, j] = 0.0
        x.append(now @ (x[-1] + [delta(i, t) for i in range(n)]))
        for i in gone:
            x[-1][i] = x[-2][i]  # as it was at its last commit
    return np.stack(x)


def models(run):
    return np.stack([b["state"].w.numpy() for b in run.checkpoint.tree["extra"]["peers"]["books"] if b["state"]])


def cohorts(run):
    return [r.cohort for r in run.history]


def spread(x):
    return ((x - x.mean(0)) ** 2).sum(1).mean()


def without(run, gone):
    """The run's checkpoint as if these nodes had been lost since."""
    tree = dict(run.checkpoint.tree)
    tree["extra"] = {**tree["extra"], "peers": {**tree["extra"]["peers"], "gone": sorted(gone)}}
    return replace(run.checkpoint, tree=tree)


def near(a, b):
    return np.allclose(a, b, rtol=0, atol=2e-6)


# -- processes that end ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waits:
    """Node 5 ends when it has sent to one neighbour and not to the other. Those that are left wait for ever."""

    topology: Ring = Ring()

    def check_lost(self, nodes):
        pass

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for t in peer.rounds(5):
            if (peer.id, t) == (5, 1):
                await peer.send(4, {"w": s.w + 7}, "exchange 1")
                os.kill(os.getpid(), signal.SIGKILL)
            near = await peer.exchange({"w": s.w}, instead={"w": s.w})
            if t == 2:
                await peer.recv("never", frm=3 if peer.id == 4 else 4)
            s = s.replace(w=sum(m["w"] for m in near.values()))
            await peer.commit(s)


def test_a_node_that_was_lost_is_not_asked_again(there):
    model, data, group = there
    program = fd.PushSum(rounds=5, topology=Exponential(), local=Nudge())
    begun = without(fd.train(program, model, data, stop=fd.AfterCommits(2)), {0, 3})
    here = fd.train(program, model, data, resume=begun)
    run = fd.train(program, model, data, resume=begun, runtime=On(group))
    assert run.sha256 == here.sha256
    assert [r.cohort for r in run.history] == [r.cohort for r in here.history] == [6, 6, 4, 4, 4]
    assert [r.metrics for r in run.history] == [r.metrics for r in here.history]
    assert run.ledger.total.messages_up == here.ledger.total.messages_up
    assert group.alive == set(range(NODES))  # though two of them had nothing to do


def test_the_others_go_on_and_so_does_a_resumed_run(there, tmp_path):
    model, data, group = there
    x = by_hand(model.initial, mixing_matrix(Ring(), NODES), 9, [(1, 2)])
    program = fd.Gossip(rounds=9, local=Nudge(dies=((1, 2),)))
    left = [0, 2, 3, 4, 5]
    options = {"runtime": On(group, "sockets"), "out": tmp_path / "run", "evaluate_nodes": 2, "per_node": True}
    run = fd.train(program, model, data, stop=fd.AfterCommits(6), **options)
    assert cohorts(run) == [6, 6, 5, 5, 5, 5]
    assert near(run.vector, x[6][left].mean(0))
    assert near(models(run), x[6])
    for r in run.history:
        present = left if r.round > 2 else range(NODES)
        assert r.metrics["consensus_distance"] == pytest.approx(spread(x[r.round][present]), rel=1e-5, abs=1e-6)
    # Jobs change nothing any more: the others' mean stays, and they come to agree on it.
    assert near(x[QUIET][left].mean(0), x[9][left].mean(0))
    # What the lost node is known to have done is still on the books, and nobody pays for what is not sent to it.
    assert [n.jobs for n in run.ledger.nodes.values()] == [6, 2, 6, 6, 6, 6]
    assert [n.messages_up for n in run.ledger.nodes.values()][1:4:2] == [4, 12]
    assert len(run.node_metrics["loss"]) == NODES
    peers = run.checkpoint.tree["extra"]["peers"]
    assert (peers["gone"], peers["messages"], peers["dropped"]) == ([1], [], [])
    assert [b["weight"] for b in peers["books"]] == [1, 0, 1, 1, 1, 1]
    # From the folder, over the other wire, where a loss would end the run; and from memory, in a simulation.
    options["runtime"] = On(group, "shared", lost="abort")
    on = fd.train(program, model, data, resume=True, **options)
    here = fd.train(program, model, data, resume=run, evaluate_nodes=2, per_node=True)
    for again in (on, here):
        assert cohorts(again) == [6, 6, 5, 5, 5, 5, 5, 5, 5]
        assert near(again.vector, x[9][left].mean(0))
        assert near(models(again), x[9])
        assert [n.jobs for n in again.ledger.nodes.values()] == [9, 2, 9, 9, 9, 9]
    assert on.sha256 == here.sha256


def test_what_was_sent_is_used_and_a_deadlock_of_the_others_is_found(there, tmp_path):
    model, data, group = there
    group.kill(1)  # if it is not dead yet
    with pytest.raises(Deadlock, match=r"Waiting at: .*test_peers_lost.py"):
        fd.train(Waits(), model, data, runtime=On(group), out=tmp_path / "run")
    tree = Checkpoint.load(tmp_path / "run").tree
    peers = tree["extra"]["peers"]
    assert (tree["round"], peers["gone"], peers["messages"], peers["dropped"]) == (2, [1, 5], [], [])
    w = model.initial.numpy()
    for node, expected in ((0, 9 * w), (4, 9 * w + 7), (5, 3 * w)):
        assert np.allclose(peers["books"][node]["state"].w.numpy(), expected, atol=1e-5)


def test_several_early_at_once_late_and_all(there, caplog):
    model, data, group = there
    group.kill(1)
    group.kill(5)  # before anything runs
    dies = ((0, 0), (3, 0), (4, 5))
    x = by_hand(model.initial, mixing_matrix(Ring(), NODES), 6, ((1, 0), (5, 0), *dies))
    with caplog.at_level(logging.WARNING, "foedus"):
        run = fd.train(fd.Gossip(rounds=6, local=Nudge(dies)), model, data, runtime=On(group))
    assert cohorts(run) == [2, 2, 2, 2, 2, 1]
    assert near(run.vector, x[6][2])
    assert near(models(run), x[6][[2, 4]])  # the others have none
    assert "node 4 is lost: its process was killed by SIGKILL" in caplog.text
    assert "cannot all reach each other, and will not agree: [[2], [4]]" in caplog.text
    with pytest.raises(fd.NodeFailed, match="in round 3, and no other node is left; the last good") as caught:
        fd.train(fd.Gossip(rounds=6, local=Nudge(((2, 2),))), model, data, runtime=On(group))
    assert cohorts(caught.value.run) == [1, 1]


@dataclass(frozen=True)
class Watched(fd.PushSum):
    """Push-sum whose record shows the sums of x and of w over those that are there."""

    async def __call__(self, peer: fd.Peer):
        commit = peer.commit

        async def noted(s, *, weight):
            await commit(s, weight=weight, metrics={"x": float(s.x.sum()), "w": s.mass})

        peer.commit = noted
        await super().__call__(peer)


@pytest.fixture
def told_late(monkeypatch):
    """The parent's word on who is lost reaches node 3 long after the others."""
    say = Conversation.say

    def late(self, node, message, *rest, **more):
        if isinstance(message, Gone) and node == 3:
            asyncio.get_running_loop().call_later(1.0, say, self, node, message, *rest)
        else:
            say(self, node, message, *rest, **more)

    monkeypatch.setattr(Conversation, "say", late)


@pytest.mark.parametrize("wire", ["shared", "sockets"])
def test_who_knows_that_a_node_is_lost_says_so_with_all_that_it_sends(told_late, wire):
    program = Watched(rounds=40, topology=Exponential(), local=Nudge(((0, 2),)))
    run = fd.train(program, make_model(), make_data(4), runtime=fd.Processes(wire, lost="skip"))
    masses = [r.metrics["w"] * r.cohort for r in run.history]
    # 2 and 3 divide with 0 in round 2, and 3 once more: it has all it waits for. Round 3 it ends by what 1 and 2 send,
    # which they do when they know.
    assert masses[:2] == pytest.approx([4, 4], rel=1e-12)
    assert masses[2] > masses[3]
    assert masses[4:] == pytest.approx([masses[3]] * 36, rel=1e-12)


def test_push_sum_goes_on_without_a_node_that_hangs_and_nothing_is_left(leftovers):
    model, data = make_model(), make_data(4)
    program = Watched(rounds=40, topology=Exponential(), local=Nudge(((0, 2),), signal.SIGSTOP))
    with leftovers(segments=5):  # also what each node had last
        run = fd.train(program, model, data, runtime=fd.Processes("sockets", lost="skip", patience=2.0))
    assert cohorts(run) == [4, 4] + [3] * 38
    sums = [{k: r.metrics[k] * r.cohort for k in "xw"} for r in run.history]
    assert [s["w"] for s in sums[:2]] == pytest.approx([4, 4], rel=1e-12)
    # Some goes with the node and some goes to it, until its neighbours hear of it. Then no more.
    assert 1 < sums[-1]["w"] < 3
    after = [s for s in sums if s["w"] == pytest.approx(sums[-1]["w"], rel=1e-12)]
    assert len(after) >= 36
    assert [s["x"] for s in after] == pytest.approx([sums[-1]["x"]] * len(after), abs=1e-4)
    # The others agree on what is left of x by what is left of w.
    assert run.history[-1].metrics["consensus_distance"] < 1e-10
    assert float(run.vector.sum()) == pytest.approx(sums[-1]["x"] / sums[-1]["w"], abs=1e-4)


# -- what needs no processes ----------------------------------------------------------------------------------------

skew = Matrix(((0.5, 0.5, 0, 0), (0, 0.5, 0.5, 0), (0, 0, 0.5, 0.5), (0.5, 0, 0, 0.5)))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (fd.Choco(rounds=2), 'lost="skip" is not for Choco.*has no check_lost'),
        (fd.AdPsgd(rounds=2), 'lost="skip" is not for AdPsgd'),
        (
            fd.Gossip(2, OnePeer()),
            r"node 0 takes 0 of node 1, but 1 takes 0\.5 of 0",
        ),
        (fd.Gossip(2, Ring(), skew), "only if its weights are symmetric"),
        (fd.PushSum(2, absences=(Absence(0, 1),)), "PushSum with absences"),
    ],
)
def test_refused_before_the_run(program, why):
    def elsewhere(program, session):
        return drive(program, session, None, "shared", "skip")  # it is refused before processes are of use

    class Nowhere:
        def start(self, setup):
            return Engine(Inline(Site(setup)), RealClock(), None, Wall, elsewhere)

    with pytest.raises(fd.BadInput, match=why):
        fd.train(program, make_model(), make_data(4), runtime=Nowhere())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.sets(st.integers(0, 5), max_size=5), st.booleans())
def test_weights_of_the_lost_keep_the_mean_of_the_others(seed, gone, absent):
    n, first, last = 6, 2, 5
    model, data = make_model(), make_data(n)
    graph = ErdosRenyi(0.6, seed=seed)
    away = (Absence(3, 3),) if absent and len(gone | {3}) < n else ()
    program = fd.Gossip(rounds=last, topology=graph, local=Nudge(), absences=away)
    try:
        begun = fd.train(program, model, data, stop=fd.AfterCommits(first))
    except fd.BadInput:
        assume(False)  # not connected
    program.check_lost(n)
    run = fd.train(program, model, data, resume=without(begun, gone))
    there = [i for i in range(n) if i not in gone]
    expected = begun, [i for i in there if not (away and i == 3)]
    assert cohorts(run)[first:] == [len(there), *[len(expected[1])] * 2]
    if not away:
        W = mixing_matrix(graph, n)
        x = by_hand(model.initial, W, first, [])
        y = x[-1]
        for t in range(first, last):
            y = y + [delta(i, t) for i in range(n)]
            lost = np.zeros((n, n))
            lost[:, sorted(gone)] = W.numpy()[:, sorted(gone)]
            now = W.numpy() - lost + np.diag(lost.sum(1))
            assert np.allclose(now[np.ix_(there, there)].sum(0), 1)
            y = now @ y
        assert near(models(run)[there], y[there])
        steps = sum(np.mean([delta(i, t) for i in there], axis=0) for t in range(first, last))
        assert near(run.vector, x[-1][there].mean(0) + steps)


def test_who_waits_for_a_lost_node_is_told():
    @dataclass(frozen=True)
    class Program:
        wait: str
        topology: Complete = Complete()

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for t in peer.rounds(3):
                if t == 1 and peer.gone:
                    await peer.send(1, {"w": s.w}, "goes nowhere")
                    assert await peer.recv("x", frm=1, timeout=5.0) is None
                    if self.wait == "exchange":
                        await peer.exchange({"w": s.w})
                    else:
                        await peer.recv("y", frm=1)
                await peer.commit(s)

    model, data = make_model(), make_data(3)
    for wait, why in (
        ("exchange", "waits in an exchange for node 1, which is lost"),
        ("recv", "a message 'y', and who"),
    ):
        begun = fd.train(Program(wait), model, data, stop=fd.AfterCommits(1))
        assert begun.checkpoint.tree["extra"]["peers"]["gone"] == []
        with pytest.raises(fd.ProgramError, match=why):
            fd.train(Program(wait), model, data, resume=without(begun, {1}))
