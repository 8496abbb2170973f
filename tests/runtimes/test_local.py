"""Real time over a few workers: who is first counts, and blocks travel where all do."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import small

N = 20


@dataclass(frozen=True)
class Doze:
    """Takes some seconds at some nodes, and answers ones. ``fails``: nodes whose first job raises."""

    seconds: tuple[tuple[int, float], ...] = ()
    fails: tuple[int, ...] = ()

    def work(self, rows: int) -> fd.Work:
        return fd.Work(trained=rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (model.layout.parameters,)}

    def __call__(self, node: fd.NodeView, args: object) -> tuple[fd.Update, dict[str, torch.Tensor]]:
        time.sleep(dict(self.seconds).get(node.id, 0.0))
        if node.id in self.fails and "tried" not in node.state:
            raise OSError("the disk is full")
        return fd.Update({"delta": torch.ones(node.model.layout.parameters)}, 1.0, {"loss": 1.0}, node.id), {}


@dataclass(frozen=True)
class Once:
    """One call, whose answer is kept."""

    job: Doze
    until: fd.All = fd.All()
    cohort: object = fd.Fraction(1.0)
    one_by_one: bool = False

    async def __call__(self, fed: fd.Federation) -> None:
        s = await fed.begin(lambda w: fd.State(w=w))
        nodes = await fed.sample(self.cohort)
        if self.one_by_one:
            CAME.append(await fed.map(self.job, {"w": s.w}, nodes, until=self.until))
        else:
            CAME.append(await fed.map_reduce(self.job, {"w": s.w}, nodes, fd.Mean(), until=self.until))
        await fed.commit(s)


CAME: list = []


def once(runtime: object, nodes: int = N, **options: object) -> tuple[fd.Run, fd.Reduced]:
    problem = small(nodes, rows=150)
    CAME.clear()
    run = fd.train(Once(**options), problem.model, problem.data, runtime=runtime, per_node=True)
    return run, CAME[0]


@pytest.fixture(params=[1, 2])
def local(request: pytest.FixtureRequest) -> fd.Local:
    return fd.Local(workers=request.param)


def test_a_quorum_is_of_the_first_that_are_done(local: fd.Local) -> None:
    run, total = once(local, job=Doze(((0, 0.5),) if local.workers == 2 else ()), until=fd.Quorum(5))
    assert len(total.arrived) == 5
    assert (0 not in total.arrived) if local.workers == 2 else (total.arrived == (0, 1, 2, 3, 4))
    assert all(total.missing[n] == fd.Late(n) for n in range(N) if n not in total.arrived)
    costs = run.ledger.total
    assert (costs.jobs, costs.dropped, costs.late) == (N, N - 5, N - 5)
    assert run.history[-1].cohort == 5


def test_answers_one_by_one(local: fd.Local) -> None:
    _, answers = once(local, job=Doze(), until=fd.Quorum(5), one_by_one=True)
    assert sum(isinstance(a, fd.Update) for a in answers) == 5
    assert sum(isinstance(a, fd.Late) for a in answers) == N - 5


def test_an_over_selected_cohort_drops_the_others(local: fd.Local) -> None:
    _, total = once(local, job=Doze(), cohort=fd.sampling.OverSelect(5, 2.0))
    assert (len(total.arrived), len(total.missing)) == (5, 5)


def test_backup_workers_are_not_waited_for(local: fd.Local) -> None:
    problem = small(N)
    run = fd.train(fd.SyncSGD(2, backup=15), problem.model, problem.data, runtime=local)
    assert [r.cohort for r in run.history] == [5, 5]


def test_a_deadline_leaves_out_whoever_is_not_done() -> None:
    """One worker: nodes take turns, and the one that sleeps through the deadline holds up those behind it."""
    _, total = once(fd.Local(), job=Doze(((4, 3.0),)), until=fd.Deadline(2.0))
    assert total.arrived == (0, 1, 2, 3)
    assert set(map(type, total.missing.values())) == {fd.Late}
    _, total = once(fd.Local(workers=2), job=Doze(((4, 4.0),)), until=fd.Deadline(3.0))
    assert 4 not in total.arrived
    assert len(total.arrived) >= N - 2  # one more may have waited behind it
    _, total = once(fd.Local(), job=Doze(), until=fd.Deadline(60.0))
    assert total.arrived == tuple(range(N))


def test_three_deadlines_that_nobody_meets_end_the_run() -> None:
    problem = small(3)
    with pytest.raises(fd.NobodyInTime, match="3 rounds in a row nobody answered within Deadline"):
        fd.train(Thrice(), problem.model, problem.data, runtime=fd.Local(workers=2))


@dataclass(frozen=True)
class Thrice:
    async def __call__(self, fed: fd.Federation) -> None:
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(5):
            job = Doze(tuple((n, 0.2) for n in range(3)))
            assert not await fed.map_reduce(job, {"w": s.w}, range(3), fd.Mean(), until=fd.Deadline(0.02))
            await fed.commit(s)


def test_who_fails_is_named_left_out_or_tried_again(local: fd.Local) -> None:
    with pytest.raises(fd.NodeFailed, match="node 3 failed in round 1: OSError: the disk is full"):
        once(local, job=Doze(fails=(3,)))
    run, total = once(local, job=Doze(fails=(3,)), until=fd.All("skip"))
    assert (list(total.missing), len(total.arrived), run.ledger.total.failed) == ([3], N - 1, 1)
    run, total = once(local, job=Doze(fails=(3,)), until=fd.All("retry"))
    assert (list(total.missing), run.ledger.nodes[3].jobs, run.ledger.total.failed) == ([3], 2, 2)


@pytest.mark.parametrize("nodes", [6, 40])
@pytest.mark.parametrize("failure", ["abort", "retry"])
def test_the_bits_are_those_of_a_simulation_whatever_travels(local: fd.Local, nodes: int, failure: str) -> None:
    """With ``retry`` every task is a group of its own, and beyond 32 nodes updates are folded here."""
    program = Training(failure)
    runs = []
    for runtime in (fd.Simulation(), local):
        problem = small(nodes, rows=300)
        runs.append(fd.train(program, problem.model, problem.data, runtime=runtime))
    assert runs[0].sha256 == runs[1].sha256
    assert [r.bytes_up for r in runs[0].history] == [r.bytes_up for r in runs[1].history]
    assert [r.bytes_down for r in runs[0].history] == [r.bytes_down for r in runs[1].history]


@dataclass(frozen=True)
class Training:
    failure: str

    async def __call__(self, fed: fd.Federation) -> torch.Tensor:
        s = await fed.begin(lambda w: fd.State(w=w))
        job = fd.LocalSGD(epochs=1, batch_size=4, lr=0.1)
        for _ in fed.rounds(2):
            transforms = (fd.ErrorFeedback(fd.TopK(0.2)),)
            total = await fed.map_reduce(
                job, {"w": s.w}, range(fed.nodes), fd.Mean(), until=fd.All(self.failure), transforms=transforms
            )
            w = s.w.clone()
            w[: fed.layout.parameters] += total["delta"]
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]


def test_one_accumulator_a_group_of_blocks_comes_back() -> None:
    """What travels is bounded by the blocks of a cohort, not by its nodes."""
    came = []

    @dataclass(frozen=True)
    class Counting(fd.Local):
        def start(self, setup: object) -> object:
            engine = super().start(setup)
            wait = engine.executor.wait

            def counted(ticket: object) -> object:
                result = wait(ticket)
                came.append((result.acc is not None, sum(o.update is not None for o in result.outcomes)))
                return result

            engine.executor.wait = counted
            return engine

    once(Counting(workers=2), nodes=100, job=Doze())
    assert sum(acc for acc, _ in came) <= 16
    assert sum(updates for acc, updates in came if acc) == 0


def test_asynchronous_updates_come_as_they_are_done() -> None:
    problem = small(4)
    run = fd.train(fd.ParameterServer(3, lr=0.1), problem.model, problem.data, runtime=fd.Local(workers=2))
    assert (len(run.history), run.ledger.total.dropped) == (3, 0)
    assert run.ledger.total.jobs == 12


def test_peers_compute_side_by_side() -> None:
    problem = small(4)
    simulated = fd.train(fd.Gossip(3, fd.topologies.Ring(), lr=0.1), problem.model, problem.data)
    problem = small(4)
    run = fd.train(fd.Gossip(3, fd.topologies.Ring(), lr=0.1), problem.model, problem.data, runtime=fd.Local(workers=2))
    assert run.sha256 == simulated.sha256
