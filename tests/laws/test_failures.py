"""When a node's job raises or answers NaN: abort, skip, retry; and what of the run is kept."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.testing import Raises, small

N = 6


@dataclass(frozen=True)
class _Faulty:
    """Answers ones; at one node its ``bad``-th job (counted from 0) raises, or answers NaN."""

    node: int = 3
    bad: tuple[int, ...] = (1,)
    poison: bool = False

    def work(self, rows: int) -> fd.Work:
        return fd.Work(trained=rows)

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (2,)}

    def __call__(self, node: fd.NodeView, args):
        delta = torch.full((2,), float(node.id))
        if node.id == self.node and node.key.path[-1] in self.bad:
            if not self.poison:
                raise RuntimeError("the disk is full")
            delta[1] = math.nan
        return fd.Update({"delta": delta}, 1.0, {}, node.id), {"jobs": torch.ones(1)}


class _Calls:
    """One map_reduce a round; keeps what came. The model only counts rounds."""

    def __init__(self, job, until=None, aggregate=None, rounds: int = 3) -> None:
        self.job, self.until, self.rounds = job, until or fd.All(), rounds
        self.aggregate = aggregate or fd.Mean()
        self.came: list[fd.Reduced] = []

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w))
        for _ in fed.rounds(self.rounds):
            self.came.append(
                await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), self.aggregate, until=self.until)
            )
            s = s.replace(w=s.w + 1)
            await fed.commit(s)


def _train(program, **options) -> fd.Run:
    problem = small(N)
    return fd.train(program, problem.model, problem.data, **options)


def test_abort_names_the_node_and_keeps_the_run(tmp_path) -> None:
    with pytest.raises(fd.NodeFailed, match=r"node 3 failed in round 2: RuntimeError: the disk is full") as caught:
        _train(_Calls(_Faulty()), out=tmp_path / "run")
    run = caught.value.run
    assert (len(run.history), run.status) == (1, "failed")
    assert torch.equal(run.vector, small(N).model.initial + 1)
    assert "_faulty" in caught.value.log.lower() or "RuntimeError" in caught.value.log
    assert "the disk is full" in (tmp_path / "run" / "error.log").read_text()


def test_abort_leaves_the_run_as_its_last_commit_had_it() -> None:
    """It can be resumed, and goes on as if nothing had happened: the same counters, books and time."""
    with pytest.raises(fd.NodeFailed) as caught:
        _train(_Calls(_Faulty()))
    resumed = _train(_Calls(_Faulty(bad=())), resume=caught.value.run)
    whole = _train(_Calls(_Faulty(bad=())))
    assert resumed.sha256 == whole.sha256
    assert resumed.ledger.total == whole.ledger.total
    assert [r.virtual_s for r in resumed.history] == [r.virtual_s for r in whole.history]


@pytest.mark.parametrize("job", [fd.LocalSGD(lr=0.1), Raises(node=5)], ids=["fits", "raises"])
def test_raises_only_at_its_node(job) -> None:
    if isinstance(job, Raises):
        with pytest.raises(fd.NodeFailed, match="node 5 failed in round 1"):
            _train(_Calls(job))
    else:
        assert len(_train(_Calls(job)).history) == 3


def test_skip_goes_on_without() -> None:
    program = _Calls(_Faulty(), fd.All("skip"))
    run = _train(program)
    assert [t.arrived for t in program.came] == [(0, 1, 2, 3, 4, 5), (0, 1, 2, 4, 5), (0, 1, 2, 3, 4, 5)]
    [failed] = program.came[1].missing.values()
    assert isinstance(failed, fd.Failed)
    assert (failed.node, failed.reason) == (3, "RuntimeError: the disk is full")
    assert float(program.came[1]["delta"][0]) == pytest.approx((0 + 1 + 2 + 4 + 5) / 5)
    assert [r.cohort for r in run.history] == [6, 5, 6]
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (18, 1)


def test_retry_tries_once_more() -> None:
    program = _Calls(_Faulty(), fd.All("retry"))
    run = _train(program)
    assert all(t.arrived == tuple(range(N)) for t in program.came)
    assert float(program.came[1]["delta"][0]) == 2.5
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (19, 1)


def test_retry_then_skip() -> None:
    program = _Calls(_Faulty(bad=(1, 2)), fd.All("retry"))
    run = _train(program)
    assert program.came[1].arrived == (0, 1, 2, 4, 5)
    assert (run.ledger.total.jobs, run.ledger.total.dropped) == (19, 2)


@pytest.mark.parametrize("failure", ["skip", "retry"])
def test_quorum_asks_on_for_a_node_that_failed(failure: str) -> None:
    program = _Calls(_Faulty(bad=(0, 1, 2, 3, 4, 5)), fd.Quorum(5, failure))
    _train(program)
    for total in program.came:
        assert total.arrived == (0, 1, 2, 4, 5)
        # Not asked again it did not come late: it failed. Asked again, its second answer is late or fails as well.
        reasons = {"RuntimeError: the disk is full"} | ({"late"} if failure == "retry" else set())
        assert list(total.missing) == [3]
        assert total.missing[3].reason in reasons


def test_map_answers_with_the_failure_in_its_place() -> None:
    answers: list[fd.Answer] = []

    class Asks:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                for until in (fd.All("skip"), fd.Quorum(5, "skip")):
                    answers.extend(await fed.map(_Faulty(bad=(0, 1)), {"w": s.w}, (5, 4, 3, 2, 1, 0), until=until))
                await fed.commit(s)

    _train(Asks())
    for i in (2, 8):
        assert isinstance(answers[i], fd.Failed)
        assert "the disk is full" in answers[i].reason
    assert [a.node for a in answers] == [5, 4, 3, 2, 1, 0] * 2


def test_nan_stops_a_mean_and_not_a_median() -> None:
    with pytest.raises(fd.Diverged, match=r"round 2.*node 3") as caught:
        _train(_Calls(_Faulty(poison=True)))
    assert len(caught.value.run.history) == 1
    program = _Calls(_Faulty(poison=True), aggregate=fd.Median())
    _train(program)
    assert program.came[1].arrived == (0, 1, 2, 4, 5)
    assert float(program.came[1]["delta"][0]) == 2.0


@dataclass(frozen=True)
class _Heavy(_Faulty):
    """Reports a weight that is no weight."""

    weight: float = math.nan

    def __call__(self, node: fd.NodeView, args):
        u, state = _Faulty.__call__(self, node, args)
        return fd.Update(u.parts, self.weight if node.id == 3 else 1.0, {}, node.id), state


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0])
def test_a_weight_that_is_no_weight_names_its_node(weight: float) -> None:
    with pytest.raises((fd.NodeFailed, fd.Diverged), match="node 3"):
        _train(_Calls(_Heavy(bad=(), weight=weight)))


@dataclass(frozen=True)
class _Liar(_Faulty):
    """Announces fewer numbers than it answers: its cost would be wrong."""

    def parts(self, model: fd.Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (1,)}


@pytest.mark.parametrize("transforms", [(), (fd.Clip(1.0),)], ids=["plain", "clip"])
def test_an_answer_that_was_not_announced_is_refused(transforms) -> None:
    class Asks:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                await fed.map_reduce(_Liar(bad=()), {"w": s.w}, (0,), fd.Mean(), transforms=transforms)
                await fed.commit(s)

    with pytest.raises(fd.NodeFailed, match="announced"):
        _train(Asks())
