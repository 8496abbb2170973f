"""Peer: decentralised programs. Every node runs one, and the run's commit is a cut through all of them."""

import asyncio
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.time.cost import Link


@dataclass(frozen=True)
class Ring:
    def neighbours(self, node, nodes):
        return tuple({(node - 1) % nodes, (node + 1) % nodes} - {node})


@dataclass(frozen=True)
class Net:
    """Nodes of very different speed, so that some are commits ahead of others."""

    server_up = server_down = float("inf")

    def link(self, node, key):
        return Link(0.05 * (node + 1), 2000.0, 1000.0 + 100 * node)

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return 0.2 * (1 + 3 * (node % 3)) * job_key.exponential()


SIM = fd.Simulation(network=Net())


@dataclass(frozen=True)
class Gossip:
    """Decentralised descent on a ring: mix with the neighbours, then step."""

    rounds: int = 6
    topology: Ring = Ring()
    local: fd.LocalSGD = fd.LocalSGD(batch_size=4, lr=0.05)

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(fd.State)
        for _ in peer.rounds(self.rounds):
            u = await peer.run(self.local, {"w": s.w})
            near = await peer.exchange({"w": s.w})
            mixed = torch.stack([m["w"] for m in near.values()]).mean(0)
            s = s.replace(w=mixed + u["delta"])
            await peer.commit(s)
        return s.w


def comparable(run):
    return [{**vars(r), "wall_s": 0} for r in run.history], run.ledger.total, run.sha256


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_resumed_at_every_commit(model, data, tmp_path, where):
    whole = fd.train(Gossip(), model, data, runtime=SIM)
    assert len(whole.history) == 6
    for k in range(1, 6):
        out = tmp_path / f"{k}" if where == "folder" else None
        part = fd.train(Gossip(), model, data, runtime=SIM, out=out, stop=fd.AfterCommits(k))
        assert len(part.history) == k
        again = fd.train(Gossip(), model, data, runtime=SIM, out=out, resume=True if out else part)
        assert comparable(again) == comparable(whole), k


def test_resumed_again_and_again(model, data):
    whole = fd.train(Gossip(), model, data, runtime=SIM)
    run = fd.train(Gossip(), model, data, runtime=SIM, stop=fd.AfterCommits(1))
    for k in range(2, 7):
        run = fd.train(Gossip(), model, data, runtime=SIM, resume=run, stop=fd.AfterCommits(k))
    assert comparable(run) == comparable(whole)


@dataclass(frozen=True)
class Talk:
    """Tagged messages with timeouts and two receives at once: order of consumption matters."""

    rounds: int = 5

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(lambda w: fd.State(w=w, log=[]))
        for t in peer.rounds(self.rounds):
            await peer.sleep(0.1 * peer.id)
            for n in peer.neighbours:
                await peer.send(n, {"w": torch.full((20,), float(peer.id * 100 + t))}, "odd" if t % 2 else "even")
            got = []
            while m := await peer.recv("odd" if t % 2 else "even", timeout=0.12):
                got.append((m.frm, m.parts["w"][0].item()))
            s = s.replace(w=s.w + sum(v for _, v in got), log=[*s.log, got])
            await peer.commit(s)


def test_messages_under_way_across_a_cut(model, data):
    whole = fd.train(Talk(), model, data, runtime=SIM)
    logs = [b["state"].log for b in whole.checkpoint.tree["extra"]["peers"]["books"]]
    assert any(len(got) < 5 for log in logs for got in log)  # some messages are late for their round
    for k in range(1, 5):
        part = fd.train(Talk(), model, data, runtime=SIM, stop=fd.AfterCommits(k))
        again = fd.train(Talk(), model, data, runtime=SIM, resume=part)
        assert [b["state"].log for b in again.checkpoint.tree["extra"]["peers"]["books"]] == logs, k
        assert comparable(again) == comparable(whole), k


@dataclass(frozen=True)
class Piled:
    """Node 0 reads in round t what arrived in round t - 1 or before, most of it at once, without waiting."""

    rounds: int = 4

    async def __call__(self, peer: fd.Peer):
        s = await peer.begin(lambda w: fd.State(w=w, log=[]))
        for t in peer.rounds(self.rounds):
            if peer.id:  # the later their ids, the earlier they send
                await peer.sleep(0.15 * (6 - peer.id))
                await peer.send(0, {}, "pile")
            await peer.sleep(t + 1 - peer.now)  # and all commit at once
            read = []
            for _ in range(5 if t and not peer.id else 0):
                m = await peer.recv("pile")
                read.append((m.frm, peer.now))
            s = s.replace(log=[*s.log, read])
            await peer.commit(s)


@dataclass(frozen=True)
class Alike(Net):
    """Every message takes the same time."""

    latency: float = 0.0

    def link(self, node, key):
        return Link(self.latency / 2, float("inf"), float("inf"))


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.25])
def test_an_inbox_is_the_same_after_a_resume(model, data, latency):
    runtime = fd.Simulation(network=Alike(latency))
    whole = fd.train(Piled(), model, data, runtime=runtime)
    log = whole.checkpoint.tree["extra"]["peers"]["books"][0]["state"].log
    assert [frm for frm, _ in log[1]] == [5, 4, 3, 2, 1]
    for k in range(1, 4):
        part = fd.train(Piled(), model, data, runtime=runtime, stop=fd.AfterCommits(k))
        again = fd.train(Piled(), model, data, runtime=runtime, resume=part)
        assert again.checkpoint.tree["extra"]["peers"]["books"][0]["state"].log == log, k
        assert comparable(again) == comparable(whole), k


def test_what_arrives_at_one_instant_is_in_the_same_order_after_a_resume(model, federation):
    @dataclass(frozen=True)
    class Even(Net):
        def link(self, node, key):
            return Link(0.25, float("inf"), float("inf"))

    class Program:
        """Peers 1 and 2 send at second 1: peer 1 after its first commit, peer 2 before, so that its message crosses."""

        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(lambda w: fd.State(w=w, got=[]))
            for t in peer.rounds(2):
                if (peer.id, t) in ((2, 0), (1, 1)):
                    await peer.sleep(1.0)
                    await peer.send(0, {"w": s.w})
                if (peer.id, t) == (0, 1):
                    s = s.replace(got=[(await peer.recv()).frm for _ in range(2)])
                await peer.commit(s)

    data, runtime = federation(nodes=3), fd.Simulation(network=Even())
    whole = fd.train(Program(), model, data, runtime=runtime)
    part = fd.train(Program(), model, data, runtime=runtime, stop=fd.AfterCommits(1))
    assert len(part.checkpoint.tree["extra"]["peers"]["messages"]) == 1
    again = fd.train(Program(), model, data, runtime=runtime, resume=part)
    for run in (whole, again):
        assert run.checkpoint.tree["extra"]["peers"]["books"][0]["state"].got == [1, 2]


def train(body, model, data, **options):
    @dataclass(frozen=True)
    class Program:
        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for t in peer.rounds(2):
                await body(peer, s, t)
                await peer.commit(s)

    return fd.train(Program(), model, data, **{"runtime": SIM, **options})


def test_two_receives_at_once(model, federation):
    async def body(peer, s, t):
        waiting = asyncio.gather(peer.recv("a"), peer.recv("b"))
        for n in peer.neighbours:
            await peer.send(n, {"x": s.w}, "b")
            await peer.sleep(3)
            await peer.send(n, {"x": s.w * 2}, "a")
        a, b = await waiting
        assert torch.equal(a.parts["x"], 2 * b.parts["x"])

    assert len(train(body, model, federation(nodes=2)).history) == 2


def test_exchange_is_by_node_id_self_included(model, data):
    async def body(peer, s, t):
        near = await peer.exchange({"id": torch.tensor([float(peer.id)])})
        assert list(near) == [0, 1, 2, 3, 4, 5]
        assert [m["id"].item() for m in near.values()] == [0, 1, 2, 3, 4, 5]

    run = train(body, model, data, per_node=True)
    assert run.ledger.bytes_up == run.ledger.bytes_down == 2 * 30 * 4
    assert run.ledger.messages == 2 * 2 * 30
    assert run.history[-1].metrics["consensus_distance"] == pytest.approx(0.0, abs=1e-12)
    assert len(run.ledger.nodes) == 6


def test_an_exchange_with_some_by_a_tag_of_ones_own(model, data):
    async def body(peer, s, t):
        if peer.id == 5:
            return  # takes no part, and its count of exchanges stays behind without harm
        to, frm = ((peer.id + 1) % 5,), ((peer.id - 1) % 5,)
        near = await peer.exchange({"id": torch.tensor([float(peer.id)])}, to=to, frm=frm, tag=t)
        assert list(near) == sorted([peer.id, *frm])
        assert near[frm[0]]["id"].item() == frm[0]

    run = train(body, model, data)
    assert run.ledger.messages == 2 * 2 * 5


def test_an_exchange_copies_once_and_what_was_sent_stays(model, federation):
    seen = []

    async def body(peer, s, t):
        x = torch.full((3,), float(peer.id))
        near = asyncio.ensure_future(peer.exchange({"x": x}))
        await peer.sleep(0.0)
        x.fill_(-1.0)
        got = {n: m["x"] for n, m in (await near).items()}
        assert all(v.tolist() == [float(n)] * 3 for n, v in got.items())
        seen.append({n: v.data_ptr() for n, v in got.items()})

    train(body, model, federation(nodes=3), stop=fd.AfterCommits(1))
    for n in range(3):
        assert len({got[n] for got in seen[:3]}) == 1  # one copy for all receivers, and for the sender


def test_weights_and_metrics_of_a_commit(model, federation):
    class Program:
        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(lambda w: fd.State(w=torch.full_like(w, float(peer.id))))
            for _ in peer.rounds(1):
                metrics = {"mine": 10.0 * peer.id} if peer.id < 2 else None
                await peer.commit(s, weight=(1.0, 3.0, 0.0)[peer.id], metrics=metrics)

    run = fd.train(Program(), model, federation(nodes=3), runtime=SIM)
    assert torch.equal(run.vector, torch.full_like(run.vector, 0.75))
    record = run.history[0]
    assert record.metrics["mine"] == 5.0
    d = len(run.vector)
    assert record.metrics["consensus_distance"] == pytest.approx(d * (0.75**2 + 0.25**2) / 2)
    assert record.cohort == 2

    class Nobody:
        async def __call__(self, peer: fd.Peer):
            s = await peer.begin(fd.State)
            for _ in peer.rounds(1):
                await peer.commit(s, weight=0.0)

    with pytest.raises(fd.ProgramError, match="every peer's weight is 0"):
        fd.train(Nobody(), model, federation(nodes=2), runtime=SIM)


def test_time_computed_is_not_waited(model, federation):
    async def body(peer, s, t):
        if peer.id == 0:
            await peer.run(fd.LocalSGD(batch_size=None), {"w": s.w})
            await peer.send(1, {"x": torch.zeros(1)})
        else:  # computes twice as long as the other, and the message comes meanwhile
            job = peer.run(fd.LocalSGD(batch_size=None), {"w": s.w})
            await asyncio.gather(job, peer.recv())

    @dataclass(frozen=True)
    class Two(Net):
        def compute_seconds(self, node, work, flops, node_key, job_key):
            return 1.0 + node

    run = train(body, model, federation(nodes=2), runtime=fd.Simulation(network=Two()), stop=fd.AfterCommits(1))
    assert run.ledger.total.compute_s == 3.0
    assert run.ledger.total.waiting_s == run.ledger.total.wire_s == 0.0


def test_neighbours_that_are_not_there(model, data):
    @dataclass(frozen=True)
    class Wrong:
        def neighbours(self, node, nodes):
            return (node + 1,)

    @dataclass(frozen=True)
    class Program:
        topology: Wrong = Wrong()

        async def __call__(self, peer: fd.Peer):
            raise AssertionError

    with pytest.raises(fd.BadInput, match=r"gives node 5 the neighbour 6: ids are 0\.\.5"):
        fd.train(Program(), model, data)


def test_keys_are_the_peers_own(model, federation):
    drawn = {}

    async def body(peer, s, t):
        drawn[peer.id, t] = peer.key("partner", t).uniform()

    train(body, model, federation(nodes=3))
    assert len(set(drawn.values())) == 6


def test_what_was_sent_is_a_copy(model, federation):
    async def body(peer, s, t):
        x = torch.ones(3)
        for n in peer.neighbours:
            await peer.send(n, {"x": x})
        x.zero_()
        for _ in peer.neighbours:
            assert (await peer.recv()).parts["x"].sum() == 3

    train(body, model, federation(nodes=3))


def test_a_message_takes_its_time(model, federation):
    async def body(peer, s, t):
        if peer.id == 0:
            await peer.send(1, {"x": torch.zeros(250)})
            await peer.send(1, {"x": torch.zeros(250)})
        else:
            began = peer.now
            assert await peer.recv(timeout=0.5) is None
            assert peer.now == began + 0.5
            # 1,000 bytes at min(2000 up, 1100 down), then latencies of .05 and .1; the second leaves after the first.
            await peer.recv()
            assert peer.now - began == pytest.approx(1000 / 1100 + 0.15)
            await peer.recv()
            assert peer.now - began == pytest.approx(2000 / 1100 + 0.15)

    run = train(body, model, federation(nodes=2), stop=fd.AfterCommits(1))
    assert run.history[0].virtual_s == pytest.approx(2000 / 1100 + 0.15)


def test_mistakes_are_said(model, data):
    async def to_itself(peer, s, t):
        await peer.send(peer.id, {"w": s.w})

    async def waits_for_ever(peer, s, t):
        await peer.recv("nobody sends this")

    with pytest.raises(fd.ProgramError, match="cannot send to"):
        train(to_itself, model, data)
    with pytest.raises(fd.Deadlock, match=r"test_peer\.py"):
        train(waits_for_ever, model, data)

    @dataclass(frozen=True)
    class Broken(fd.LocalSGD):
        def __call__(self, node, args):
            raise ValueError("broken")

    async def fails(peer, s, t):
        if t == 1 and peer.id == 4:
            await peer.run(Broken(), {"w": s.w})

    with pytest.raises(fd.NodeFailed, match="node 4 failed") as e:
        train(fails, model, data)
    assert len(e.value.run.history) == 1


def test_a_commit_is_missing(model, data):
    class Program:
        async def __call__(self, peer: fd.Peer):
            await peer.begin(fd.State)
            for _ in peer.rounds(2):
                pass

    with pytest.raises(fd.ProgramError, match=r"without peer\.commit"):
        fd.train(Program(), model, data)


def test_two_equal_nodes_on_equal_data_stay_in_consensus(model):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    data = fd.data.arrays(torch.cat([x, x]), torch.arange(16) % 2, node=[0] * 8 + [1] * 8).split(fd.data.Natural())
    run = fd.train(Gossip(local=fd.LocalSGD(batch_size=None, lr=0.1)), fd.Model(torch.nn.Linear(4, 2)), data)
    assert all(r.metrics["consensus_distance"] == 0.0 for r in run.history)
