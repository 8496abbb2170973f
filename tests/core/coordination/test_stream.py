"""Stream: asynchronous work, in order of arrival, with failures, stopped and resumed."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.time.cost import Link
from foedus.core.types.suspicion import Suspicion


@dataclass(frozen=True)
class Net:
    """Slow links with a shared server, so that a commit finds transfers half done; node k is k times as slow."""

    def link(self, node, key):
        return Link(0.25, 300.0 + 10 * node, 400.0)

    server_up = 500.0
    server_down = 900.0

    def compute_seconds(self, node, work, flops, node_key, job_key):
        return 0.3 * (node + 1) * job_key.exponential()


SIM = fd.Simulation(network=Net())


@dataclass(frozen=True)
class Async:
    """A little FedAsync. ``pause``: it thinks before it commits, so that answers queue up."""

    commits: int = 20
    pause: float = 0.0
    local: fd.LocalSGD = fd.LocalSGD(batch_size=4, lr=0.05, momentum=0.3)
    transforms: tuple = (fd.ErrorFeedback(fd.TopK(0.3)),)
    failure: str = "abort"

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w, seen=[]))
        async with fed.stream(
            self.local, transforms=self.transforms, commits=self.commits, failure=self.failure
        ) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for u in updates:
                s = s.replace(w=s.w + u["delta"] / (1 + u.staleness), seen=[*s.seen, (u.node, u.staleness)])
                updates.publish(s.w)
                updates.send(u.node, {"w": s.w})
                if self.pause:
                    await fed.sleep(self.pause)
                await fed.commit(s)
        return s.w


def comparable(run):
    return [{**vars(r), "wall_s": 0} for r in run.history], run.ledger.total, run.sha256


def seen(run):
    return run.checkpoint.tree["state"].seen


@pytest.mark.parametrize("pause", [0.0, 1.7])
@pytest.mark.parametrize("where", ["memory", "folder"])
def test_resumed_at_every_commit(model, data, tmp_path, pause, where):
    program = Async(commits=12, pause=pause)
    whole = fd.train(program, model, data, runtime=SIM)
    assert len(whole.history) == 12
    assert {n for n, _ in seen(whole)} != {0}
    for k in range(1, 12):
        out = tmp_path / f"{k}" if where == "folder" else None
        part = fd.train(program, model, data, runtime=SIM, out=out, stop=fd.AfterCommits(k))
        assert len(part.history) == k
        again = fd.train(program, model, data, runtime=SIM, out=out, resume=True if out else part)
        assert seen(again) == seen(whole), k
        assert comparable(again) == comparable(whole), k


def test_resumed_again_and_again(model, data, tmp_path):
    program = Async(commits=12, pause=0.4)
    whole = fd.train(program, model, data, runtime=SIM)
    run = fd.train(program, model, data, runtime=SIM, stop=fd.AfterCommits(1))
    for k in range(2, 13):
        run = fd.train(program, model, data, runtime=SIM, resume=run, stop=fd.AfterCommits(k))
    assert comparable(run) == comparable(whole)


def test_an_interrupted_stream_is_as_its_last_commit_had_it(model, data):
    program = Async(commits=10, pause=0.4)
    whole = fd.train(program, model, data, runtime=SIM)

    @dataclass(frozen=True)
    class Breaks(fd.LocalSGD):
        def __call__(self, node, args):
            calls.append(node.id)
            if len(calls) == 8:
                raise KeyboardInterrupt
            return super().__call__(node, args)

    Breaks.__name__ = "LocalSGD"  # what transforms remember is kept by the kind of job, and this one stands for that
    calls = []
    broken = Async(commits=10, pause=0.4, local=Breaks(batch_size=4, lr=0.05, momentum=0.3))
    with pytest.raises(fd.Interrupted) as e:
        fd.train(broken, model, data, runtime=SIM)
    assert 0 < len(e.value.run.history) < 10
    again = fd.train(program, model, data, runtime=SIM, resume=e.value.run)
    assert comparable(again) == comparable(whole)


def test_order_of_arrival_and_staleness(model, data):
    run = fd.train(Async(commits=30), model, data, runtime=SIM)
    nodes, staleness = zip(*seen(run), strict=True)
    assert len(set(nodes)) == 6
    assert nodes.count(0) > nodes.count(5)  # the fastest answers most often
    assert staleness[0] == 0
    assert max(staleness) >= 5
    # What a node missed is what others published since it was sent its job, its own last one included.
    last = {}
    for i, n in enumerate(nodes):
        assert staleness[i] == i - last.get(n, -1) - 1 if n in last else staleness[i] == i
        last[n] = i
    assert [r.virtual_s for r in run.history] == sorted(r.virtual_s for r in run.history)


def test_a_round_robin_has_staleness_n_minus_1(model, data):
    """Reference, section 3: identical nodes one after the other have staleness n-1 exactly."""

    class Even(Net):
        server_up = server_down = float("inf")

        def link(self, node, key):
            return Link(0.0, float("inf"), float("inf"))

        def compute_seconds(self, node, work, flops, node_key, job_key):
            return 1.0

    run = fd.train(Async(commits=30), model, data, runtime=fd.Simulation(network=Even()))
    assert [n for n, _ in seen(run)] == list(range(6)) * 5
    assert [s for _, s in seen(run)][6:] == [5] * 24


@dataclass(frozen=True)
class Broken(fd.LocalSGD):
    nodes: tuple[int, ...] = (2,)

    def __call__(self, node, args):
        if node.id in self.nodes:
            raise ValueError("broken")
        return super().__call__(node, args)


def test_a_failure_ends_the_run_with_what_was_committed(model, data):
    with pytest.raises(fd.NodeFailed, match=r"node 2 failed.*ValueError: broken") as e:
        fd.train(Async(local=Broken()), model, data, runtime=SIM)
    assert "Traceback" in e.value.log
    assert len(e.value.run.history) == len(seen(e.value.run)) if e.value.run.history else True


def test_skip_goes_on_without_the_node(model, data):
    run = fd.train(Async(commits=15, local=Broken(), failure="skip"), model, data, runtime=SIM, per_node=True)
    assert len(run.history) == 15
    assert 2 not in {n for n, _ in seen(run)}
    assert run.ledger.nodes[2].dropped == run.ledger.nodes[2].jobs >= 1
    assert sum(c.dropped for c in run.ledger.nodes.values()) == run.ledger.nodes[2].dropped


@dataclass(frozen=True)
class Senseless(fd.Policy):
    """Node 2 answers NaN, or with a weight that it cannot have."""

    times: float = math.nan
    weight: float | None = None

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        if asked.node == 2:
            parts = {k: v * self.times for k, v in update.parts.items()}
            update = fd.Update(parts, update.weight if self.weight is None else self.weight)
        return update, state


@dataclass(frozen=True)
class Judging(Async):
    """One whose stream goes on without answers that are none, and that suspects node 1 by itself."""

    robust: bool = True

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        async with fed.stream(self.local, commits=self.commits, robust=self.robust) as updates:
            for n in updates.idle:
                updates.send(n, {"w": s.w})
            async for u in updates:
                s = s.replace(w=s.w + u["delta"])
                updates.send(u.node, {"w": s.w})
                await fed.commit(s, suspects={1: Suspicion(0.5, 2.0)})
        return s.w


@pytest.mark.parametrize("policy", [Senseless(), Senseless(1.0, 1e9)], ids=["nan", "weight"])
def test_a_robust_stream_leaves_out_what_is_no_answer_and_names_its_node(model, data, policy):
    run = fd.train(Judging(commits=15), model, data, runtime=SIM, policy=policy)
    told = [r.suspects for r in run.history]
    assert all(t[1] == (0.5, 2.0) for t in told)
    assert [t[2] for t in told if 2 in t] == [(1.0, math.inf)]  # once, for it is asked no more
    assert any("node 2 failed" in n for n in run.notices)
    for program in (Judging(commits=15, robust=False), Async()):
        with pytest.raises(fd.FoedusError, match="node 2"):
            fd.train(program, model, data, runtime=SIM, policy=policy)
    with pytest.raises(fd.NodeFailed, match="node 2 failed"):  # it can answer, and did not
        fd.train(Judging(local=Broken()), model, data, runtime=SIM)


def test_if_all_fail_the_stream_ends(model, data):
    class Program:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            async with fed.stream(Broken(nodes=tuple(range(6))), failure="skip") as updates:
                for n in updates.idle:
                    updates.send(n, {"w": s.w})
                async for _ in updates:
                    pytest.fail("nobody answers")
            await fed.commit(s)
            return s.w

    assert len(fd.train(Program(), model, data, runtime=SIM).history) == 1


@pytest.mark.parametrize("failure", ["bogus", ""])
def test_an_unknown_failure_policy_is_refused(model, data, failure):
    with pytest.raises(fd.BadInput, match="failure"):
        fd.train(Async(failure=failure), model, data, runtime=SIM)


def body(steps):
    class Program:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            await steps(fed, s)
            return s.w

    return Program()


def test_misuse_is_refused(model, data):
    async def twice(fed, s):
        async with fed.stream(fd.LocalSGD()) as updates:
            updates.send(1, {"w": s.w})
            updates.send(1, {"w": s.w})

    async def nobody(fed, s):
        async with fed.stream(fd.LocalSGD()) as updates:
            updates.send(6, {"w": s.w})

    async def nested(fed, s):
        async with fed.stream(fd.LocalSGD()), fed.stream(fd.LocalSGD()):
            pass

    for program, says in ((twice, "already has a job"), (nobody, "no node 6"), (nested, "one stream at a time")):
        with pytest.raises(fd.ProgramError, match=says):
            fd.train(body(program), model, data, runtime=SIM)


def test_one_stream_after_the_other(model, data):
    async def phases(fed, s):
        for phase in (1, 2):
            async with fed.stream(fd.LocalSGD(), commits=3 * phase) as updates:
                for n in updates.idle:
                    updates.send(n, {"w": s.w})
                async for _ in updates:
                    await fed.commit(s)
        await fed.commit(s)

    run = fd.train(body(phases), model, data, runtime=SIM)
    assert len(run.history) == 7
    assert run.checkpoint.tree["in_flight"] == []


def test_nothing_sent_ends_at_once_and_arguments_are_copied(model, data):
    async def steps(fed, s):
        async with fed.stream(fd.LocalSGD(lr=0.0)) as updates:
            assert updates.idle == list(range(6))
            async for _ in updates:
                pytest.fail("nothing was sent")
            w = s.w.clone()
            updates.send(0, {"w": w})
            w.fill_(float("nan"))  # the node has its own copy
            assert updates.idle == [1, 2, 3, 4, 5]
            async for u in updates:
                assert torch.isfinite(u["delta"]).all()
        await fed.commit(s)

    fd.train(body(steps), model, data, runtime=SIM)
