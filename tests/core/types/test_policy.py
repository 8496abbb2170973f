"""A node's own word: refusing, adding, replacing, slowing down; on virtual time and on the wall clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.policy import Asked
from foedus.network import CostModel, Device, Links
from foedus.testing import check_program, quadratic, small
from foedus.topologies import Ring


def both():
    problem = small()
    return problem.model, problem.data


SECOND = CostModel(Links(0.0, math.inf, math.inf), Device(samples_per_second=1.0))


@dataclass(frozen=True)
class Shy(fd.Policy):
    """Some nodes refuse every job that trains."""

    nodes: tuple[int, ...]

    def refuses(self, asked: Asked) -> fd.Refused | None:
        if asked.node in self.nodes and not isinstance(asked.job, fd.Evaluate):
            return fd.Refused(asked.node, "not allowed", "the ethics board has not met")
        return None


@dataclass(frozen=True)
class Flip(fd.Policy):
    """Some nodes answer the opposite."""

    nodes: tuple[int, ...] = ()
    scale: float = -1.0

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        if asked.node in self.nodes:
            update = update.with_parts({k: self.scale * v for k, v in update.parts.items()})
        return update, state


@dataclass(frozen=True)
class Slow(fd.Policy):
    """One node takes three times as long."""

    node: int = 0

    def slowdown(self, node: int) -> float:
        return 3.0 if node == self.node else 1.0


@dataclass(frozen=True)
class Keeping:
    """A program that keeps what it was answered."""

    inner: fd.FedAvg
    came: list

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        for t in fed.rounds(self.inner.rounds):
            job = self.inner.local.at(t)
            total = await fed.map_reduce(job, {"w": s.w}, range(fed.nodes), fd.Mean())
            self.came.append(total)
            if total:
                w = s.w.clone()
                w[: fed.layout.parameters] += total["delta"]
                s = s.replace(w=w)
            await fed.commit(s)
        return s.w


@dataclass(frozen=True)
class Sleeps:
    """A job that takes at least so many seconds."""

    seconds: float

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"delta": (1,)}

    def __call__(self, node, args):
        time.sleep(self.seconds)
        return fd.Update({"delta": torch.ones(1)}, 1.0, {}, node.id), {}


@dataclass(frozen=True)
class Doze:
    """One round of a job that sleeps so many seconds."""

    seconds: float

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(1):
            await fed.map_reduce(Sleeps(self.seconds), {"w": s.w}, range(fed.nodes), fd.Mean())
            await fed.commit(s)
        return s.w


LOCAL = fd.LocalSGD(epochs=1, batch_size=None, lr=0.1)


def keeping(runtime, policy, nodes=4):
    problem, came = small(nodes), []
    run = fd.train(
        Keeping(fd.FedAvg(2, local=LOCAL), came), problem.model, problem.data, runtime=runtime, policy=policy,
        per_node=True,
    )  # fmt: skip
    return run, came


@pytest.mark.parametrize("runtime", [fd.Simulation(), fd.Simulation(workers=2), fd.Local(), fd.Local(workers=2)])
def test_a_refusal_is_a_normal_answer_in_history_and_ledger(runtime):
    run, came = keeping(runtime, Shy((1, 2)))
    for total in came:
        assert total.arrived == (0, 3)
        assert dict(total.missing) == {n: fd.Refused(n, "not allowed", "the ethics board has not met") for n in (1, 2)}
        assert "refused (not allowed)" in str(total.missing[1])
    costs = run.ledger.total
    assert (costs.jobs, costs.refused, costs.dropped, costs.late, costs.failed, costs.lost) == (8, 4, 4, 0, 0, 0)
    assert [(r.cohort, r.refused) for r in run.history] == [(2, 2), (2, 4)]
    assert run.ledger.nodes[1].bytes_up == 0
    assert run.ledger.nodes[1].bytes_down > 0


def test_the_bits_are_those_of_a_cohort_without_the_nodes_that_refuse():
    run, _ = keeping(fd.Simulation(), Shy((2, 3)))
    again, _ = keeping(fd.Simulation(workers=2), Shy((2, 3)))
    assert run.sha256 == again.sha256
    assert keeping(fd.Simulation(), fd.Policy())[0].sha256 != run.sha256


def test_whoever_refuses_says_so_at_once():
    """It computes nothing: the round takes as long as the others do."""
    problem = small(2, rows=60)
    program = fd.FedAvg(1, local=LOCAL)
    sizes = problem.data.sizes
    slow = max(range(2), key=lambda n: sizes[n])
    options = {"runtime": fd.Simulation(network=SECOND)}
    both = fd.train(program, problem.model, problem.data, **options)
    alone = fd.train(program, problem.model, problem.data, policy=Shy((slow,)), **options)
    assert both.history[-1].virtual_s == pytest.approx(sizes[slow])
    assert alone.history[-1].virtual_s == pytest.approx(sizes[1 - slow])


def test_a_quorum_is_filled_by_others():
    problem = small(5)
    program = fd.SyncSGD(2, backup=2)
    run = fd.train(program, problem.model, problem.data, policy=Shy((0, 4)), runtime=fd.Simulation(network=SECOND))
    assert [(r.cohort, r.refused) for r in run.history] == [(3, 2), (3, 4)]


def test_a_node_may_answer_something_else():
    """Two nodes, one of which answers the opposite: the mean is (a - b) / 2."""
    honest, liar = [], []
    for policy, came in ((fd.Policy(), honest), (Flip((1,)), liar)):
        problem = quadratic(start=2.0)
        fd.train(Keeping(fd.FedAvg(1, local=LOCAL), came), problem.model, problem.data, policy=policy)
    # f1' = x, f2' = 4 (x - 1) at 2, one step of 0.1
    assert float(honest[0]["delta"]) == pytest.approx((-0.2 - 0.4) / 2)
    assert float(liar[0]["delta"]) == pytest.approx((-0.2 + 0.4) / 2)


def test_a_run_with_a_policy_keeps_every_law():
    policy = Flip((1, 3), scale=-2.0)
    problem = small()

    def run(**options):
        return fd.train(
            fd.FedAvg(4, cohort=fd.Fixed(4), local=fd.LocalSGD(epochs=1, batch_size=7, lr=0.1)),
            problem.model, problem.data, policy=policy, **options,
        )  # fmt: skip

    whole = run()
    assert run(runtime=fd.Simulation(workers=2)).sha256 == whole.sha256
    part = run(stop=fd.AfterCommits(2))
    assert run(resume=part).sha256 == whole.sha256
    check_program(fd.FedAvg(2), workers=(1,))


def test_a_slow_node_is_slow_on_virtual_time_and_on_the_wall_clock():
    problem = small(3, rows=60)
    sizes = problem.data.sizes
    run = fd.train(
        fd.FedAvg(1, local=LOCAL), problem.model, problem.data, policy=Slow(0), per_node=True,
        runtime=fd.Simulation(network=SECOND),
    )  # fmt: skip
    assert run.ledger.nodes[0].compute_s == pytest.approx(3 * sizes[0])
    assert run.ledger.nodes[1].compute_s == pytest.approx(sizes[1])
    run = fd.train(
        Doze(0.05), small(3).model, problem.data, policy=Slow(0), per_node=True, runtime=fd.Local()
    )  # fmt: skip
    # A sleep is never shorter than asked for, whatever else the machine does.
    assert run.ledger.nodes[0].compute_s >= 3 * 0.05


@pytest.mark.parametrize("runtime", [fd.Simulation(network=SECOND), fd.Local()])
def test_a_stream_goes_on_without_those_that_refuse(runtime):
    problem = small(4)
    run = fd.train(fd.ParameterServer(3, lr=0.1), problem.model, problem.data, policy=Shy((2,)), runtime=runtime)
    assert len(run.history) == 3
    assert run.ledger.total.refused == 1


def test_a_peer_that_refuses_its_own_job_ends_the_run():
    problem = small(4)
    with pytest.raises(fd.NodeFailed, match=r"node 2 failed in round 1: refused \(not allowed\): the ethics board"):
        fd.train(fd.Gossip(2), problem.model, problem.data, policy=Shy((2,)))


def test_a_policy_that_raises_is_a_failure_of_its_node():
    @dataclass(frozen=True)
    class Broken(fd.Policy):
        def does(self, asked, view, args, job):
            raise ZeroDivisionError("its own fault")

    problem = small(3)
    with pytest.raises(fd.NodeFailed, match="node 0 failed in round 1: ZeroDivisionError: its own fault"):
        fd.train(fd.FedAvg(1), problem.model, problem.data, policy=Broken())


@dataclass(frozen=True)
class Heavy(fd.Policy):
    """Node 1 says that it has more rows than it has, or none."""

    weight: float

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        return (fd.Update(update.parts, self.weight) if asked.node == 1 else update), state


@dataclass(frozen=True)
class Misshapen(fd.Policy):
    """Node 1 answers a number too many."""

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        if asked.node == 1:
            update = update.with_parts({k: torch.cat([v, v[:1]]) for k, v in update.parts.items()})
        return update, state


@pytest.mark.parametrize("runtime", [None, fd.Simulation(workers=2), fd.Local(), fd.Processes()], ids=repr)
@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Heavy(1e300), r"the weight of its update is 1e\+300, and at its \d+ rows it is at most \d+"),
        (Heavy(-1.0), "the weight of its update is -1.0, expected a number that is not negative"),
        (Heavy(math.nan), "weight is nan"),
        (Misshapen(), "announced .* but its answer holds"),
    ],
    ids=repr,
)
def test_what_no_honest_node_can_answer_is_no_answer(policy, why, runtime):
    model, data = both()
    local = fd.LocalSGD(batch_size=8)
    with pytest.raises(fd.FoedusError, match=f"node 1.*{why}|{why}"):
        fd.train(fd.FedAvg(rounds=1, local=local), model, data, policy=policy, runtime=runtime)
    # A robust rule does without, and the run says so.
    run = fd.train(fd.FedAvg(rounds=1, local=local, aggregate=fd.Median()), model, data, policy=policy, runtime=runtime)
    assert run.history[-1].cohort == data.nodes - 1
    assert run.history[-1].failed == 1
    assert run.history[-1].suspects[1] == (1.0, math.inf)


@dataclass(frozen=True)
class Unbounded(fd.Policy):
    """Node 1 answers a hundred times as much, and clips nothing."""

    clips: bool

    def does(self, asked, view, args, job):
        update, state = job(view, args)
        if asked.node == 1:
            update = update.with_parts({k: 100 * v for k, v in update.parts.items()})
        return update, state

    def bounds(self, asked: Asked) -> bool:
        return self.clips or asked.node != 1


@pytest.mark.parametrize("chained", [False, True])
def test_a_clip_that_nodes_make_themselves_binds_only_those_who_make_it(chained):
    model, data = both()

    transforms = (fd.Chain((fd.Clip(0.01), fd.TopK(1.0))),) if chained else (fd.Clip(0.01),)

    def moved(policy):
        program = fd.FedAvg(rounds=1, local=fd.LocalSGD(batch_size=8), transforms=transforms)
        moved = fd.train(program, model, data, policy=policy).vector - model.initial
        return float(moved[: model.layout.parameters].norm())  # a clip leaves float buffers alone

    assert moved(Unbounded(clips=True)) <= 0.01 + 1e-6
    assert moved(Unbounded(clips=False)) > 0.1


@dataclass(frozen=True)
class Echo(fd.Policy):
    """A peer that sends everybody what it last heard of node 1, and noise of its own."""

    speaks = True

    def says(self, said, parts, heard):
        if said.node != 2:
            return parts
        noise = torch.from_numpy(said.key.numpy().normal(0.0, 0.01, len(parts["w"]))).float()
        return {"w": heard.get(1, parts)["w"] * 1.5 + noise}


@pytest.mark.parametrize("runtime", [fd.Simulation(workers=2), fd.Processes()], ids=repr)
def test_a_peer_may_say_what_it_likes_and_the_run_keeps_its_laws(runtime):
    model, data = both()
    program = fd.Gossip(rounds=4, topology=Ring(), lr=0.05, batch_size=8)
    whole = fd.train(program, model, data, policy=Echo())
    assert whole.sha256 != fd.train(program, model, data).sha256
    assert fd.train(program, model, data, policy=Echo(), runtime=runtime).sha256 == whole.sha256
    half = fd.train(program, model, data, policy=Echo(), stop=fd.sampling.AfterCommits(2))
    assert fd.train(program, model, data, policy=Echo(), resume=half).sha256 == whole.sha256
